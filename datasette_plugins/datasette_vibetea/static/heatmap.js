// The heatmap: joins what is asked for, its counts, the grid and what is said about it.

import { QUARTER, fold, range } from "./days.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { LEVELS } from "./levels.js";
import { Refresher } from "./refresh.js";
import { DAY, events, hours, number } from "./when.js";

const [heat, sum, told, legend, refused, empty] = ["heat", "sum", "told", "legend", "refused", "empty"].map((id) => document.getElementById(id));
const main = document.getElementById("heatmap");
const columns = ["project", "source"];
let uncounted = [];

const filters = new Filters(document.getElementById("filters"), () => refresher.now());
const grid = new Grid(document.getElementById("grid"), (what) => say(told, what), rows);
const refresher = new Refresher(main, question, show);
main.addEventListener("refused", ({ detail }) => {
  heat.hidden = true;
  say(refused, `These days cannot be shown: ${detail}.`);
});

function question() {
  const [from, to] = range(filters).map((at) => `${at.toISOString().slice(0, 16)}Z`);
  return `${main.dataset.data}?${new URLSearchParams({ from, to, ...asked() })}`;
}

/** The table of the events from one quarter hour to another, newest first. */
function rows(first, last) {
  // the beginning of a time is less than all that begin with it
  const [timestamp__gte, timestamp__lt] = [first, last].map((slot) => new Date(slot * QUARTER).toISOString().slice(0, 16));
  const query = { timestamp__gte, timestamp__lt, type__notin: uncounted.join(), _sort_desc: "timestamp", ...asked("__exact") };
  return `${main.dataset.rows}?${new URLSearchParams(query)}`;
}

function asked(suffix = "") {
  return Object.fromEntries(columns.map((name) => [name + suffix, filters.get(name)]).filter(([, value]) => value));
}

function show(data) {
  say(refused, "");
  empty.hidden = data.seq > 0;
  heat.hidden = !empty.hidden;
  for (const name of columns) filters.offer(name, data[`${name}s`]);
  if (heat.hidden) return;
  uncounted = data.uncounted;
  const days = fold(data.start, data.counts);
  key(grid.show(days, Date.now()));
  say(sum, summary(days));
}

function summary(days) {
  const all = days.reduce((n, day) => n + day.n, 0);
  const time = days.length === 1 ? DAY.format(days[0].at) : `${days.length} days`;
  if (!all) return `No events in ${time}${Object.keys(asked()).length ? " of this choice" : ""}.`;
  let busiest = { n: 0 };
  for (const day of days) day.hours.forEach((hour, at) => {
    if (hour?.n >= busiest.n) busiest = { n: hour.n, day, at };
  });
  return `${events(all)} in ${time}. The busiest hour: ${DAY.format(busiest.day.at)}, ${hours(busiest.at)}, with ${number(busiest.n)}.`;
}

/** What the colours mean, in numbers. */
function key(ends) {
  const steps = ends.map((most, index) => [(ends[index - 1] ?? 0) + 1, most, index + 1 + LEVELS - ends.length]);
  const parts = [[0, 0, 0], ...steps].map(([least, most, level]) => {
    const part = document.createElement("span");
    const colour = document.createElement("i");
    colour.dataset.level = level;
    part.append(colour, least === most ? number(most) : `${number(least)}–${number(most)}`);
    return part;
  });
  const text = parts.map((part) => part.textContent).join();
  if (legend.dataset.text === text) return;
  legend.dataset.text = text;
  legend.replaceChildren("Events an hour:", ...parts.flatMap((part) => [" ", part]));
}

/** Said again it would be read out again. */
function say(place, words) {
  if (place.textContent !== words) place.textContent = words;
}
