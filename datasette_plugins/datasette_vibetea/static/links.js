// Addresses of what the days and the choice in the page's own address ask for: what to ask of the data, and tables of rows.

import { QUARTER, range } from "./days.js";

const CHOICES = ["project", "source"];

export class Links {
  #filters;
  #rows;

  /** `rows` is the address of the table of events. */
  constructor(filters, rows) {
    this.#filters = filters;
    this.#rows = rows;
  }

  /** What to ask for: the range in UTC, and the chosen columns. */
  get question() {
    const [from, to] = range(this.#filters).map((at) => `${at.toISOString().slice(0, 16)}Z`);
    return new URLSearchParams({ from, to, ...this.asked() });
  }

  /** What is chosen, by column. */
  asked(suffix = "") {
    return Object.fromEntries(CHOICES.map((name) => [name + suffix, this.#filters.get(name)]).filter(([, value]) => value));
  }

  /** The events from one quarter hour to another of which `query` holds, newest first. */
  events([first, last], query) {
    const [timestamp__gte, timestamp__lt] = [minute(first), minute(last)];
    return this.#table("events", { timestamp__gte, timestamp__lt, _sort_desc: "timestamp", ...query });
  }

  /** The rows that sum up the messages of that time. */
  usage([slot__gte, slot__lt], query) {
    return this.#table("usage", { slot__gte, slot__lt, ...query });
  }

  /** The sessions that were open then. */
  sessions([first, last]) {
    return this.#table("sessions", { last_at__gte: minute(first), first_at__lt: minute(last), _sort_desc: "last_at" });
  }

  #table(name, query) {
    return `${this.#rows.replace(/[^/]*$/, name)}?${new URLSearchParams({ ...this.asked("__exact"), ...query })}`;
  }
}

/** A filter of Datasette's on a column that may be empty. */
export function named(column, name) {
  return name ? { [`${column}__exact`]: name } : { [`${column}__isblank`]: 1 };
}

// the beginning of a time is less than all that begin with it
function minute(slot) {
  return new Date(slot * QUARTER).toISOString().slice(0, 16);
}
