// A list of rows of one height, of which only those in sight, and a few around, are in the document. It scrolls with the
// page.

import { arrange } from "./elements.js";

const AROUND = 8;

export class VirtualList {
  /** Each item that is in the document, and its row. */
  shown = new Map();
  /** The indices of the first and the last item in sight when it was shown. */
  sight = [0, -1];
  #place;
  #make;
  #items = [];
  #height = 0;
  #header = 0;

  /** `make(item)` gives the row of an item. All are as high as the list's `--row`. */
  constructor(place, make) {
    this.#place = place;
    this.#make = make;
    this.#measure();
    addEventListener("resize", () => this.#resized());
  }

  /** Show these items: those in sight now, and those at the indices `wanted` in any case. */
  show(items, wanted = []) {
    this.#items = items;
    const [first, last] = (this.sight = this.#look()); // once, before anything is changed: looking has its price
    this.#place.style.height = `${items.length * this.#height}px`;
    const indices = new Set(wanted);
    for (let index = first - AROUND; index <= last + AROUND; index += 1) indices.add(index);
    const known = this.shown;
    this.shown = new Map();
    for (const index of [...indices].sort((one, other) => one - other)) {
      const item = items[index];
      if (item) this.shown.set(item, this.#at(index, known.get(item) ?? this.#add(item)));
    }
    arrange(this.#place, [...this.shown.values()]);
  }

  /** The item whose row has the focus. */
  get focused() {
    for (const [item, row] of this.shown) if (row.contains(document.activeElement)) return item;
    return undefined;
  }

  /** At once, so that the next one's colour is another. */
  #add(item) {
    const row = this.#make(item);
    this.#place.append(row);
    return row;
  }

  #at(index, row) {
    row.style.transform = `translateY(${index * this.#height}px)`;
    row.setAttribute("aria-posinset", index + 1);
    row.setAttribute("aria-setsize", this.#items.length);
    return row;
  }

  #look() {
    const { top } = this.#place.getBoundingClientRect();
    const index = (y) => Math.max(0, Math.min(this.#items.length - 1, Math.ceil((y - top) / this.#height)));
    return [index(this.#header), index(innerHeight)];
  }

  #measure() {
    this.#height = parseFloat(getComputedStyle(this.#place).getPropertyValue("--row"));
    this.#header = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
  }

  /** A window of another width may have rows of another height: what was in sight stays there. */
  #resized() {
    const [first] = this.#look();
    const before = this.#height;
    this.#measure();
    this.#place.style.height = `${this.#items.length * this.#height}px`;
    if (this.#height !== before) scrollBy(0, first * (this.#height - before));
  }
}
