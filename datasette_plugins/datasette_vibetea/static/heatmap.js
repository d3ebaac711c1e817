// The heatmap page: joins what is asked for, the heatmap and what is said when it cannot be shown.

import { write } from "./elements.js";
import { Filters } from "./filters.js";
import { HeatmapPart } from "./heatmap_part.js";
import { Links } from "./links.js";
import { Refresher } from "./refresh.js";

const main = document.getElementById("heatmap");
const refused = document.getElementById("refused");
const empty = document.getElementById("empty");

const filters = new Filters(document.getElementById("filters"), () => refresher.now());
const links = new Links(filters, main.dataset.rows);
const heatmap = new HeatmapPart(links);
const refresher = new Refresher(main, () => `${main.dataset.data}?${links.question}`, show);
main.addEventListener("refused", ({ detail }) => {
  heatmap.hide();
  write(refused, `These days cannot be shown: ${detail}.`);
});

function show(data) {
  write(refused, "");
  empty.hidden = data.seq > 0;
  for (const name of ["project", "source"]) filters.offer(name, data[`${name}s`]);
  if (heatmap.has(data)) heatmap.show(data);
  else heatmap.hide();
}
