// One EventSource while the page is seen. A browser allows six connections to a host, so a hidden tab gives its own
// back and later goes on after the last event it had. One that has gone silent, as after a sleep, is opened anew.

const LONGEST_WAIT = 30_000;
const LONGEST_SILENCE = 40_000; // the server speaks every fifteen seconds
const LOOK_EVERY = 5000;

export class Stream {
  #address;
  #on;
  #source = null;
  #cursor = null;
  #absent = false;
  #wait = 1000;
  #timer = 0;
  #heard = 0;

  /** Begins after the event of that seq; without one, with the latest. */
  constructor(address, on, cursor = null) {
    this.#address = address;
    this.#on = on;
    this.#cursor = cursor;
  }

  /** Follow the stream whenever the page is seen, from now on. */
  follow() {
    document.addEventListener("visibilitychange", () => this.#look());
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", () => this.#look());
    setInterval(() => this.#listen(), LOOK_EVERY);
    this.#look();
  }

  /** Begin anew, with the latest of another choice; with null as address there is nothing to follow. */
  begin(address) {
    this.#address = address;
    this.#cursor = null;
    this.#close();
    this.#look();
  }

  #look() {
    if (document.visibilityState === "hidden") {
      this.#close();
      this.#on.connection("paused");
    } else if (this.#address === null) {
      this.#on.connection("waiting");
    } else if (!this.#source) {
      this.#open("connecting");
    }
  }

  /** A sleep or a lost network ends a connection without a word. */
  #listen() {
    const isClosed = !this.#source || this.#source.readyState === EventSource.CLOSED;
    if (!isClosed && Date.now() - this.#heard > LONGEST_SILENCE) this.#open("reconnecting");
  }

  #open(state) {
    this.#close();
    this.#on.connection(state);
    const address = new URL(this.#address, location);
    if (this.#cursor !== null) address.searchParams.set("since", this.#cursor);
    const source = new EventSource(address);
    const on = (name, does) => source.addEventListener(name, (told) => {
      this.#heard = Date.now();
      if (told.lastEventId) this.#cursor = told.lastEventId;
      does(told);
    });
    this.#source = source;
    this.#heard = Date.now();
    on("open", () => {});
    on("beat", () => {});
    on("message", ({ data, lastEventId }) => {
      // the latest, with which it begins, have no place
      this.#on.event(JSON.parse(data), !lastEventId);
    });
    on("live", () => {
      this.#wait = 1000;
      this.#absent = false;
      this.#on.connection("live");
      this.#on.live();
    });
    on("reset", () => {
      this.#cursor = null;
      this.#on.reset();
      this.#open("reconnecting");
    });
    on("state", ({ data }) => {
      const { state } = JSON.parse(data);
      if (state === "no_daemon") return this.#on.connection(state);
      this.#absent = true;
      this.#cursor = null;
      this.#on.absent(state);
    });
    source.addEventListener("error", () => this.#failed(source));
  }

  #failed(source) {
    if (source !== this.#source) return;
    this.#on.connection(this.#absent ? "waiting" : "reconnecting");
    // the browser tries again by itself, unless the answer was an error
    if (source.readyState !== EventSource.CLOSED) return;
    this.#timer = setTimeout(() => this.#open("reconnecting"), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}
