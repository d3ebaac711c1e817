// Tables of numbers with bars, and columns of bars. All is written in place: what has the focus keeps it.

import { element, write } from "./elements.js";

/**
 * Write rows into the body of a table. The first cell of a row is its head. A cell is a text, or {text, href, title,
 * share, model}: a bar is so much of the cell's width, and a model has a colour.
 */
export function fill(table, rows) {
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, at) => {
    const row = body.rows[at] ?? body.insertRow();
    cells.forEach((cell, place) => {
      const shown = row.cells[place] ?? row.appendChild(place ? element("td") : head());
      set(shown, typeof cell === "object" ? cell : { text: cell });
    });
  });
}

/** Write columns, {label, title, n}, into a table of one row of bars over one of labels. */
export function columns(table, told) {
  const [bars, labels] = [table.tBodies[0].rows[0], table.tFoot.rows[0]];
  const most = Math.max(...told.map(({ n }) => n), 1);
  told.forEach(({ label, title, n }, at) => {
    const bar = bars.cells[at] ?? bars.appendChild(column());
    bar.title = title;
    write(bar.firstElementChild, title);
    bar.lastElementChild.style.setProperty("--share", n / most);
    bar.classList.toggle("most", n === most);
    write(labels.cells[at] ?? labels.appendChild(head("col")), label);
  });
}

function head(scope = "row") {
  const made = element("th");
  made.scope = scope;
  return made;
}

function column() {
  const made = element("td");
  made.append(element("span", "unseen"), element("i"));
  return made;
}

function set(cell, { text, href = "", title = "", share = null, model = null }) {
  const name = href ? "A" : "BDI";
  if (cell.firstElementChild?.tagName !== name) cell.replaceChildren(element(name));
  const [shown, bar] = cell.children;
  write(shown, text);
  if (href) shown.href = href;
  shown.title = title;
  if (model === null) delete cell.dataset.model;
  else cell.dataset.model = model;
  if (share !== null) (bar ?? cell.appendChild(element("i"))).style.setProperty("--share", share);
}
