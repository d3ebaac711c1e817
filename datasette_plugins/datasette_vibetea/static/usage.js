// Tokens and what they cost: by model, and by the days of the viewer's clock.

import { element, write } from "./elements.js";
import { named } from "./links.js";
import { fill } from "./table.js";
import { DAY, MONTH, dollars, number, short } from "./when.js";
import { text } from "./words.js";

const COLOURS = 6;
const MOST_LABELS = 5;
const KINDS = ["messages", "input", "output", "read", "written", "hour", "cost"]; // as the data's rows have them
const TOKENS = KINDS.slice(1, -1);

const part = (id) => document.getElementById(id);

/** Write the section from the statistics' `data` and its `days`, as days.js has them. */
export function showUsage(data, days, links) {
  const { models, rows, order } = data.usage;
  const colour = (model) => order[model] % COLOURS; // the same, whatever else is shown
  const range = [data.start, data.start + data.counts.length];
  const total = models.map(nothing);
  const byDay = days.map(() => models.map(nothing));
  const dayOf = days.flatMap(({ first, last }, at) => Array(last - first).fill(at));
  for (const [slot, model, ...told] of rows) {
    const day = byDay[dayOf[slot - data.start]][model];
    for (const sum of [total[model], day]) KINDS.forEach((kind, at) => add(sum, kind, told[at]));
  }
  part("usage").hidden = !rows.length;
  part("no-usage").hidden = rows.length > 0;
  fill(part("by-model"), models.map((name, model) => line([{ text: said(name), model: colour(model) }], total[model], range, name)));
  fill(part("day-by-day"), days.flatMap((day, at) => models.flatMap((name, model) => {
    const sum = byDay[at][model];
    return sum.messages ? [line([DAY.format(day.at), { text: said(name), model: colour(model) }], sum, [day.first, day.last], name)] : [];
  })));
  const shown = (value) => days.map((day, at) => ({ ...day, parts: byDay[at].map((sum, model) => ({ model: colour(model), n: value(sum) })) }));
  chart(part("tokens-chart"), shown(tokens), (n) => `${short(n)} tokens`);
  chart(part("cost-chart"), shown(({ cost }) => cost ?? 0), dollars);
  notes(data);

  function line(heads, sum, time, name) {
    const used = links.usage(time, named("model", name));
    const messages = links.events(time, { type__exact: "token_usage", ...named("model", name) });
    return [
      ...heads,
      sum.cost === null ? "no price" : { text: dollars(sum.cost), href: used },
      { text: number(sum.messages), href: messages },
      ...TOKENS.map((kind) => (sum[kind] ? { text: short(sum[kind]), title: number(sum[kind]), href: used } : "0")),
    ];
  }
}

function nothing() {
  return { ...Object.fromEntries(KINDS.map((kind) => [kind, 0])), cost: null };
}

/** What has no price in one quarter hour may have one in another. */
function add(sum, kind, n) {
  if (n !== null) sum[kind] = (sum[kind] ?? 0) + n;
}

function tokens(sum) {
  return TOKENS.reduce((n, kind) => n + sum[kind], 0);
}

function said(name) {
  return text(name).replace(/^claude-/, "") || "unknown";
}

function notes({ figures, prices }) {
  const checked = new Date(`${prices.checked}T12:00`);
  const by = figures.own ? "by your own prices, where they name a model, and else" : "at";
  write(part("estimate"), `Costs are an estimate ${by} the list prices of Anthropic’s API as of ${MONTH.format(checked)} ${checked.getFullYear()}, whatever your plan charges.`);
  write(part("unpriced"), figures.unpriced.length ? `No price is known of ${figures.unpriced.map((name) => text(name) || "an unnamed model").join(", ")}.` : "");
  write(part("bad-prices"), prices.problem ? `Your own ${prices.problem}.` : "");
}

/** Days as bars stacked by model. It is for the eye: the table behind it has the same numbers. */
function chart(place, days, told) {
  const [caption, bars] = place.children;
  const sums = days.map(({ parts }) => parts.reduce((sum, { n }) => sum + n, 0));
  const most = Math.max(...sums);
  const every = Math.ceil(days.length / MOST_LABELS);
  write(caption.lastElementChild, most ? `up to ${told(most)} a day` : "");
  bars.replaceChildren(...days.map(({ at, parts }, place) => {
    const day = element("div");
    day.title = `${DAY.format(at)}: ${told(sums[place])}`;
    const bar = element("div");
    for (const { model, n } of parts) if (n > 0) bar.append(slice(model, n / most));
    const labelled = (days.length - 1 - place) % every === 0;
    day.append(bar, element("span", "", labelled ? `${at.getDate()} ${MONTH.format(at)}` : ""));
    return day;
  }));
}

function slice(model, share) {
  const made = element("i");
  made.dataset.model = model;
  made.style.setProperty("--share", share);
  return made;
}
