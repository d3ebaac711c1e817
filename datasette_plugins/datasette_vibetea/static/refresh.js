// Keeps what a page shows true: asks for its data, and again soon after the stream tells of an event. The data is the
// truth and the stream a hint: losing it makes the page slower, not wrong.

import { showConnection } from "./connection.js";
import { Stream } from "./stream.js";

const SETTLE = 250; // a burst of events is one question
const PERIOD = 15_000; // time passes without events, too

export class Refresher {
  #address;
  #show;
  #notice;
  #asking = null;
  #again = false;
  #timer = 0;
  #stream = null;
  #main;
  #hidden;
  #seq = -1;
  #brief;
  #refused = false;
  #whole = ""; // the address of which all is shown, as of #seq

  /**
   * `show` gets the data of `address()` whenever it changed, or `period` milliseconds have passed; in a tab that is
   * hidden only if it is to be kept true there. If `brief`, data that is at hand is not asked for
   * again: the answer may leave out what no event `since` its `seq` has changed, and all that a hidden tab does not show.
   */
  constructor(main, address, show, { period = PERIOD, hidden = false, brief = false } = {}) {
    this.#main = main;
    this.#hidden = hidden;
    this.#brief = brief;
    this.#address = address;
    this.#show = show;
    this.#notice = ["missing", "ambiguous"].map((id) => document.getElementById(id));
    setInterval(() => this.#soon(0), period);
    document.addEventListener("visibilitychange", () => this.#soon(0));
    this.now();
  }

  /** Ask at once, for another filter. */
  now() {
    this.#whole = "";
    this.#refused = false;
    this.#asking?.abort();
    this.#asking = null;
    this.#ask();
  }

  #soon(wait) {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#ask();
    }, wait);
  }

  async #ask() {
    if (this.#refused || (document.visibilityState === "hidden" && !this.#hidden)) return;
    if (this.#asking) {
      this.#again = true;
      return;
    }
    const asking = new AbortController();
    this.#asking = asking;
    const address = this.#address();
    const since = this.#since(address);
    try {
      const answer = await fetch(since === null ? address : `${address}&since=${since}`, { signal: asking.signal, headers: { accept: "application/json" } });
      const data = await answer.json();
      if (asking.signal.aborted) return;
      for (const notice of this.#notice) notice.hidden = answer.status !== 404 || notice.id !== data.state;
      if (answer.ok) this.#take(data, address, since);
      else if (answer.status === 400) this.#refuse(data.error);
      else showConnection("waiting");
    } catch {
      if (!asking.signal.aborted) showConnection("reconnecting");
    } finally {
      if (this.#asking === asking) this.#asking = null;
    }
    if (this.#again) {
      this.#again = false;
      this.#soon(SETTLE);
    }
  }

  #since(address) {
    if (!this.#brief || !this.#whole) return null;
    if (document.visibilityState === "hidden") return "now";
    return address === this.#whole ? this.#seq : null;
  }

  #take(data, address, since) {
    // a page made before there was a database knows no table to link to
    if (!this.#main.dataset.rows) return location.reload();
    if (since !== "now") [this.#whole, this.#seq] = [address, data.seq];
    this.#show(data);
    this.#stream ??= this.#follow();
  }

  /** Nothing is asked for until another choice is made. */
  #refuse(error) {
    this.#refused = true;
    if (!this.#stream) showConnection("waiting");
    this.#main.dispatchEvent(new CustomEvent("refused", { detail: error }));
  }

  #follow() {
    const stream = new Stream(this.#main.dataset.stream, {
      event: () => this.#soon(SETTLE),
      live: () => this.#soon(0),
      reset: () => this.now(),
      absent: () => this.now(),
      connection: showConnection,
    }, this.#seq);
    stream.follow();
    return stream;
  }
}
