// The newest few events, on a page that has more to show.

import { arrange } from "./elements.js";
import { row } from "./row.js";

export class Latest {
  #place;
  #rows;
  #shown = new Map();

  /** `place` is a list, `rows` the address of the table of events. */
  constructor(place, rows) {
    this.#place = place;
    this.#rows = rows;
  }

  /** Show these, newest first. */
  show(events) {
    const news = this.#shown.size > 0;
    const shown = events.map((event) => [event.seq, this.#shown.get(event.seq) ?? row(event, this.#rows, news)]);
    this.#shown = new Map(shown);
    this.#place.classList.toggle("many-sources", new Set(events.map(({ source }) => source)).size > 1);
    arrange(this.#place, [...this.#shown.values()]);
  }
}
