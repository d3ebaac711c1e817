// The overview: joins what is asked for, the parts of the other pages, and what is said when they cannot be shown.

import { write } from "./elements.js";
import { Filters } from "./filters.js";
import { HeatmapPart } from "./heatmap_part.js";
import { Links } from "./links.js";
import { Refresher } from "./refresh.js";
import { SessionsPart } from "./sessions_part.js";

const PERIOD = 3000; // a permission that was granted is in no event

const main = document.getElementById("overview");
const [refused, empty, calm] = ["refused", "empty", "calm"].map((id) => document.getElementById(id));

const filters = new Filters(document.getElementById("filters"), () => {
  sessions.forget();
  lead();
  refresher.now();
});
const sessions = new SessionsPart(filters, main.dataset.rows);
const links = new Links(filters, main.dataset.rows);
const heatmap = new HeatmapPart(filters, links);
const refresher = new Refresher(main, () => `${main.dataset.data}?${links.question}`, show, { period: PERIOD, hidden: true });
main.addEventListener("refused", ({ detail }) => {
  for (const part of [sessions, heatmap]) part.hide();
  write(refused, `This cannot be shown: ${detail}.`);
});
lead();

function show(data) {
  write(refused, "");
  sessions.show(data.sessions);
  // who has a past needs no lesson
  calm.hidden = empty.hidden || data.seq === 0;
  if (!calm.hidden) empty.hidden = true;
  if (data.seq > 0) heatmap.show(data.heatmap);
  else heatmap.hide();
}

/** The links to the other pages keep what was chosen. */
function lead() {
  for (const link of document.querySelectorAll("[data-with-filters]")) link.search = filters.query();
}
