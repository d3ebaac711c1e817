// One event as a list item that links to its row. Text is only ever set as text.

import { element } from "./elements.js";
import { chip } from "./hues.js";
import { icon } from "./icons.js";
import { describe, text } from "./words.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

const JUST_NOW = 300_000; // an imported event of last week is no news

export function isJustNow(event) {
  return Date.now() - Date.parse(event.timestamp) < JUST_NOW;
}

/** After midnight, say the day of the rows that are there. */
export function turnDay(list) {
  const today = new Date().toDateString();
  if (list.dataset.day === today) return;
  list.dataset.day = today;
  for (const time of list.querySelectorAll("time")) label(time, new Date(time.dateTime));
}

/** The local time, with the day if it was another one, for which a narrow list makes room. */
function label(time, date) {
  if (Number.isNaN(date.valueOf())) return;
  const isToday = date.toDateString() === new Date().toDateString();
  time.textContent = (isToday ? CLOCK : DAY).format(date);
  time.classList.toggle("dated", !isToday);
}

/** `rows` is the address of the table of events; `news` lights up. */
export function row(event, rows, news) {
  const words = describe(event);
  const link = element("a", "row");
  link.href = `${rows}/${event.seq}`;
  const what = element("span", "what");
  if (event.agent_id) what.append(element("span", "subagent", "subagent"), " ");
  what.append(element("b", "", words.what));
  if (words.detail) what.append(" ", element("bdi", "", words.detail));
  const project = element("bdi", "project", text(event.project));
  const note = element("span", "note", words.note);
  const source = element("bdi", "source", text(event.source));
  source.title = source.textContent;
  const parts = [moment(event), chip(text(event.session_id)), project, icon(words.icon), what, note, source];
  link.append(...parts.flatMap((part) => [part, " "]));
  const item = element("li", `tone-${words.tone}${news ? " just-now" : ""}`);
  item.dataset.seq = event.seq;
  item.append(link);
  return item;
}

function moment(event) {
  const time = element("time");
  const date = new Date(event.timestamp);
  label(time, date);
  if (time.textContent) {
    time.dateTime = date.toISOString();
    time.title = FULL.format(date);
  }
  return time;
}
