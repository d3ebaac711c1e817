// Days, hours and numbers of events in words.

const NUMBER = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
export const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "short" });
export const MONTH = new Intl.DateTimeFormat(undefined, { month: "short" });

export function number(n) {
  return NUMBER.format(n);
}

export function short(n) {
  return SHORT.format(n).replace("K", "k");
}

export function events(n) {
  return `${number(n)} ${n === 1 ? "event" : "events"}`;
}

export function hours(hour) {
  return `${clock(hour)}–${clock(hour + 1)}`;
}

function clock(hour) {
  return `${String(hour).padStart(2, "0")}:00`;
}
