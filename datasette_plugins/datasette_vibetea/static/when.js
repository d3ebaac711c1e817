// Days, hours and numbers of events in words.

const NUMBER = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
export const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "short" });
export const WEEKDAY_LONG = new Intl.DateTimeFormat(undefined, { weekday: "long" });
export const MONTH = new Intl.DateTimeFormat(undefined, { month: "short" });

const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const DOLLARS = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });

export function number(n) {
  return NUMBER.format(n);
}

export function short(n) {
  return SHORT.format(n).replace("K", "k");
}

export function percent(share) {
  return PERCENT.format(share);
}

/** To the cent. */
export function dollars(n) {
  return n > 0 && n < 0.01 ? "< $0.01" : DOLLARS.format(n);
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
