// The list of events by their own time, newest at the top. It never moves under a reader who has scrolled down or walks
// it by keyboard: what is new waits behind a button.

import { write } from "./elements.js";
import { row, turnDay } from "./row.js";
import { MOST, Timeline } from "./timeline.js";
import { VirtualList } from "./virtual.js";

const AT_TOP = 8;
const NEAR = 100; // rows before the end: older ones are there before they are seen
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

export class EventList {
  timeline = new Timeline();
  #list;
  #button;
  #near;
  #view;
  #first = [];
  #waiting = [];
  #sources = new Set();
  #count = 0;
  #frame = 0;

  /** `rows` is the address of the table of events; `near` is called when the end of the list comes near. */
  constructor(list, button, rows, near) {
    this.#list = list;
    this.#button = button;
    this.#near = near;
    this.#view = new VirtualList(list, ({ event, news }) => row(event, rows, news));
    for (const way of ["scroll", "resize"]) addEventListener(way, () => this.schedule(), { passive: true });
    button.addEventListener("click", () => this.#toTop());
    list.addEventListener("keydown", (press) => this.#walk(press));
    document.addEventListener("keydown", (press) => {
      // elsewhere it closes what is open
      if (press.key === "Escape" && !press.target.closest("form, details")) this.#toTop();
    });
    for (const way of ["focusin", "focusout"]) list.addEventListener(way, () => this.schedule());
  }

  /** Events shown or waiting to be. */
  get size() {
    return this.timeline.all.length + this.#waiting.length + this.#first.length;
  }

  /** One of the latest, with which the list begins. */
  begin(event) {
    this.#first.push({ event, news: false });
    this.schedule();
  }

  add(event, news) {
    this.#waiting.push({ event, news });
    this.#count += news ? 1 : 0;
    if (this.#waiting.length > 2 * MOST) this.#waiting = this.#waiting.slice(-MOST);
    this.schedule();
  }

  clear() {
    this.timeline.clear();
    this.#first = [];
    this.#waiting = [];
    this.#sources.clear();
    this.#count = 0;
    this.schedule();
  }

  /** Older ones that were asked for, and whether there are more. */
  older(events, more) {
    const entries = events.map((event) => ({ event, news: false }));
    this.#note(entries);
    this.timeline.answered(entries, more);
    this.schedule();
  }

  /** Show in the next frame what changed. */
  schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#show();
    });
  }

  get #held() {
    return this.timeline.all.length > 0 && (scrollY > AT_TOP || this.#list.querySelector("a:focus-visible") !== null);
  }

  #show() {
    turnDay(this.#list);
    const taken = this.#held ? [] : this.#take();
    write(this.#button, `${this.#count} new`);
    this.#button.hidden = this.#count === 0;
    this.#render();
    for (const entry of taken) entry.news = false; // what comes into sight later is none
    const [, last] = this.#view.sight;
    if (last >= this.timeline.all.length - NEAR) this.#near();
  }

  #take() {
    const [first, waiting] = [this.#first.splice(0), this.#waiting.splice(0)];
    this.#note([...first, ...waiting]);
    this.timeline.begin(first);
    this.timeline.add(waiting);
    this.#count = 0;
    return waiting;
  }

  #note(entries) {
    for (const { event } of entries) this.#sources.add(event.source);
    this.#list.classList.toggle("many-sources", this.#sources.size > 1);
  }

  /** The one row that the Tab key stops at has the focus, or else is the first in sight. */
  #render(...wanted) {
    const all = this.timeline.all;
    const focused = this.#view.focused;
    this.#view.show(all, focused ? [this.timeline.indexOf(focused), ...wanted] : wanted);
    const stop = focused ?? all[this.#view.sight[0]];
    for (const [entry, { firstElementChild: link }] of this.#view.shown) link.tabIndex = entry === stop ? 0 : -1;
  }

  /** The list itself has the focus then: a row that has it would hold the list. */
  #toTop() {
    this.#list.focus({ preventScroll: true });
    scrollTo({ top: 0 });
    this.schedule();
  }

  #walk(press) {
    const step = STEPS[press.key];
    const all = this.timeline.all;
    if (step === undefined || !all.length || press.ctrlKey || press.metaKey || press.altKey) return;
    press.preventDefault();
    const { focused } = this.#view;
    const at = Math.max(0, Math.min(all.length - 1, (focused ? this.timeline.indexOf(focused) : -1) + step));
    this.#render(at);
    const row = this.#view.shown.get(all[at]);
    row.firstElementChild.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    this.#show();
  }
}
