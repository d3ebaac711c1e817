// The live page: joins the stream to the list, the connection's state and the spoken summary.

import { Announcer } from "./announcer.js";
import { EventList } from "./list.js";
import { Stream } from "./stream.js";

const CONNECTION = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  waiting: "Waiting for a database",
  paused: "Paused while hidden",
};
const NOTICES = ["empty", "missing", "ambiguous"];

const main = document.getElementById("live");
const connection = document.getElementById("connection");
const announcer = new Announcer(document.getElementById("spoken"));
const list = new EventList(document.getElementById("events"), document.getElementById("fresh"), main.dataset.rows);
let live = false;

function notice(shown) {
  for (const id of NOTICES) document.getElementById(id).hidden = id !== shown;
}

const stream = new Stream(main.dataset.stream, {
  event(event) {
    notice(null);
    list.add(event, live);
    if (live) announcer.event(event);
  },
  live() {
    // the page was made before there was a database, so it knows no table to link to
    if (!main.dataset.rows) return location.reload();
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
    connection.dataset.state = state;
    connection.textContent = CONNECTION[state];
    announcer.connection(state);
  },
});

stream.follow();
