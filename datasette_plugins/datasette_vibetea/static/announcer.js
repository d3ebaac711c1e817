// What a screen reader hears: at once that a session needs its person, and otherwise a summary now and then.

import { describe, text } from "./words.js";

const SUMMARY_EVERY = 20_000;
const LOST_AFTER = 3_000;

export class Announcer {
  #place;
  #count = 0;
  #latest = null;
  #timer = 0;
  #lost = 0;

  constructor(place) {
    this.#place = place;
  }

  event(event) {
    const { tone, what } = describe(event);
    if (tone === "attention") this.#say(`${text(event.project)}: ${what}`);
    this.#count += 1;
    this.#latest = event;
    this.#timer ||= setTimeout(() => this.#summary(), SUMMARY_EVERY);
  }

  connection(state) {
    clearTimeout(this.#lost);
    if (state === "no_daemon") this.#say("No daemon runs. Start it with: vibetea up");
    if (state !== "reconnecting") return;
    this.#lost = setTimeout(() => this.#say("Connection lost. Reconnecting."), LOST_AFTER);
  }

  #summary() {
    const { what, detail } = describe(this.#latest);
    this.#say(`${this.#count} new. Latest: ${[text(this.#latest.project), what, detail].filter(Boolean).join(" ")}`);
    this.#count = 0;
    this.#timer = 0;
  }

  #say(words) {
    this.#place.textContent = words;
  }
}
