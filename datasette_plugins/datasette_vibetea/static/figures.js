// The few numbers that say most, each with a link to its rows.

import { element, write } from "./elements.js";
import { named } from "./links.js";
import { dollars, number, percent, short } from "./when.js";

/**
 * Write `figures` of the statistics' data into the list `place`, in place. `links` lead to the rows of `range`, two
 * quarter hours; `uncounted` are the types of events that are left out.
 */
export function showFigures(place, figures, links, range, uncounted) {
  const { events, sessions, calls, failed, tokens, cached, cost, unpriced, own } = figures;
  const ended = { type__exact: "tool", status__exact: "completed" };
  const used = links.usage(range, {});
  const told = [
    ["Events", number(events), links.events(range, { type__notin: uncounted.join() }), "without token counts"],
    ["Sessions", number(sessions), links.sessions(range), "open in this time"],
    ["Tool calls", number(calls), links.events(range, ended), "ended"],
    ["Failures", number(failed), links.events(range, { ...ended, ...named("outcome", "failed") }), calls ? `${percent(failed / calls)} of the calls` : ""],
    ["Tokens", short(tokens), used, tokens ? `${percent(cached / tokens)} from cache` : "", number(tokens)],
    ["Cost", dollars(cost), used, unpriced.length ? `without ${unpriced.length} of the models` : own ? "by your own prices" : "at list prices"],
  ];
  told.forEach(([name, value, href, note, title = ""], at) => {
    const figure = place.children[at] ?? place.appendChild(made());
    const [term, detail] = figure.children;
    write(term, name);
    write(detail.firstElementChild, value);
    detail.firstElementChild.href = href;
    detail.firstElementChild.title = title;
    write(detail.lastElementChild, note);
  });
}

function made() {
  const figure = element("div");
  const detail = element("dd");
  detail.append(element("a"), element("small"));
  figure.append(element("dt"), detail);
  return figure;
}
