// The overview: joins what is asked for, the board of cards, and what is said about them.

import { Board } from "./board.js";
import { write } from "./elements.js";
import { Filters } from "./filters.js";
import { Refresher } from "./refresh.js";
import { describe } from "./states.js";
import { number } from "./when.js";
import { text } from "./words.js";

const PERIOD = 3000; // a permission that was granted is in no event
const WIDE = matchMedia("(min-width: 44.01rem)");
const COLUMNS = ["project", "source"];

const [place, more, none, empty, outdated, refused, spoken] = ["board", "more", "none", "empty", "outdated", "refused", "spoken"].map((id) => document.getElementById(id));
const main = document.getElementById("overview");
const title = document.title;
let ahead = 0; // milliseconds, the server's clock before ours
let needing = null;

const filters = new Filters(document.getElementById("filters"), () => {
  needing = null;
  refresher.now();
});
const board = new Board(place, main.dataset.rows);
const refresher = new Refresher(main, () => `${main.dataset.data}?${filters.query()}`, show, { period: PERIOD, hidden: true });
main.addEventListener("refused", ({ detail }) => {
  only(null);
  write(refused, `These sessions cannot be shown: ${detail}.`);
});
place.querySelector("details").open = WIDE.matches;
setInterval(() => board.tick(Date.now() + ahead), 1000);

function show({ sessions: data }) {
  write(refused, "");
  ahead = Date.parse(data.now) - Date.now();
  for (const name of COLUMNS) filters.offer(name, data[`${name}s`]);
  const filtered = COLUMNS.some((name) => filters.get(name) !== null);
  only(data.sessions.length ? place : data.outdated ? outdated : filtered ? none : empty);
  place.classList.toggle("many-sources", data.sources.length > 1);
  board.show(data.sessions, Date.now() + ahead);
  more.hidden = data.live === data.sessions.length;
  write(more.firstElementChild, `${number(data.sessions.length)} of ${number(data.live)} sessions. All of them`);
  tell(data.sessions.filter(({ state }) => state === "needs_you"));
}

function only(shown) {
  for (const each of [place, none, empty, outdated]) each.hidden = each !== shown;
}

/** Say who waits in the title, and aloud who has just begun to. */
function tell(sessions) {
  document.title = `${sessions.length ? `(${sessions.length}) ` : ""}${title}`;
  const fresh = needing && sessions.filter(({ session_id, reason }) => needing.get(session_id) !== reason);
  if (fresh?.length) spoken.textContent = fresh.map((each) => `${text(each.project)}: ${describe(each).what}`).join(". ");
  needing = new Map(sessions.map(({ session_id, reason }) => [session_id, reason]));
}
