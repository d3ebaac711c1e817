// Hours from before this database, out of a team's Supabase. They may take long and change seldom, so they are asked for
// apart from the rest.

import { write } from "./elements.js";
import { events } from "./when.js";

const FRESH = 300_000;
const RETRY = 60_000; // the server asks no more often than it should, whoever asks it
const SAYS = {
  asking: "Asking Supabase for what was before this database…",
  misconfigured: "History from Supabase needs an address that begins with https://.",
  untold: "Supabase is not asked, for want of a token: start the server with the functions’ VIBETEA_SUBSCRIBER_TOKEN.",
  refused: "Supabase refuses the token: start the server with the functions’ own VIBETEA_SUBSCRIBER_TOKEN.",
  useless: "Supabase gives no usable answer now.",
  unknowable: "Supabase counts by machine and hour alone, so nothing of it is added to one project.",
};

export class History {
  #address;
  #place;
  #again;
  #changed;
  #question = null;
  #until = 0;
  #hours = new Map();

  /**
   * `place` has the address, none if nothing is configured; its text tells how it stands, its button asks again.
   * `changed` is called when there are other hours to add.
   */
  constructor(place, changed) {
    this.#address = place.dataset.address;
    this.#place = place.querySelector("span");
    this.#again = place.querySelector("button");
    this.#changed = changed;
    this.#again.addEventListener("click", () => this.#ask(this.#question));
  }

  /** Whether there is a Supabase to ask. */
  get configured() {
    return Boolean(this.#address);
  }

  /** Numbers of events by slot, for the query `question`: none until they are there. */
  hours(question) {
    if (!this.#address) return this.#hours;
    if (question !== this.#question) {
      this.#hours = new Map();
      this.#ask(question);
    } else if (Date.now() > this.#until) this.#ask(question);
    return this.#hours;
  }

  async #ask(question) {
    this.#question = question;
    this.#until = Infinity; // no second time while this one is under way
    if (!this.#hours.size) this.#say("asking");
    const { state, hours = [] } = await answer(`${this.#address}?${question}`);
    if (question !== this.#question) return;
    this.#until = Date.now() + (state === "useless" ? RETRY : FRESH);
    this.#hours = new Map(hours);
    this.#say(state, hours.reduce((sum, [, n]) => sum + n, 0));
    this.#changed();
  }

  #say(state, sum) {
    const there = sum ? `${events(sum)} of these days are from Supabase, token counts among them: dotted.` : "Supabase has nothing of these days that is not here already.";
    write(this.#place, SAYS[state] ?? there);
    if (state !== "asking") this.#again.hidden = state !== "useless"; // who pressed it keeps the focus meanwhile
  }
}

async function answer(address) {
  try {
    const found = await fetch(address, { headers: { accept: "application/json" } });
    return found.ok ? await found.json() : { state: "useless" };
  } catch {
    return { state: "useless" };
  }
}
