// The table of hours and days: one stop for the Tab key, walked by arrows. Each cell is a link to its events, if there can
// be any here, and its last row are the days' sums.

import { QUARTER } from "./days.js";
import { bounds, level } from "./levels.js";
import { DAY, MONTH, WEEKDAY, events, hours, number, short } from "./when.js";

const DENSE = 14; // days: with more of them numbers in the cells are too small to read
const SUMS = 24; // the row below the hours
const PAGE = 6;
const STEPS = {
  ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1],
  PageDown: [PAGE, 0], PageUp: [-PAGE, 0], Home: [0, -Infinity], End: [0, Infinity],
};

export class Grid {
  #table;
  #tell;
  #address;
  #days = [];
  #shape = "";
  #cells = []; // rows of elements
  #told = null;

  /** `tell` gets what a cell says when it is pointed at or walked to; `address(first, last)` leads to its events. */
  constructor(table, tell, address) {
    this.#table = table;
    this.#tell = tell;
    this.#address = address;
    table.addEventListener("keydown", (press) => this.#walk(press));
    for (const way of ["focusin", "mouseover"]) {
      table.addEventListener(way, ({ target }) => this.#point(target.closest("td"), way === "focusin"));
    }
  }

  /** Show these days, and mark the hour that runs at `now`. */
  show(days, now) {
    const ends = bounds(days.flatMap((day) => day.hours.map((hour) => hour?.n ?? 0)));
    const slot = Math.floor(now / QUARTER);
    this.#days = days;
    const shape = [this.#address(0, 0), ...days.map((day) => day.first)].join();
    const anew = shape !== this.#shape;
    const focused = this.#table.contains(document.activeElement);
    if (anew) this.#build(days);
    this.#shape = shape;
    days.forEach((day, column) => {
      this.#head(this.#table.tHead.rows[0].cells[column + 1], day, slot);
      day.hours.forEach((hour, row) => this.#fill(this.#cells[row][column], hour, row, day, level(hour?.n, ends), slot));
      this.#fill(this.#cells[SUMS][column], day, SUMS, day, 0, slot);
    });
    if (this.#told) this.#tell(this.#told.dataset.says);
    if (anew) this.#begin(focused);
    return ends;
  }

  #build(days) {
    const rows = Array.from({ length: SUMS + 1 }, (_, row) => {
      const tr = document.createElement("tr");
      tr.append(header("row", row === SUMS ? "Sum" : String(row).padStart(2, "0")), ...days.map(() => document.createElement("td")));
      return tr;
    });
    const corner = document.createElement("td");
    const top = document.createElement("tr");
    top.append(corner, ...days.map((day, column) => columnHeader(day.at, column === 0)));
    this.#table.replaceChildren(...["thead", "tbody", "tfoot"].map((name) => document.createElement(name)));
    this.#table.tHead.append(top);
    this.#table.tBodies[0].append(...rows.slice(0, SUMS));
    this.#table.tFoot.append(rows[SUMS]);
    this.#table.classList.toggle("dense", days.length > DENSE);
    this.#table.style.setProperty("--days", days.length);
    this.#cells = rows.map((row) => [...row.cells].slice(1));
    this.#told = null;
  }

  /** The newest day is in view, and the hour that runs is where the Tab key stops. */
  #begin(focused) {
    const stop = this.#table.querySelector("[aria-current=time]") ?? within(this.#cells[SUMS].at(-1));
    stop.tabIndex = 0;
    const box = this.#table.parentElement;
    box.scrollLeft = box.scrollWidth;
    if (focused) stop.focus();
  }

  #head(cell, day, slot) {
    if (day.first <= slot && slot < day.last) cell.setAttribute("aria-current", "date");
    else cell.removeAttribute("aria-current");
  }

  #fill(cell, span, row, day, level, slot) {
    const runs = row !== SUMS && span?.first <= slot && slot < span?.last;
    const later = span?.first > slot && span.n === 0;
    const state = [span?.n, span?.older, level, runs, later].join();
    if (cell.dataset.state === state) return;
    cell.dataset.state = state;
    const what = says(span, row, day);
    cell.dataset.says = what;
    cell.dataset.level = level;
    cell.className = span === undefined ? "skipped" : later ? "later" : span.older ? "older" : "";
    const told = dress(cell, span && (span.older && span.n === span.older ? "span" : "a"));
    told.setAttribute("aria-label", what);
    if (span === undefined) return;
    cell.firstElementChild.textContent = span.n ? short(span.n) : "";
    if (told !== cell) told.href = this.#address(span.first, span.last);
    if (runs) told.setAttribute("aria-current", "time");
    else told.removeAttribute("aria-current");
  }

  #point(cell, focused) {
    if (!cell?.dataset.says) return;
    this.#told = cell;
    this.#tell(cell.dataset.says);
    if (!focused) return;
    this.#stop()?.setAttribute("tabindex", "-1");
    within(cell).tabIndex = 0;
  }

  #stop() {
    return this.#table.querySelector('[tabindex="0"]');
  }

  #walk(press) {
    const step = STEPS[press.key];
    if (!step || press.metaKey || press.altKey || press.shiftKey) return;
    const cell = press.target.closest("td");
    let row = this.#cells.findIndex((cells) => cells.includes(cell));
    let column = this.#cells[row].indexOf(cell);
    if (press.ctrlKey) {
      if (Number.isFinite(step[1])) return;
      row = step[1] < 0 ? 0 : SUMS;
    }
    press.preventDefault();
    row = between(row + step[0], SUMS);
    column = between(column + step[1], this.#days.length - 1);
    within(this.#cells[row][column]).focus();
  }
}

/** What can have the focus and says what it is: the link, or the cell that leads nowhere. */
function within(cell) {
  return cell.querySelector("a") ?? cell;
}

/** Put a link into the cell, a text that is none, or nothing; what can have the focus then, which it keeps if it had it. */
function dress(cell, name) {
  const before = within(cell);
  if (cell.firstElementChild?.localName === name && before.hasAttribute("tabindex")) return before;
  const { tabIndex } = before;
  const focused = before === document.activeElement;
  for (const attribute of ["aria-label", "aria-current", "tabindex"]) cell.removeAttribute(attribute);
  cell.replaceChildren(...(name ? [document.createElement(name)] : []));
  const after = within(cell);
  after.tabIndex = tabIndex;
  if (focused) after.focus();
  return after;
}

function says(span, row, day) {
  const date = DAY.format(day.at);
  if (row === SUMS) return `${counted(span)}, ${date}`;
  if (span === undefined) return `No such hour, ${date}, ${hours(row)}: the clocks changed`;
  const minutes = (span.last - span.first) * 15;
  return [counted(span), date, hours(row), minutes !== 60 && `${minutes} minutes long: the clocks changed`].filter(Boolean).join(", ");
}

function counted({ n, older }) {
  if (!older) return events(n);
  return n === older ? `${events(n)} from Supabase` : `${events(n)}, ${number(older)} of them from Supabase`;
}

function columnHeader(at, first) {
  const cell = header("col", "");
  cell.setAttribute("aria-label", DAY.format(at));
  const parts = [first || at.getDate() === 1 ? MONTH.format(at) : "", WEEKDAY.format(at), String(at.getDate())];
  cell.append(...parts.map((part) => {
    const line = document.createElement("span");
    line.textContent = part;
    return line;
  }));
  return cell;
}

function header(scope, text) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.textContent = text;
  return cell;
}

function between(wish, most) {
  return Math.max(0, Math.min(most, wish));
}
