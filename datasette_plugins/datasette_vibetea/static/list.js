// The list of events by their own time, newest at the top: old ones that are imported find their place, or none if the
// list is full of newer ones. It never moves under a reader who has scrolled down or walks it by keyboard:
// what is new waits behind a button.

import { label, row } from "./row.js";
import { text } from "./words.js";

const MOST_ROWS = 500;
const AT_TOP = 8;
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

export class EventList {
  #list;
  #button;
  #rows;
  #sources = new Set();
  #waiting = [];
  #count = 0;
  #frame = 0;
  #day = new Date().toDateString();

  constructor(list, button, rows) {
    this.#list = list;
    this.#button = button;
    this.#rows = rows;
    addEventListener("scroll", () => this.#schedule(), { passive: true });
    button.addEventListener("click", () => this.#toTop());
    list.addEventListener("keydown", (press) => this.#walk(press));
    list.addEventListener("focusin", ({ target }) => this.#tabStop(target));
    list.addEventListener("focusout", () => this.#schedule());
  }

  /** Events shown or waiting to be. */
  get size() {
    return this.#list.childElementCount + this.#waiting.length;
  }

  add(event, news) {
    this.#waiting.push({ event, news });
    this.#count += news ? 1 : 0;
    if (this.#waiting.length > 2 * MOST_ROWS) this.#waiting = this.#waiting.sort(byTime).slice(-MOST_ROWS);
    this.#schedule();
  }

  clear() {
    this.#waiting = [];
    this.#sources.clear();
    this.#count = 0;
    this.#list.replaceChildren();
    this.#schedule();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#show();
    });
  }

  get #held() {
    return this.#list.childElementCount > 0 && (scrollY > AT_TOP || this.#list.querySelector("a:focus-visible") !== null);
  }

  #show() {
    this.#newDay();
    if (this.#held) {
      this.#button.textContent = `${this.#count} new`;
      this.#button.hidden = this.#count === 0;
      return;
    }
    this.#button.hidden = true;
    if (!this.#waiting.length) return;
    for (const { event, news } of this.#waiting) this.#place(event, news);
    this.#waiting = [];
    this.#count = 0;
    while (this.#list.childElementCount > MOST_ROWS) this.#list.lastElementChild.remove();
    this.#list.classList.toggle("many-sources", this.#sources.size > 1);
    this.#tabStop(this.#list.querySelector("a"));
  }

  #place(event, news) {
    const at = text(event.timestamp);
    const rows = this.#list.children;
    if (rows.length >= MOST_ROWS && rows[rows.length - 1].dataset.at > at) return;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].dataset.at > at) low = middle + 1;
      else high = middle;
    }
    this.#sources.add(event.source);
    this.#list.insertBefore(row(event, this.#rows, news), rows[low] ?? null);
  }

  #toTop() {
    this.#list.querySelector("a:focus")?.blur();
    scrollTo({ top: 0 });
    this.#schedule();
  }

  #tabStop(link) {
    this.#list.querySelector('a[tabindex="0"]')?.setAttribute("tabindex", "-1");
    link?.setAttribute("tabindex", "0");
  }

  #walk(press) {
    if (press.key === "Escape") return this.#toTop();
    const step = STEPS[press.key];
    if (step === undefined || press.ctrlKey || press.metaKey || press.altKey) return;
    press.preventDefault();
    const links = [...this.#list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement) + step;
    links[Math.max(0, Math.min(links.length - 1, at))].focus();
  }

  #newDay() {
    const today = new Date().toDateString();
    if (today === this.#day) return;
    this.#day = today;
    for (const time of this.#list.querySelectorAll("time")) time.textContent = label(new Date(time.dateTime));
  }
}

function byTime(one, other) {
  return text(one.event.timestamp) < text(other.event.timestamp) ? -1 : 1;
}
