// The heatmap as a page or a part of one shows it: the grid, its legend, and what is said about it.

import { fold } from "./days.js";
import { write } from "./elements.js";
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { LEVELS } from "./levels.js";
import { DAY, events, hours, number } from "./when.js";

const MINUTE = 60_000;

export class HeatmapPart {
  #links;
  #grid;
  #place = document.getElementById("heat");
  #sum = document.getElementById("sum");
  #legend = document.getElementById("legend");
  #history;
  #data = null;

  /** `links` lead to the events. */
  constructor(links) {
    const told = document.getElementById("told");
    this.#links = links;
    this.#grid = new Grid(document.getElementById("grid"), (what) => write(told, what), (first, last) => links.events([first, last], { type__notin: this.#data.uncounted.join() }));
    this.#history = new History(document.getElementById("history"), () => this.#fill());
    setInterval(() => this.#data && this.#fill(), MINUTE); // the hour that runs is another one at times
  }

  /** Whether there may be something to show: a new machine has no past but a Supabase's. */
  has(data) {
    return data.seq > 0 || this.#history.configured;
  }

  show(data) {
    this.#place.hidden = false;
    this.#data = data;
    this.#fill();
  }

  #fill() {
    const days = fold(this.#data.start, this.#data.counts, this.#history.hours(this.#links.question.toString()));
    this.#key(this.#grid.show(days, Date.now()));
    write(this.#sum, this.#summary(days));
  }

  hide() {
    this.#place.hidden = true;
  }

  #summary(days) {
    const all = days.reduce((n, day) => n + day.n, 0);
    const time = days.length === 1 ? DAY.format(days[0].at) : `${days.length} days`;
    if (!all) return `No events in ${time}${Object.keys(this.#links.asked()).length ? " of this choice" : ""}.`;
    let busiest = { n: 0 };
    for (const day of days) day.hours.forEach((hour, at) => {
      if (hour?.n >= busiest.n) busiest = { n: hour.n, day, at };
    });
    const older = days.reduce((n, day) => n + day.older, 0);
    return `${events(all)} in ${time}${older ? `, ${number(older)} of them from Supabase` : ""}. The busiest hour: ${DAY.format(busiest.day.at)}, ${hours(busiest.at)}, with ${number(busiest.n)}.`;
  }

  /** What the colours mean, in numbers. */
  #key(ends) {
    const steps = ends.map((most, index) => [(ends[index - 1] ?? 0) + 1, most, index + 1 + LEVELS - ends.length]);
    const parts = [[0, 0, 0], ...steps].map(([least, most, level]) => {
      const part = document.createElement("span");
      const colour = document.createElement("i");
      colour.dataset.level = level;
      part.append(colour, least === most ? number(most) : `${number(least)}–${number(most)}`);
      return part;
    });
    const text = parts.map((part) => part.textContent).join();
    if (this.#legend.dataset.text === text) return;
    this.#legend.dataset.text = text;
    this.#legend.replaceChildren("Events an hour:", ...parts.flatMap((part) => [" ", part]));
  }
}
