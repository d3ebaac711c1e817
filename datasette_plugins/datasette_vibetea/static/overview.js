// The overview: joins what is asked for, the parts of the other pages, and what is said when they cannot be shown.

import { write } from "./elements.js";
import { showFigures } from "./figures.js";
import { Filters } from "./filters.js";
import { HeatmapPart } from "./heatmap_part.js";
import { Latest } from "./latest.js";
import { Links } from "./links.js";
import { Refresher } from "./refresh.js";
import { SessionsPart } from "./sessions_part.js";

const PERIOD = 3000; // a permission that was granted is in no event

const main = document.getElementById("overview");
const [past, refused, empty, calm, figures, newest] = ["past", "refused", "empty", "calm", "figures", "latest"].map((id) => document.getElementById(id));
let begun = false; // there are events here

const filters = new Filters(document.getElementById("filters"), () => {
  sessions.forget();
  refresher.now();
});
const links = new Links(filters, main.dataset.rows);
const sessions = new SessionsPart(filters, main.dataset.rows);
const latest = new Latest(newest, main.dataset.rows);
const heatmap = new HeatmapPart(links);
const refresher = new Refresher(main, () => `${main.dataset.data}?${links.question}`, show, { period: PERIOD, hidden: true, brief: true });
main.addEventListener("refused", ({ detail }) => {
  sessions.hide();
  past.hidden = true;
  calm.hidden = true;
  write(refused, `This cannot be shown: ${detail}.`);
});

function show(data) {
  write(refused, "");
  sessions.show(data.sessions);
  if (data.heatmap) {
    begun = data.seq > 0;
    past.hidden = !heatmap.has(data);
  }
  // who has a past needs no lesson
  calm.hidden = empty.hidden || !begun;
  if (begun) empty.hidden = true;
  if (data.heatmap && !past.hidden) showPast(data);
}

/** What changes only with the events. */
function showPast(data) {
  for (const name of ["project", "source"]) filters.offer(name, data.heatmap[`${name}s`]);
  figures.parentElement.hidden = !begun || data.figures === null;
  newest.parentElement.hidden = !begun;
  const { start, counts, uncounted } = data.heatmap;
  if (data.figures) showFigures(figures, data.figures, links, [start, start + counts.length], uncounted);
  latest.show(data.latest, data.seq);
  heatmap.show(data.heatmap);
}
