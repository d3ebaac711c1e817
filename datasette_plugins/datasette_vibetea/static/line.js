// A line of bars, one a minute. Square roots let a calm minute be seen beside a busy one.

const SVG = "http://www.w3.org/2000/svg";
const [STEP, BAR, HEIGHT] = [4, 3, 24];

/** An empty line for so many bars, which say nothing to a screen reader. */
export function line(bars) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${bars * STEP - STEP + BAR} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "line");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  return svg;
}

/** Draw these numbers; `most` is as high as the line. */
export function draw(svg, numbers, most) {
  const bars = numbers.map((n, at) => (n ? `M${at * STEP} ${HEIGHT}v${-height(n, most)}h${BAR}V${HEIGHT}z` : ""));
  const path = bars.join("");
  if (svg.firstChild.getAttribute("d") !== path) svg.firstChild.setAttribute("d", path);
}

function height(n, most) {
  return Math.max(2, Math.round(Math.sqrt(n / most) * HEIGHT));
}
