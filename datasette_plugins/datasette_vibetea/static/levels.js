// How strong a colour a number gets: a quarter each of the hours in which something happened, from the calmest to the
// busiest.

export const LEVELS = 4;

/** The highest number of each level, rising; fewer than LEVELS if there are not so many different numbers. */
export function bounds(numbers) {
  const rising = numbers.filter((n) => n > 0).sort((one, other) => one - other);
  const ends = Array.from({ length: LEVELS }, (_, level) => rising[Math.ceil(((level + 1) * rising.length) / LEVELS) - 1]);
  return [...new Set(rising.length ? ends : [])];
}

/** 0 for nothing, and up to LEVELS, which the busiest hour always has. */
export function level(n, bounds) {
  return n > 0 ? bounds.findIndex((most) => n <= most) + 1 + LEVELS - bounds.length : 0;
}
