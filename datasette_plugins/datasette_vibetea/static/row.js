// One event as a list item that links to its row. Text is only ever set as text.

import { icon } from "./icons.js";
import { describe, text } from "./words.js";

const HUES = 12; // from green to pink: red and amber mean something else here
const FIRST_HUE = 130;
const HUE_STEP = 18;
const STRIDE = 5; // the next one free looks different
const hues = new Map();
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** The local time, with the day if it was another one. */
export function label(date) {
  if (Number.isNaN(date.valueOf())) return "";
  return (date.toDateString() === new Date().toDateString() ? CLOCK : DAY).format(date);
}

export function row(event, rows, news) {
  const words = describe(event);
  const link = element("a", "row");
  link.href = `${rows}/${event.seq}`;
  link.tabIndex = -1;
  const what = element("span", "what");
  if (event.agent_id) what.append(element("span", "subagent", "subagent"), " ");
  what.append(element("b", "", words.what));
  if (words.detail) what.append(" ", element("bdi", "", words.detail));
  const project = element("bdi", "project", text(event.project));
  const note = element("span", "note", words.note);
  const source = element("bdi", "source", text(event.source));
  source.title = source.textContent;
  const parts = [moment(event), session(event), project, icon(words.icon), what, note, source];
  link.append(...parts.flatMap((part) => [part, " "]));
  const item = element("li", `tone-${words.tone}${news ? " just-now" : ""}`);
  item.dataset.seq = event.seq;
  item.dataset.at = text(event.timestamp);
  item.append(link);
  return item;
}

function moment(event) {
  const time = element("time");
  const date = new Date(event.timestamp);
  time.textContent = label(date);
  if (time.textContent) {
    time.dateTime = date.toISOString();
    time.title = FULL.format(date);
  }
  return time;
}

function session(event) {
  const id = text(event.session_id);
  const chip = element("bdi", "session", id.slice(0, 4));
  if (id) {
    chip.title = name(id);
    chip.style.setProperty("--hue", hue(id));
  }
  return chip;
}

/** A colour of its own for each session shown, the same as long as it is; more sessions than colours share them. */
function hue(id) {
  if (!hues.has(id)) hues.set(id, free(id));
  return FIRST_HUE + hues.get(id) * HUE_STEP;
}

function free(id) {
  const shown = new Set(Array.from(document.querySelectorAll(".session[title]"), (chip) => chip.title));
  for (const other of hues.keys()) if (!shown.has(name(other))) hues.delete(other);
  const taken = new Set(hues.values());
  const wish = hash(id) % HUES; // so that most keep theirs from page to page
  for (let step = 0; step < HUES; step += 1) {
    const found = (wish + step * STRIDE) % HUES;
    if (!taken.has(found)) return found;
  }
  return wish;
}

function hash(id) {
  let found = 0x811c9dc5;
  for (const character of id) found = Math.imul(found ^ character.codePointAt(0), 0x01000193) >>> 0;
  return found >>> 8;
}

function name(id) {
  return `Session ${id}`;
}

function element(name, className = "", content = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}
