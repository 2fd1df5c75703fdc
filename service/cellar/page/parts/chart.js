// Line charts, drawn by uPlot. The legend above a chart shows the values under the pointer, or else the last ones.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { date, number, utc } from "../core/format.js";
import { html } from "./basics.js";

const PALETTE = 8;

/** Distances of marks on the x axis, which counts steps or epochs. */
const WHOLE = Array.from({ length: 8 }, (_, power) => [1, 2, 5].map((first) => first * 10 ** power)).flat();

/** The value of a CSS variable, which depends on the colour scheme. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const lineColour = (index) => `--line-${(index % PALETTE) + 1}`;

/** Whether a line has so few values that each is marked; a single one could not be seen otherwise. */
const isSparse = (line) => !line.isEdge && line.values.filter((value) => value !== null).length < 40;

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

function options(element, latest, isLog, onCursor) {
  const props = latest.current;
  const grid = { stroke: colour("--grid"), width: 1 };
  const axis = { stroke: colour("--text-soft"), grid, ticks: grid, font: '12px system-ui, "DejaVu Sans", sans-serif' };
  const names = (_, places, axis_, space, every) => places.map((place) => (props.hasDates ? date(place, every) : nameOf(latest.current, place)));
  return {
    width: Math.max(element.clientWidth, 200),
    height: props.height,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: { time: Boolean(props.hasDates) },
      y: { distr: isLog ? 3 : 1, ...(props.isFromZero && { range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1] }) },
    },
    axes: [
      { ...axis, label: props.xLabel, labelSize: 20, labelFont: axis.font, size: 36, space: props.hasDates ? 115 : props.hasTimes ? 90 : 50, incrs: props.hasDates ? undefined : WHOLE, values: names },
      { ...axis, size: 58, values: (_, values) => values.map((value) => (value === null ? "" : number(value, 3))) },
    ],
    series: [
      {},
      ...props.series.map((line, index) => ({
        label: line.label,
        stroke: colour(lineColour(line.colour ?? index)),
        width: line.isEdge ? 0.5 : 1.75,
        dash: line.isDashed ? [6, 4] : undefined,
        spanGaps: !props.hasGaps,
        points: { show: isSparse(line) },
      })),
    ],
    bands: (props.bands || []).map(({ low, high }) => ({
      series: [high + 1, low + 1],
      fill: `${colour(lineColour(props.series[high].colour ?? high))}2e`,
    })),
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
  };
}

/** The name of a place on the x axis: the place itself, a time, or one of `names`. Places between two values have none. */
const nameOf = ({ x, names, hasTimes, hasDates }, place) =>
  (hasDates ? utc(place) : hasTimes ? clock(place) : String(names ? (names[x.indexOf(place)] ?? "") : place));

/**
 * `x` are the places of all values; each of `series` has a `label`, `values`, and may be `isDashed`. `names` are shown in
 * place of `x`, which are Unix seconds with `hasTimes`, shown as local times, and with `hasDates`, shown as dates in UTC. The y axis is
 * logarithmic with `isLog` if all values are positive, and begins at 0 with `isFromZero`. Each of `bands` fills the area
 * between two series, given by their places `low` and `high`; series that are its edges have `isEdge`. Lines are not
 * drawn over missing values with `hasGaps`.
 */
export function Chart(props) {
  const { x, series, label, height = 200, isLog = false } = props;
  const latest = useRef(null);
  latest.current = { ...props, height };
  const element = useRef(null);
  const plot = useRef(null);
  const [cursor, setCursor] = useState(null);
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  const canLog = isLog && series.every((line) => line.values.every((value) => value === null || value > 0));
  const form = JSON.stringify([series.map((line) => [line.label, line.colour, line.isDashed, isSparse(line)]), canLog, theme, height, props.xLabel, props.isFromZero, props.hasDates, props.bands]);
  useEffect(() => {
    const change = () => setTheme(document.documentElement.dataset.theme);
    addEventListener("theme", change);
    return () => removeEventListener("theme", change);
  }, []);
  useEffect(() => {
    const made = new uPlot(options(element.current, latest, canLog, setCursor), [[], ...series.map(() => [])], element.current);
    plot.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: Math.max(element.current?.clientWidth ?? 0, 200), height }));
    sized.observe(element.current);
    return () => {
      sized.disconnect();
      made.destroy();
    };
  }, [form]);
  useEffect(() => plot.current.setData([x, ...series.map((line) => line.values)]));
  const shown = cursor !== null && cursor < x.length ? cursor : x.length - 1;
  const summary = `${label}: ${series.map((line) => `${line.label} ${number(line.values[x.length - 1])}`).join(", ")}`;
  return html`
    <figure class="chart">
      <figcaption class="legend">
        ${props.xLabel && x.length > 0 && html`<span class="legend-x">${props.xLabel} <b>${nameOf(props, x[shown])}</b></span>`}
        ${series.map((line, index) => html`
          <span key=${line.label} class="legend-line"><span class=${`swatch line-${((line.colour ?? index) % PALETTE) + 1} ${line.isDashed ? "dashed" : ""}`} aria-hidden="true"></span>
            ${line.label} <b>${number(line.values[shown])}</b></span>`)}
      </figcaption>
      <div ref=${element} class="plot" role="img" aria-label=${summary}></div>
    </figure>`;
}
