// The newest few events, on a page that has more to show.

import { arrange } from "./elements.js";
import { isJustNow, row, turnDay } from "./row.js";

export class Latest {
  #place;
  #rows;
  #shown = new Map();
  #seq = Infinity;

  /** `place` is a list, `rows` the address of the table of events. */
  constructor(place, rows) {
    this.#place = place;
    this.#rows = rows;
  }

  /** Show these, newest first; `seq` is the newest of all there are, whatever was chosen. */
  show(events, seq) {
    const isNews = (event) => event.seq > this.#seq && isJustNow(event);
    const shown = events.map((event) => [event.seq, this.#shown.get(event.seq) ?? row(event, this.#rows, isNews(event))]);
    this.#shown = new Map(shown);
    this.#seq = seq;
    this.#place.classList.toggle("many-sources", new Set(events.map(({ source }) => source)).size > 1);
    arrange(this.#place, [...this.#shown.values()]);
    turnDay(this.#place);
  }
}
