// The live page: joins the stream to the list, the connection's state and the spoken summary.

import { Announcer } from "./announcer.js";
import { showConnection } from "./connection.js";
import { EventList } from "./list.js";
import { Stream } from "./stream.js";

const JUST_NOW = 300_000; // an imported event of last week is no news
const NOTICES = ["empty", "missing", "ambiguous"];

const main = document.getElementById("live");
const announcer = new Announcer(document.getElementById("spoken"));
const list = new EventList(document.getElementById("events"), document.getElementById("fresh"), main.dataset.rows);
let live = false;

function notice(shown) {
  for (const id of NOTICES) document.getElementById(id).hidden = id !== shown;
}

/** Whether rows can be linked to. A page made before there was a database knows no table, and is made again. */
function ready() {
  if (main.dataset.rows) return true;
  location.reload();
  return false;
}

const stream = new Stream(main.dataset.stream, {
  event(event) {
    if (!ready()) return;
    notice(null);
    const news = live && Date.now() - Date.parse(event.timestamp) < JUST_NOW;
    list.add(event, news);
    if (news) announcer.event(event);
  },
  live() {
    if (!ready()) return;
    live = true;
    notice(list.size ? null : "empty");
  },
  reset() {
    live = false;
    list.clear();
  },
  absent(state) {
    list.clear();
    notice(state);
  },
  connection(state) {
    if (state !== "live") live = false;
    showConnection(state);
    announcer.connection(state);
  },
});

stream.follow();
