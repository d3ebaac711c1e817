// The list of events, newest at the top. It never moves under a reader who has scrolled down or walks it by keyboard:
// what is new waits behind a button.

import { row, label } from "./row.js";

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

  add(event, live) {
    this.#waiting.push({ event, live });
    this.#count += 1;
    if (this.#waiting.length > 2 * MOST_ROWS) this.#waiting = this.#waiting.slice(-MOST_ROWS);
    this.#schedule();
  }

  clear() {
    this.#waiting = [];
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
    const fragment = document.createDocumentFragment();
    for (const { event, live } of this.#waiting.slice(-MOST_ROWS).reverse()) {
      this.#sources.add(event.source);
      fragment.append(row(event, this.#rows, live));
    }
    this.#waiting = [];
    this.#count = 0;
    this.#list.prepend(fragment);
    while (this.#list.childElementCount > MOST_ROWS) this.#list.lastElementChild.remove();
    this.#list.classList.toggle("many-sources", this.#sources.size > 1);
    this.#tabStop(this.#list.querySelector("a"));
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
