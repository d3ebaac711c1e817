// A session's short name on a colour of its own.

import { element } from "./elements.js";

const HUES = 12; // from green to pink: red and amber mean something else here
const FIRST_HUE = 130;
const HUE_STEP = 18;
const STRIDE = 5; // the next one free looks different
const hues = new Map();

export function chip(id) {
  const made = element("bdi", "session", id.slice(0, 4));
  if (id) {
    made.title = name(id);
    made.style.setProperty("--hue", hue(id));
  }
  return made;
}

/** A colour of its own for each session shown, the same as long as colours last; more sessions than that share them. */
function hue(id) {
  if (!hues.has(id)) hues.set(id, free(id));
  return FIRST_HUE + hues.get(id) * HUE_STEP;
}

function free(id) {
  if (new Set(hues.values()).size === HUES) forget();
  const taken = new Set(hues.values());
  const wish = hash(id) % HUES; // so that most keep theirs from page to page
  for (let step = 0; step < HUES; step += 1) {
    const found = (wish + step * STRIDE) % HUES;
    if (!taken.has(found)) return found;
  }
  return wish;
}

/** Those that are not shown give theirs back. */
function forget() {
  const shown = new Set(Array.from(document.querySelectorAll(".session[title]"), (chip) => chip.title));
  for (const id of hues.keys()) if (!shown.has(name(id))) hues.delete(id);
}

function hash(id) {
  let found = 0x811c9dc5;
  for (const character of id) found = Math.imul(found ^ character.codePointAt(0), 0x01000193) >>> 0;
  return found >>> 8;
}

function name(id) {
  return `Session ${id}`;
}
