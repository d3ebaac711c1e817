// What is asked for stands in the page's address, so that it can be kept, sent and gone back to.

import { date } from "./days.js";

export class Filters {
  #form;
  #changed;
  #later = new Map(); // what to offer in a list that is left

  /** The named controls of `form` are the filters; `changed` is called after the address has changed. */
  constructor(form, changed) {
    this.#form = form;
    this.#changed = changed;
    for (const select of form.querySelectorAll("select")) select.add(new Option(select.dataset.all, ""));
    // a date that is being typed is not one yet
    form.addEventListener("change", ({ target }) => form.checkValidity() && this.#write(target));
    form.addEventListener("focusout", ({ target }) => this.#later.get(target.name)?.());
    form.addEventListener("submit", (submit) => submit.preventDefault());
    addEventListener("popstate", () => {
      this.#read();
      changed();
    });
    this.#read();
  }

  /** The filters as a query, with `more` added. */
  query(more = {}) {
    return new URLSearchParams([...new URLSearchParams(location.search), ...Object.entries(more)]).toString();
  }

  get(name) {
    return new URLSearchParams(location.search).get(name);
  }

  /** Offer these names by alphabet, or values in their order if `label` says what to call one; and what is asked for. */
  offer(name, values, label = null) {
    const select = this.#form.elements[name];
    this.#later.delete(name);
    if (select === document.activeElement && select.dataset.values) {
      this.#later.set(name, () => this.offer(name, values, label)); // an open list stays as it is
      return;
    }
    const asked = this.get(name);
    const all = [...new Set(asked ? [...values, asked] : values)];
    if (!label) all.sort((one, other) => one.localeCompare(other));
    const options = all.map((value) => [value, label?.(value) ?? value]);
    if (select.dataset.values === JSON.stringify(options)) return;
    select.dataset.values = JSON.stringify(options);
    select.replaceChildren(new Option(select.dataset.all, ""), ...options.map(([value, words]) => new Option(words, value)));
    select.value = asked ?? "";
  }

  #write(changed) {
    const query = new URLSearchParams(location.search);
    for (const control of this.#form.elements) {
      if (!control.name || (control.type === "radio" && !control.checked)) continue;
      if (control.value && control.value !== control.dataset.default) query.set(control.name, control.value);
      else query.delete(control.name);
    }
    // a number of days and dates exclude each other
    const others = { days: ["from", "to"], from: ["days"], to: ["days"] }[changed.name] ?? [];
    for (const name of others) query.delete(name);
    this.#go(query);
  }

  #go(query) {
    const text = query.toString();
    history.pushState(null, "", text ? `?${text}` : location.pathname);
    this.#read();
    this.#changed();
  }

  #read() {
    const query = new URLSearchParams(location.search);
    const isDated = ["from", "to"].some((name) => date(query.get(name)));
    for (const control of this.#form.elements) {
      if (!control.name) continue;
      const value = query.get(control.name) ?? control.dataset.default ?? "";
      if (control.type === "radio") control.checked = control.value === value && !(control.name === "days" && isDated);
      else {
        if (control.tagName === "SELECT" && value && ![...control.options].some((each) => each.value === value)) control.add(new Option(value, value));
        control.value = control.type === "date" && !date(value) ? "" : value;
      }
    }
    lead(query);
  }
}

/** Links keep what was chosen, as far as where they lead knows of it: by its name, or by another after a colon. */
function lead(query) {
  for (const link of document.querySelectorAll("[data-with]")) {
    const names = link.dataset.with.split(" ").map((name) => name.split(":"));
    const chosen = names.map(([name, column = name]) => [column, query.get(name)]);
    link.search = new URLSearchParams(chosen.filter(([, value]) => value));
  }
}
