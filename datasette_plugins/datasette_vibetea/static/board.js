// The cards in their groups. A card stays the same as long as its session is shown, and is moved only when its place
// changed: what has the focus keeps it.

import { Card } from "./card.js";
import { arrange, element, write } from "./elements.js";

const GROUPS = { needs_you: "needs_you", working: "working", dead: "gone", ended: "gone" };
const LEAST = 9; // events a minute: calmer ones are not drawn as if they were many

export class Board {
  #rows;
  #groups = new Map();
  #cards = new Map();

  /** `place` has an element for each group, with a heading and a list. */
  constructor(place, rows) {
    this.#rows = rows;
    for (const group of place.children) {
      if (!group.dataset.group) continue;
      const count = element("span", "count");
      group.querySelector("h2").append(" ", count);
      this.#groups.set(group.dataset.group, { group, count, list: group.querySelector("ul") });
    }
  }

  /** Show these sessions, in their order. */
  show(sessions, now) {
    const focused = document.activeElement;
    const shown = new Set(sessions.map(({ session_id }) => session_id));
    for (const id of this.#cards.keys()) if (!shown.has(id)) this.#cards.delete(id);
    const most = sessions.reduce((most, { activity }) => Math.max(most, ...activity), LEAST);
    const members = new Map([...this.#groups.keys()].map((name) => [name, []]));
    for (const session of sessions) {
      const name = Object.hasOwn(GROUPS, session.state) ? GROUPS[session.state] : "quiet";
      const card = this.#card(session, this.#groups.get(name).list);
      card.update(session, most, now);
      members.get(name).push(card.element);
    }
    for (const [name, { group, count, list }] of this.#groups) {
      arrange(list, members.get(name));
      write(count, String(list.childElementCount));
      group.hidden = !list.childElementCount;
    }
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  }

  tick(now) {
    for (const card of this.#cards.values()) card.tick(now);
  }

  #card(session, list) {
    const known = this.#cards.get(session.session_id);
    if (known) return known;
    const card = new Card(session, this.#rows);
    list.append(card.element); // at once, so that the next one's colour is another
    this.#cards.set(session.session_id, card);
    return card;
  }
}
