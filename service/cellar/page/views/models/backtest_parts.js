// What a backtest has found: metrics in words and tables, and a plot of forecasts beside readings.

import { useState } from "../../vendor/hooks.js";
import { integer, number, percent } from "../../core/format.js";
import { html } from "../../parts/basics.js";
import { Chart } from "../../parts/chart.js";
import { NAIVE } from "../training/jobs.js";

const METRICS = { mae: "MAE", rmse: "RMSE", smape: "sMAPE", mase: "MASE", crps: "CRPS" };
const COVERAGE = /^coverage_(\d+)$/;

/** How many values were within each interval, as sentences, one for each target and interval. */
export function coverages(found) {
  return Object.entries(found.targets).flatMap(([target, { metrics }]) =>
    Object.entries(metrics).filter(([name, share]) => COVERAGE.test(name) && share !== null).map(([name, share]) =>
      `${target}: ${percent(share)} of ${integer(found.values)} readings were within the interval that is to hold ${COVERAGE.exec(name)[1]}%.`));
}

/** The metrics of each target beside those of the naive forecasts. */
export function BacktestTable({ found }) {
  const rows = Object.entries(found.targets).flatMap(([target, each]) => [
    { key: target, target, name: found.model, metrics: each.metrics, better: null },
    ...Object.entries(each.baselines).map(([name, metrics]) => ({ key: `${target} ${name}`, target, name: NAIVE[name], metrics, better: each.better_than[name] })),
  ]);
  const names = Object.keys(METRICS).filter((name) => rows.some((row) => typeof row.metrics[name] === "number"));
  return html`
    <div class="wide-table" tabindex="0" role="group" aria-label="Metrics"><table>
      <thead><tr><th scope="col">Forecast</th><th scope="col">Target</th>${names.map((name) => html`<th key=${name} scope="col" class="number">${METRICS[name]}</th>`)}<th scope="col" class="number">MAE is better by</th></tr></thead>
      <tbody>${rows.map((row) => html`
        <tr key=${row.key}><th scope="row">${row.name}</th><td>${row.target}</td>${names.map((name) => html`<td key=${name} class="number">${name === "smape" ? percent(row.metrics[name]) : number(row.metrics[name])}</td>`)}
          <td class="number">${percent(row.better)}</td></tr>`)}</tbody>
    </table></div>`;
}

/** Readings, forecasts and the interval of one target, as many points as the answer has. */
export function BacktestPlot({ found }) {
  const [chosen, setChosen] = useState(0);
  const plot = found.plots[chosen];
  if (!plot) return null;
  const series = [{ label: `${plot.target}`, values: plot.actual }, { label: "forecast", values: plot.point }];
  if (plot.low) series.push({ label: "low", values: plot.low, colour: 1, isEdge: true }, { label: "high", values: plot.high, colour: 1, isEdge: true });
  return html`
    ${found.plots.length > 1 && html`<div class="bar"><label>Target <select onChange=${(event) => setChosen(Number(event.target.value))}>
      ${found.plots.map((each, place) => html`<option key=${place} value=${place} selected=${place === chosen}>${each.target}</option>`)}</select></label></div>`}
    <${Chart} x=${plot.times ? plot.times.map((time) => Date.parse(time) / 1000) : plot.rows} hasDates=${plot.times !== null} hasGaps series=${series} height=${240}
      bands=${plot.low ? [{ low: 2, high: 3 }] : []} label=${`Forecasts of ${plot.target}`} xLabel=${plot.times ? "Time" : "Row"} />
    <p class="help">Each forecast was made up to ${found.horizon === 1 ? "one step" : `${found.horizon} steps`} before.${plot.interval ? ` The area is to hold ${percent(plot.interval)} of the readings.` : ""}${plot.times ? " Times are in UTC." : ""}</p>`;
}
