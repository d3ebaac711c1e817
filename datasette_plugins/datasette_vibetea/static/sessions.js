// The sessions page: joins what is asked for, the sessions and what is said when they cannot be shown.

import { write } from "./elements.js";
import { Filters } from "./filters.js";
import { Refresher } from "./refresh.js";
import { SessionsPart } from "./sessions_part.js";

const PERIOD = 3000; // a permission that was granted is in no event

const main = document.getElementById("sessions");
const refused = document.getElementById("refused");

const filters = new Filters(document.getElementById("filters"), () => {
  sessions.forget();
  refresher.now();
});
const sessions = new SessionsPart(filters, main.dataset.rows);
const refresher = new Refresher(main, () => `${main.dataset.data}?${filters.query()}`, show, { period: PERIOD, hidden: true });
main.addEventListener("refused", ({ detail }) => {
  sessions.hide();
  write(refused, `These sessions cannot be shown: ${detail}.`);
});

function show(data) {
  write(refused, "");
  for (const name of ["project", "source"]) filters.offer(name, data[`${name}s`]);
  sessions.show(data);
}
