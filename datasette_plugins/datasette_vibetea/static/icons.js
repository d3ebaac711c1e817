// Line icons on a 16 by 16 grid, drawn in the colour of the text.

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  bell: "M4 11V7a4 4 0 0 1 8 0v4l1.5 1.5h-11zM6.5 14.5h3",
  bolt: "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z",
  branch: "M5 5v6M5 8h3a3 3 0 0 0 3-3M5 2a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3zM5 11a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3zM11 2a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3z",
  check: "M2.5 8.5 6 12l7.5-8",
  coins: "M2 5c0-1.4 2-2.5 4.5-2.5S11 3.6 11 5 9 7.5 6.5 7.5 2 6.4 2 5zM2 5v4c0 1.4 2 2.5 4.5 2.5M11 5v1.5M6 11c0-1.4 2-2.5 4-2.5s4 1.1 4 2.5-2 2.5-4 2.5-4-1.1-4-2.5z",
  cross: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  dot: "M8 6.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3z",
  fold: "M8 1.5v4M5.5 3.5 8 6l2.5-2.5M8 14.5v-4M5.5 12.5 8 10l2.5 2.5M2.5 8h11",
  globe: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM1.5 8h13M8 1.5c4 4 4 9 0 13M8 1.5c-4 4-4 9 0 13",
  list: "M6.5 4h7M6.5 8h7M6.5 12h7M2 4l1 1 1.5-2M2 8l1 1 1.5-2M2 12l1 1 1.5-2",
  page: "M4 1.5h5l3.5 3.5v9.5H4zM9 1.5V5h3.5M6 8.5h4.5M6 11h4.5",
  pencil: "M2.5 13.5l.7-3L10.5 3l2.5 2.5-7.5 7.3zM9 4.5 11.5 7",
  play: "M4.5 2.5v11l8.5-5.5z",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.5 10.5 14 14",
  speech: "M2 3h12v8H7.5L4.5 14v-3H2z",
  stop: "M3.5 3.5h9v9h-9z",
  swap: "M2 5.5h11M10.5 3 13 5.5 10.5 8M14 10.5H3M5.5 8 3 10.5 5.5 13",
  terminal: "M1.5 2.5h13v11h-13zM4 6l2 2-2 2M8 10.5h4",
  wrench: "M13.5 4.5 11 7 9 5l2.5-2.5a3.5 3.5 0 0 0-4.5 4.5L2.5 11.5l2 2L9 9a3.5 3.5 0 0 0 4.5-4.5z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
