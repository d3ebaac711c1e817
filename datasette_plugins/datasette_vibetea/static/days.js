// Days and hours as the viewer's clock has them, made of quarter hours since the epoch: all that a time zone or a change
// of the clocks shifts is a number of those.

export const QUARTER = 900_000;
const MOST_DAYS = 366;
const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;

/** The midnights between which the days lie that `filters` ask for: `days` up to today, or `from` and `to`. */
export function range(filters) {
  const to = date(filters.get("to")) ?? new Date();
  const days = Math.min(Math.max(Number.parseInt(filters.get("days") ?? 7, 10) || 7, 1), MOST_DAYS);
  return [date(filters.get("from")) ?? midnight(to, 1 - days), midnight(to, 1)];
}

/**
 * Days of `counts`, one a quarter hour from slot `start` on: {at, first, last, n, older, hours}, `first` and `last` being
 * slots and `hours` 24 of {first, last, n, older}. An hour that the clocks skip is undefined, and one they repeat is
 * longer. `more` are numbers by slot that are added to `n`, and kept apart in `older`.
 */
export function fold(start, counts, more = new Map()) {
  const days = [];
  let day = null;
  let date = 0;
  counts.forEach((n, index) => {
    const slot = start + index;
    const at = new Date(slot * QUARTER);
    const older = more.get(slot) ?? 0;
    if (at.getDate() !== date) {
      date = at.getDate();
      day = { at, first: slot, last: slot, n: 0, older: 0, hours: Array(24).fill(undefined) };
      days.push(day);
    }
    const hour = (day.hours[at.getHours()] ??= { first: slot, last: slot, n: 0, older: 0 });
    for (const each of [day, hour]) {
      each.last = slot + 1;
      each.n += n + older;
      each.older += older;
    }
  });
  return days;
}

function midnight(day, later) {
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + later);
}

/** The midnight with which a day begins; undefined if `text` names none there is. */
export function date(text) {
  const [, year, month, day] = DATE.exec(text ?? "") ?? [];
  const at = new Date(Number(year), Number(month) - 1, Number(day));
  return at.getDate() === Number(day) ? at : undefined;
}
