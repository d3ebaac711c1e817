// The sessions as a page or a part of one shows them: the board of cards, and what is said about them.

import { Board } from "./board.js";
import { write } from "./elements.js";
import { describe } from "./states.js";
import { number } from "./when.js";
import { text } from "./words.js";

const WIDE = matchMedia("(min-width: 44.01rem)");
const COLUMNS = ["project", "source"];

export class SessionsPart {
  #filters;
  #board;
  #place = document.getElementById("board");
  #more = document.getElementById("more");
  #notices = ["none", "empty", "outdated"].map((id) => document.getElementById(id));
  #spoken = document.getElementById("spoken");
  #title = document.title;
  #ahead = 0; // milliseconds, the server's clock before ours
  #needing = null;

  /** `rows` is the address of the table of events. */
  constructor(filters, rows) {
    this.#filters = filters;
    this.#board = new Board(this.#place, rows);
    this.#place.querySelector("details").open = WIDE.matches;
    setInterval(() => this.#board.tick(Date.now() + this.#ahead), 1000);
  }

  show(data) {
    this.#ahead = Date.parse(data.now) - Date.now();
    const filtered = COLUMNS.some((name) => this.#filters.get(name) !== null);
    const [none, empty, outdated] = this.#notices;
    this.#only(data.sessions.length ? this.#place : data.outdated ? outdated : filtered ? none : empty);
    this.#place.classList.toggle("many-sources", data.sources.length > 1);
    this.#board.show(data.sessions, Date.now() + this.#ahead);
    this.#more.hidden = data.live === data.sessions.length;
    write(this.#more.firstElementChild, `${number(data.sessions.length)} of ${number(data.live)} sessions. All of them`);
    this.#tell(data.sessions.filter(({ state }) => state === "needs_you"));
  }

  hide() {
    this.#only(null);
  }

  /** Another choice: who waits in it has not just begun to. */
  forget() {
    this.#needing = null;
  }

  #only(shown) {
    for (const each of [this.#place, ...this.#notices]) each.hidden = each !== shown;
  }

  /** Say who waits in the title, and aloud who has just begun to. */
  #tell(sessions) {
    document.title = `${sessions.length ? `(${sessions.length}) ` : ""}${this.#title}`;
    const fresh = this.#needing && sessions.filter(({ session_id, reason }) => this.#needing.get(session_id) !== reason);
    if (fresh?.length) this.#spoken.textContent = fresh.map((each) => `${text(each.project)}: ${describe(each).what}`).join(". ");
    this.#needing = new Map(sessions.map(({ session_id, reason }) => [session_id, reason]));
  }
}
