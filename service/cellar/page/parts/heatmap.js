// Heat maps: numbers as colours, from blue (negative) over the background to orange (positive).

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { number } from "../core/format.js";
import { html } from "./basics.js";

const POSITIVE = [217, 95, 2];
const NEGATIVE = [31, 120, 180];

/** Lay `values` out in rows of at most `width`. */
export function grid(values, width) {
  const rows = [];
  for (let start = 0; start < values.length; start += width) rows.push(values.slice(start, start + width));
  return rows;
}

/** The width of a grid for a number of values: one row up to 64, then about twice as wide as high. */
export const widthFor = (count) => (count <= 64 ? count : Math.min(128, 2 ** Math.ceil(Math.log2(Math.sqrt(count * 2)))));

function paint(canvas, rows, most) {
  const width = Math.max(1, ...rows.map((row) => row.length));
  canvas.width = width;
  canvas.height = Math.max(1, rows.length);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  rows.forEach((row, y) =>
    row.forEach((value, x) => {
      if (value === null || value === undefined) return;
      const place = (y * width + x) * 4;
      image.data.set(value < 0 ? NEGATIVE : POSITIVE, place);
      image.data[place + 3] = most ? Math.round(Math.min(1, Math.abs(value) / most) * 255) : 0;
    }),
  );
  context.putImageData(image, 0, 0);
}

/** A heat map of rows of numbers. `name(y, x)` names a place for the text under the map. */
export function Heatmap({ rows, label, name, cell = 14, most }) {
  const canvas = useRef(null);
  const [place, setPlace] = useState(null);
  const all = rows.flat().filter((value) => value !== null && value !== undefined);
  const limit = most ?? all.reduce((found, value) => Math.max(found, Math.abs(value)), 0);
  useEffect(() => paint(canvas.current, rows, limit), [rows, limit]);
  const width = Math.max(1, ...rows.map((row) => row.length));
  const move = (event) => {
    const box = canvas.current.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * rows.length);
    setPlace(rows[y]?.[x] === undefined ? null : [y, x]);
  };
  const mean = all.length ? all.reduce((sum, value) => sum + value, 0) / all.length : 0;
  const range = all.length ? `${number(all.reduce((a, b) => Math.min(a, b)), 3)} to ${number(all.reduce((a, b) => Math.max(a, b)), 3)}, mean ${number(mean, 3)}` : "no numbers";
  return html`
    <figure class="heatmap">
      <canvas ref=${canvas} role="img" aria-label=${`${label}: ${all.length} numbers, ${range}`} onPointerMove=${move} onPointerLeave=${() => setPlace(null)}
        style=${{ width: `min(100%, ${width * cell}px)`, height: `${rows.length * cell}px` }}></canvas>
      <figcaption>${place ? html`${name(...place)} = <b>${number(rows[place[0]][place[1]], 6)}</b>` : range}</figcaption>
    </figure>`;
}
