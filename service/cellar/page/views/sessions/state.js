// The state of a session as heat maps: as it is, and over the steps that were seen on this page.

import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { path, read } from "../../core/api.js";
import { number, plural } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { Card, Empty, Failure, html, Loading } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { grid, Heatmap, widthFor } from "../../parts/heatmap.js";

const SEEN = 120;
const WIDEST_OVER_TIME = 256;
const LISTED = 256;

/** The states of all layers: their name, and an array for each row. */
function states(answer) {
  return answer.layers.flatMap(({ layer, cell, ...named }) =>
    Object.entries(named).map(([name, rows]) => ({ id: `${layer}.${name}`, isOfReadings: cell === "readings", title: `${name} of layer ${layer} (${cell})`, rows })));
}

/** The states that were seen, the last SEEN of them, as columns. */
function useSeen(answer) {
  const seen = useRef([]);
  if (answer && seen.current[seen.current.length - 1]?.position !== answer.position) {
    seen.current = [...seen.current.slice(1 - SEEN), { position: answer.position, step: answer.step, states: states(answer) }];
  }
  return seen.current;
}

function Now({ state, batch }) {
  const width = batch > 1 ? state.rows[0].length : widthFor(state.rows[0].length);
  const rows = batch > 1 ? state.rows : grid(state.rows[0], width);
  const name = (y, x) => (batch > 1 ? `row ${y}, ${state.id}[${x}]` : `${state.id}[${y * width + x}]`);
  const cell = Math.max(3, Math.min(26, Math.floor(370 / width)));
  return html`<${Heatmap} rows=${rows} label=${state.title} name=${name} cell=${cell} />
    <details><summary>Numbers</summary><pre class="code">${state.rows.map((row) => row.slice(0, LISTED).map((each) => number(each, 6)).join(", ") + (row.length > LISTED ? ", …" : "")).slice(0, 16).join("\n")}</pre></details>`;
}

function OverTime({ seen, index, state }) {
  const columns = seen.filter((each) => each.states[index]?.rows[0].length === state.rows[0].length);
  const rows = state.rows[0].map((_, unit) => columns.map((column) => column.states[index].rows[0][unit]));
  return html`<${Heatmap} rows=${rows} label=${`${state.title} over ${columns.length} steps`} cell=${Math.max(2, Math.min(14, Math.floor(360 / columns.length), Math.floor(300 / rows.length)))}
    name=${(y, x) => `${state.id}[${y}] at step ${columns[x].step}`} />`;
}

function Layer({ state, index, isOverTime, seen, batch }) {
  const isWide = state.rows[0].length > WIDEST_OVER_TIME;
  return html`
    <div class="state"><h3>${state.title} <small>${plural(state.rows[0].length, "number")}${batch > 1 ? `, ${batch} rows` : ""}</small></h3>
      ${isOverTime && !isWide ? html`<${OverTime} seen=${seen} index=${index} state=${state} />` : html`<${Now} state=${state} batch=${batch} />`}
      ${isOverTime && isWide && html`<p class="help">A state of more than ${WIDEST_OVER_TIME} numbers is shown as it is now.</p>`}</div>`;
}

export function State({ session }) {
  const { data, error, reload } = usePoll((signal) => read(path`/v1/sessions/${session.session}/state`, signal), 0, [session.session]);
  const [isOverTime, setOverTime] = useState(false);
  const seen = useSeen(data);
  useEffect(() => {
    if (data && data.position !== session.position) reload();
  }, [session.position]);
  const found = data ? states(data) : [];
  const ofReadings = found.filter((state) => state.isOfReadings);
  const shared = { isOverTime, seen, batch: session.batch_size };
  return html`
    <${Card} title="State" actions=${html`
      <label class="check"><input type="checkbox" checked=${isOverTime} onChange=${(event) => setOverTime(event.target.checked)} /> over time</label>
      <${CopyAs} request=${{ method: "GET", path: path`/v1/sessions/${session.session}/state` }} />`}>
      <${Failure} error=${error} />
      ${!data && !error && html`<${Loading} />`}
      ${data && !found.length && html`<${Empty} title="This model keeps no state." />`}
      ${found.map((state, index) => state.isOfReadings || html`<${Layer} key=${state.id} state=${state} index=${index} ...${shared} />`)}
      ${ofReadings.length > 0 && html`<details><summary>${plural(ofReadings.length, "state")} of the layer that reads readings</summary>
        ${found.map((state, index) => state.isOfReadings && html`<${Layer} key=${state.id} state=${state} index=${index} ...${shared} />`)}</details>`}
      ${isOverTime && html`<p class="help">Over time: the states that this page has seen since it was opened${session.batch_size > 1 && ", of row 0"}.</p>`}
    <//>`;
}
