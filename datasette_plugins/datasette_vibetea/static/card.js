// A session's card. It is made once, and then only what differs is changed in it.

import { arrange, element, write } from "./elements.js";
import { chip } from "./hues.js";
import { icon } from "./icons.js";
import { draw, line } from "./line.js";
import { describe } from "./states.js";
import { events, short } from "./when.js";
import { text } from "./words.js";

let cards = 0;

export class Card {
  element = element("li", "card");
  #project = element("bdi", "project");
  #source = element("bdi", "source");
  #state = new State("p");
  #agents = new Map();
  #list = element("ul", "agents");
  #more = element("li");
  #model = element("bdi");
  #sums = element("span");
  #line = null;
  #activity = element("span", "unseen");

  /** `rows` is the address of the table of events. */
  constructor(session, rows) {
    const link = element("a");
    link.href = `${rows}?${new URLSearchParams({ session_id: session.session_id, _sort_desc: "seq" })}`;
    link.append(this.#project, " ", chip(text(session.session_id)));
    const heading = element("h3");
    heading.append(link);
    const head = element("div", "head");
    head.append(heading, this.#source);
    this.#state.element.id = `state-${(cards += 1)}`;
    link.setAttribute("aria-describedby", this.#state.element.id);
    this.#line = line(session.activity.length);
    const facts = element("p", "facts");
    facts.append(this.#model, " ", this.#sums);
    const foot = element("div", "foot");
    foot.append(facts, this.#line, this.#activity);
    this.#list.setAttribute("role", "list");
    this.#list.setAttribute("aria-label", "Subagents");
    this.element.append(head, this.#state.element, this.#list, foot);
  }

  /** Show what the session does now; a minute with `most` events has a bar of full height. */
  update(session, most, now) {
    this.element.dataset.session = session.session_id;
    this.element.dataset.state = session.state;
    this.element.dataset.reason = session.reason;
    write(this.#project, text(session.project) || "No project");
    this.#project.title = text(session.project);
    write(this.#source, text(session.source));
    this.#source.title = text(session.source);
    this.#state.update(session, now);
    this.#subagents(session, now);
    write(this.#model, text(session.model));
    write(this.#sums, sums(session));
    draw(this.#line, session.activity, most);
    const all = sum(session.activity);
    const minutes = session.activity.length;
    write(this.#activity, `${events(all)} in ${minutes} minutes, ${sum(session.activity.slice(-5))} in the last 5`);
  }

  tick(now) {
    for (const state of [this.#state, ...this.#agents.values()]) state.tick(now);
  }

  #subagents(session, now) {
    const shown = new Set(session.agents.map(({ agent_id }) => agent_id));
    for (const id of this.#agents.keys()) if (!shown.has(id)) this.#agents.delete(id);
    for (const agent of session.agents) {
      if (!this.#agents.has(agent.agent_id)) this.#agents.set(agent.agent_id, new State("li"));
      this.#agents.get(agent.agent_id).update(agent, now, text(agent.type) || "subagent");
    }
    const items = session.agents.map(({ agent_id }) => this.#agents.get(agent_id).element);
    const more = session.present - items.length;
    if (more > 0) write(this.#more, `and ${more} more`);
    arrange(this.#list, more > 0 ? [...items, this.#more] : items);
    this.#list.hidden = !items.length;
  }
}

/** A line that says what a session or a subagent does, and since when. */
class State {
  element;
  #icon = null;
  #name = element("bdi", "name");
  #what = element("b");
  #detail = element("bdi");
  #dot = element("span");
  #time = element("time");
  #words = null;

  constructor(name) {
    this.element = element(name, "state");
    this.element.append(this.#name, this.#what, this.#dot, this.#detail, this.#time);
  }

  update(told, now, name = "") {
    this.#words = describe(told);
    const { icon: drawn, what, detail } = this.#words;
    if (this.#icon?.dataset.icon !== drawn) {
      this.#icon?.remove();
      this.#icon = icon(drawn);
      this.#icon.dataset.icon = drawn;
      this.element.prepend(this.#icon);
    }
    this.element.dataset.state = told.state;
    write(this.#name, name && `${name} `);
    write(this.#what, what);
    write(this.#dot, detail && " · ");
    write(this.#detail, detail);
    const since = new Date(told.since);
    this.#time.dateTime = Number.isNaN(since.valueOf()) ? "" : since.toISOString();
    this.#time.title = this.#time.dateTime && since.toLocaleString();
    this.tick(now);
  }

  tick(now) {
    write(this.#time, this.#words.time(now));
  }
}

function sums({ tokens, prompts }) {
  const parts = [tokens > 0 && `${short(tokens)} tokens`, prompts > 0 && `${prompts} ${prompts === 1 ? "prompt" : "prompts"}`];
  return parts.filter(Boolean).join(" · ");
}

function sum(numbers) {
  return numbers.reduce((all, n) => all + n, 0);
}
