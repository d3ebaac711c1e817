// Events by their own time, newest first, each once, without a gap: from the newest down to a floor, below which older
// ones come when they are asked for.

export const MOST = 50_000;

export class Timeline {
  /** The entries {event, ...}. */
  all = [];
  #floor = null; // null: nothing older is left to ask for
  #asking = false;
  #aside = []; // too old to be shown now, and perhaps too new for the answer that is awaited

  /** The place before which there may be older events, as the server is asked for it; null if there are none. */
  get floor() {
    return this.#floor && `${this.#floor.timestamp} ${this.#floor.seq}`;
  }

  get full() {
    return this.all.length >= MOST;
  }

  clear() {
    this.all = [];
    this.#floor = null;
    this.#asking = false;
    this.#aside = [];
  }

  /** Those with which it begins: the latest there are, in any number of parts. */
  begin(entries) {
    this.#put(entries);
    if (entries.length) this.#floor = this.all.at(-1).event;
  }

  /** Any others. Old ones that are imported find their place, or come with all others of their time. */
  add(entries) {
    const isBelow = ({ event }) => this.#floor !== null && order(event, this.#floor) > 0;
    if (this.#asking) this.#aside = this.#aside.concat(entries.filter(isBelow));
    this.#put(entries.filter((entry) => !isBelow(entry)));
  }

  /** Older ones are asked for now; `answered` or `failed` follows. */
  ask() {
    this.#asking = true;
  }

  answered(entries, more) {
    this.#floor = more ? entries.at(-1).event : null;
    this.#asking = false;
    this.#put(entries);
    this.add(this.#aside.splice(0));
  }

  failed() {
    this.#asking = false;
    this.#aside = []; // the next answer has them
  }

  /** Where an entry stands, or would. */
  indexOf({ event }) {
    let [low, high] = [0, this.all.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order(this.all[middle].event, event) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Only what is newer than the oldest of them is put in order again. */
  #put(entries) {
    if (!entries.length) return;
    const oldest = entries.reduce((one, other) => (order(one.event, other.event) > 0 ? one : other));
    const end = this.indexOf(oldest);
    const same = this.all[end]?.event.seq === oldest.event.seq;
    const head = [...this.all.slice(0, end + (same ? 1 : 0)), ...entries].sort((one, other) => order(one.event, other.event));
    const once = head.filter(({ event }, at) => event.seq !== head[at - 1]?.event.seq);
    this.all = once.concat(this.all.slice(end + (same ? 1 : 0)));
    if (this.all.length <= MOST) return;
    this.all.length = MOST;
    this.#floor = this.all.at(-1).event;
  }
}

function order(one, other) {
  if (one.timestamp !== other.timestamp) return one.timestamp > other.timestamp ? -1 : 1;
  return other.seq - one.seq;
}
