// One EventSource while the page is seen. A browser allows six connections to a host, so a hidden tab gives its own
// back and later goes on after the last event it had.

const LONGEST_WAIT = 30_000;

export class Stream {
  #address;
  #on;
  #source = null;
  #cursor = null;
  #absent = false;
  #wait = 1000;
  #timer = 0;

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
    this.#look();
  }

  #look() {
    if (document.visibilityState === "hidden") {
      this.#close();
      this.#on.connection("paused");
    } else if (!this.#source) {
      this.#open("connecting");
    }
  }

  #open(state) {
    this.#close();
    this.#on.connection(state);
    const address = this.#cursor === null ? this.#address : `${this.#address}?since=${this.#cursor}`;
    const source = new EventSource(address);
    this.#source = source;
    source.addEventListener("message", ({ data, lastEventId }) => {
      this.#cursor = lastEventId; // the seq, but for the first ones: those are the latest by time
      this.#on.event(JSON.parse(data));
    });
    source.addEventListener("live", () => {
      this.#wait = 1000;
      this.#absent = false;
      this.#cursor ??= 0;
      this.#on.connection("live");
      this.#on.live();
    });
    source.addEventListener("reset", () => {
      this.#cursor = null;
      this.#on.reset();
      this.#open("reconnecting");
    });
    source.addEventListener("state", ({ data }) => {
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
