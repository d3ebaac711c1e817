// Older events, asked for as the end of the list comes near, and a line at the end that says how that stands.

export class Older {
  #place;
  #list;
  #query;
  #asking = null;
  #failed = false;

  /** `place` has a line for each way it may stand; `query(more)` gives what is asked for, with more of it. */
  constructor(place, list, query) {
    this.#place = place;
    this.#list = list;
    this.#query = query;
    place.querySelector("button").addEventListener("click", () => this.again());
  }

  near() {
    const { timeline } = this.#list;
    if (timeline.floor === null) this.#say(timeline.all.length ? "all" : "");
    else if (timeline.full) this.#say("full");
    else if (!this.#asking && !this.#failed) this.#ask(timeline);
  }

  /** Try once more, if it failed. */
  again() {
    this.#failed = false;
    this.#list.schedule();
  }

  /** Another list begins. */
  stop() {
    this.#asking?.abort();
    this.#asking = null;
    this.#failed = false;
    this.#say("");
  }

  async #ask(timeline) {
    const asking = new AbortController();
    this.#asking = asking;
    this.#say("asking");
    timeline.ask();
    try {
      const answer = await fetch(`${this.#place.dataset.older}?${this.#query({ before: timeline.floor })}`, { signal: asking.signal });
      if (!answer.ok) throw new Error(answer.statusText);
      const { events, more } = await answer.json();
      if (asking.signal.aborted) return;
      this.#say("");
      this.#list.older(events, more);
    } catch {
      if (asking.signal.aborted) return;
      timeline.failed();
      this.#failed = true;
      this.#say("failed");
    }
    this.#asking = null;
  }

  #say(name) {
    for (const line of this.#place.children) line.hidden = line.dataset.end !== name;
  }
}
