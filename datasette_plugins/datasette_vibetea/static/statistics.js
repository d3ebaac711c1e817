// The statistics: joins what is asked for, the numbers, the tables and the charts.

import { fold } from "./days.js";
import { write } from "./elements.js";
import { showFigures } from "./figures.js";
import { Filters } from "./filters.js";
import { Links, named } from "./links.js";
import { Refresher } from "./refresh.js";
import { columns, fill } from "./table.js";
import { showUsage } from "./usage.js";
import { WEEKDAY_LONG, events, hours, number } from "./when.js";
import { duration, human, text } from "./words.js";

const part = (id) => document.getElementById(id);
const main = part("statistics");
const filters = new Filters(part("filters"), () => refresher.now());
const links = new Links(filters, main.dataset.rows);
const refresher = new Refresher(main, () => `${main.dataset.data}?${links.question}`, show);
main.addEventListener("refused", ({ detail }) => {
  only("");
  write(part("refused"), `These days cannot be shown: ${detail}.`);
});

function show(data) {
  write(part("refused"), "");
  only(data.outdated ? "outdated" : data.seq > 0 ? "numbers" : "empty");
  if (data.outdated || !data.seq) return;
  for (const name of ["project", "source"]) filters.offer(name, data[`${name}s`]);
  const range = [data.start, data.start + data.counts.length];
  const acts = { type__notin: data.uncounted.join() };
  const days = fold(data.start, data.counts);
  const something = data.figures.events > 0 || data.usage.rows.length > 0;
  part("none").hidden = something;
  part("sections").hidden = !something;
  showFigures(part("figures"), data.figures, links, range, data.uncounted);
  names("types", data.types, (name) => [human(name), { type__exact: name }]);
  names("by-project", data.of_projects, (name) => [text(name) || "none", { ...acts, ...named("project", name) }]);
  names("by-source", data.of_sources, (name) => [text(name), { ...acts, ...named("source", name) }]);
  tools(data.tools);
  errors(data.errors);
  busiest(days);
  showUsage(data, days, links);

  function names(id, { names, others }, told) {
    const most = Math.max(...names.map(([, n]) => n));
    fill(part(id), names.map(([name, n]) => {
      const [words, query] = told(name);
      return [words, { text: number(n), share: n / most, href: links.events(range, query) }];
    }));
    more(id, others);
  }

  function tools({ names, others }) {
    const most = Math.max(...names.map(({ calls }) => calls));
    fill(part("tools"), names.map(({ tool, calls, timed, p50, p95, ...outcomes }) => {
      const ended = { type__exact: "tool", status__exact: "completed", ...named("tool", tool) };
      const slowest = links.events(range, { type__exact: "tool", ...named("tool", tool), duration_ms__notnull: 1, _sort_desc: "duration_ms" });
      return [
        text(tool) || "none",
        { text: number(calls), share: calls / most, href: links.events(range, ended) },
        how("failed"),
        timed === 0 ? "–" : timed < calls ? number(timed) : "all",
        ...[p50, p95].map((ms) => (ms === null ? "–" : { text: duration(ms), href: slowest })),
        how("interrupted"),
        how("refused"),
      ];

      function how(outcome) {
        const n = outcomes[outcome];
        return n ? { text: number(n), href: links.events(range, { ...ended, outcome__exact: outcome }) } : "0";
      }
    }));
    more("tools", others);
  }

  function errors(all) {
    part("errors").hidden = !all.length;
    part("no-errors").hidden = all.length > 0;
    const most = Math.max(...all.map(([, n]) => n));
    fill(part("errors"), all.map(([category, n]) => {
      const rows = links.events(range, { type__exact: "error", payload__contains: `"category":"${category}"` });
      return [human(category) || "unknown", { text: number(n), share: n / most, href: category && rows }];
    }));
  }
}

function more(id, others) {
  write(part(id).nextElementSibling, others ? `and ${number(others)} more` : "");
}

/** The hours of the day and the days of the week, each added up over all days. */
function busiest(days) {
  const byHour = Array(24).fill(0);
  const byDay = Array(7).fill(0);
  for (const day of days) {
    byDay[(day.at.getDay() + 6) % 7] += day.n;
    day.hours.forEach((hour, at) => (byHour[at] += hour?.n ?? 0));
  }
  columns(part("by-hour"), byHour.map((n, at) => ({ n, label: String(at).padStart(2, "0"), title: `${events(n)}, ${hours(at)}` })));
  columns(part("by-day"), byDay.map((n, at) => {
    const name = WEEKDAY_LONG.format(new Date(2024, 0, 1 + at)); // a Monday was the first
    return { n, label: name.slice(0, 2), title: `${events(n)}, ${name}` };
  }));
}

function only(id) {
  for (const each of ["numbers", "empty", "outdated"]) part(each).hidden = each !== id;
}
