// What comes next in a session: recent readings, and the forecast with its interval.

import { useEffect, useState } from "../../vendor/hooks.js";
import { change, path } from "../../core/api.js";
import { forecastOf, outputNames, placed, readingsOf } from "../../core/forecasting.js";
import { number, utc } from "../../core/format.js";
import { useAction } from "../../core/hooks.js";
import { Button, Card, Failure, html } from "../../parts/basics.js";
import { Chart } from "../../parts/chart.js";
import { CopyAs } from "../../parts/copy.js";

const SHARES = ["50", "80", "90", "95"];
const ROLLED = 12;
const LEAST_SHOWN = 48;

/** Steps, values and times of a target that were seen: its readings, or forecasts of the next step where these are not kept. */
function seen(points, model, target, row) {
  const columns = placed(readingsOf(model) ?? []);
  const column = columns.find((each) => each.name === target);
  if (column && points.some((point) => point.input)) {
    const time = columns.find((each) => each.kind === "time")?.place;
    const at = (values) => (typeof values?.[time] === "number" ? values[time] * 86_400 + values[time + 1] : null);
    return { label: target, steps: points.map((point) => ({ step: point.step, value: point.input?.[row]?.[column.place] ?? null, time: at(point.input?.[row]) })) };
  }
  const output = outputNames(model).findIndex((name) => name.startsWith(`${target} +1`));
  return { label: `${target}, forecast one step before`, steps: points.map((point) => ({ step: point.step + 1, value: point.output?.[row]?.[output] ?? null, time: null })) };
}

/** Lines over the steps before and after the present one. The forecast is the median, which lies within every interval. */
function plot(answer, target, row, isBatch, past, position) {
  const of = (values) => (isBatch ? values[row] : values);
  const found = answer.targets[target];
  const point = of(found.quantiles?.["0.5"] ?? found.point);
  const edges = found.quantiles ? Object.keys(found.quantiles).sort((one, other) => one - other) : [];
  const low = edges.length && of(found.quantiles[edges[0]]);
  const high = edges.length && of(found.quantiles[edges[edges.length - 1]]);
  const kept = past.steps.filter(({ step }) => step <= position).slice(-Math.max(LEAST_SHOWN, 2 * point.length));
  const none = kept.map(() => null);
  const series = [{ label: past.label, values: [...kept.map(({ value }) => (typeof value === "number" ? value : null)), ...point.map(() => null)] }, { label: "forecast", values: [...none, ...point] }];
  if (low) series.push({ label: "low", values: [...none, ...low], colour: 1, isEdge: true }, { label: "high", values: [...none, ...high], colour: 1, isEdge: true });
  const times = answer.times && of(answer.times);
  const lines = point.map((value, ahead) => ({ ahead: ahead + 1, time: times?.[ahead], value, low: low?.[ahead], high: high?.[ahead] }));
  const hasDates = Boolean(times) && kept.every(({ time }) => time !== null);
  const x = hasDates
    ? [...kept.map(({ time }) => time), ...times.map((time) => Date.parse(time) / 1000)]
    : [...kept.map(({ step }) => step), ...point.map((_, ahead) => position + ahead + 1)];
  return { x, series, lines, hasDates, hasBand: Boolean(low) };
}

const Numbers = ({ lines }) => html`
  <details><summary>Numbers</summary>
    <div class="wide-table" tabindex="0" role="group" aria-label="Forecast"><table>
      <thead><tr><th scope="col" class="number">Steps ahead</th>${lines[0].time && html`<th scope="col">Time (UTC)</th>`}<th scope="col" class="number">Forecast</th><th scope="col" class="number">Low</th><th scope="col" class="number">High</th></tr></thead>
      <tbody>${lines.map((line) => html`<tr key=${line.ahead}><td class="number">${line.ahead}</td>${line.time && html`<td>${utc(line.time)}</td>`}<td class="number">${number(line.value, 5)}</td><td class="number">${number(line.low, 5)}</td><td class="number">${number(line.high, 5)}</td></tr>`)}</tbody>
    </table></div>
  </details>`;

function Found({ answer, session, model, points, target, row, share }) {
  const step = Number(answer.position.split(".")[1]);
  const { x, series, lines, hasDates, hasBand } = plot(answer, target, row, session.batch_size > 1, seen(points, model, target, row), step);
  const last = lines[lines.length - 1];
  const interval = (line) => (hasBand ? `, within ${number(line.low)} and ${number(line.high)} with a probability of ${share}%` : "");
  return html`
    <${Chart} x=${x} series=${series} bands=${hasBand ? [{ low: 2, high: 3 }] : []} label=${`Forecast of ${target}`} hasDates=${hasDates} xLabel=${hasDates ? "Time" : "Step"} height=${240} />
    <p>${target} ${lines.length === 1 ? "at the next step" : `in ${lines.length} steps`}: <b>${number(last.value)}</b>${interval(last)}.</p>
    <p class="help">Made after step ${step} by ${answer.model}. The session has not moved.${hasBand ? "" : " The model has no interval."}</p>
    <${Numbers} lines=${lines} />`;
}

export function Forecast({ session, model, points }) {
  const layer = forecastOf(model);
  const most = layer.horizon > 1 ? layer.horizon : 1024;
  const [horizon, setHorizon] = useState(layer.horizon > 1 ? layer.horizon : ROLLED);
  const [share, setShare] = useState("80");
  const [target, setTarget] = useState(layer.targets[0].name);
  const [row, setRow] = useState(0);
  const [found, setFound] = useState(null);
  const request = () => {
    const steps = Number(horizon);
    if (!Number.isInteger(steps) || steps < 1 || steps > most) throw new Error(`Steps ahead: enter a whole number from 1 to ${most}.`);
    const edge = (100 - Number(share)) / 200;
    return { method: "POST", path: path`/v1/sessions/${session.session}/forecast`, body: { horizon: steps, quantiles: [edge, 0.5, Number((1 - edge).toFixed(4))] } };
  };
  const ask = useAction(async () => setFound({ answer: await change(request()), share }));
  useEffect(() => {
    if (found && session.step > 0 && !ask.isRunning) ask.run();
  }, [session.position]);
  const choice = (label, of, value, onChange, text = (each) => each) => html`
    <label>${label} <select onChange=${(event) => onChange(event.target.value)}>${of.map((each) => html`<option key=${each} value=${each} selected=${each === value}>${text(each)}</option>`)}</select></label>`;
  return html`
    <${Card} title="Forecast" actions=${html`<${CopyAs} request=${request} />`}>
      <div class="bar">
        <label>Steps ahead <input type="number" min="1" max=${most} value=${horizon} onInput=${(event) => setHorizon(event.target.value)} /></label>
        ${choice("Interval", SHARES, share, setShare, (each) => `${each}%`)}
        ${layer.targets.length > 1 && choice("Target", layer.targets.map((each) => each.name), target, setTarget)}
        ${session.batch_size > 1 && html`<label>Row <input type="number" min="0" max=${session.batch_size - 1} value=${row} onInput=${(event) => setRow(Math.min(session.batch_size - 1, Math.max(0, Number(event.target.value))))} /></label>`}
        <${Button} kind="main" busy=${ask.isRunning && !found} onClick=${ask.run}>Forecast<//>
      </div>
      <${Failure} error=${ask.error} />
      ${session.step === 0 && html`<p class="help">A session in the initial state has to take a step first. One with a warm-up has read its dataset.</p>`}
      ${found && html`<${Found} answer=${found.answer} share=${found.share} session=${session} model=${model} points=${points} target=${target} row=${row} />
        <p class="help">It is made again after each step.</p>`}
    <//>`;
}
