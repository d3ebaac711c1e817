// The live page: joins what is asked for, the stream, the list, older events, and what is said about them.

import { Announcer } from "./announcer.js";
import { showConnection } from "./connection.js";
import { write } from "./elements.js";
import { Filters } from "./filters.js";
import { EventList } from "./list.js";
import { Older } from "./older.js";
import { isJustNow } from "./row.js";
import { Stream } from "./stream.js";

const OFFER_EVERY = 60_000;
const NOTICES = ["empty", "none", "missing", "ambiguous"];
const COLUMNS = ["session", "project", "source", "type", "tool"];

const main = document.getElementById("live");
const refused = document.getElementById("refused");
const announcer = new Announcer(document.getElementById("spoken"));
const filters = new Filters(document.getElementById("filters"), choose);
const list = new EventList(document.getElementById("events"), document.getElementById("fresh"), main.dataset.rows, () => older.near());
const older = new Older(document.getElementById("end"), list, (more) => filters.query(more));
let live = false;

const stream = new Stream(address(), {
  event(event, latest) {
    if (!ready()) return;
    notice(null);
    if (latest) return list.begin(event);
    const news = live && isJustNow(event);
    list.add(event, news);
    if (news) announcer.event(event);
  },
  live() {
    if (!ready()) return;
    live = true;
    older.again();
    notice(list.size ? null : COLUMNS.some((name) => filters.get(name) !== null) ? "none" : "empty");
  },
  reset: clear,
  absent(state) {
    clear();
    notice(state);
  },
  connection(state) {
    if (state !== "live") live = false;
    showConnection(state);
    announcer.connection(state);
  },
});

stream.follow();
offer();
setInterval(() => document.visibilityState === "visible" && offer(), OFFER_EVERY);

function address() {
  return `${main.dataset.stream}?${filters.query()}`;
}

/** Another choice is another list. */
function choose() {
  clear();
  notice(null);
  scrollTo({ top: 0 });
  stream.begin(address());
  offer();
}

function clear() {
  live = false;
  older.stop();
  list.clear();
}

function notice(shown) {
  for (const id of NOTICES) document.getElementById(id).hidden = id !== shown;
}

/** Whether rows can be linked to. A page made before there was a database knows no table, and is made again. */
function ready() {
  if (main.dataset.rows) return true;
  location.reload();
  return false;
}

/** What there is to choose from, and whether what was chosen means anything. */
async function offer() {
  if (!main.dataset.rows) return;
  const asked = address();
  const answer = await fetch(`${main.dataset.data}?${filters.query()}`).catch(() => null);
  const data = await answer?.json().catch(() => null);
  if (!data || asked !== address()) return;
  write(refused, answer.status === 400 ? `These events cannot be shown: ${data.error}.` : "");
  if (answer.status === 400) stream.begin(null);
  if (!answer.ok) return;
  for (const name of ["project", "source", "type", "tool"]) filters.offer(name, data[`${name}s`]);
  const projects = new Map(data.sessions);
  filters.offer("session", projects.keys(), (id) => [projects.get(id), id.slice(0, 4)].filter(Boolean).join(" · "));
}
