// All sweeps of the tenant, the newest first, and the form of a new one.

import { useState } from "../../vendor/hooks.js";
import { read } from "../../core/api.js";
import { ago, number, plural } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { Button, Card, Empty, Failure, html, Loading, Title } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { JobForm } from "../training/job_form.js";
import { JobState } from "../training/jobs.js";

const ALL = { method: "GET", path: "/v1/sweeps?limit=200" };
const ENDED = ["succeeded", "failed", "cancelled"];

/** How many trials have ended, and how many there are. */
export const progress = ({ counts }) => {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return { all, ended: ENDED.reduce((sum, state) => sum + (counts[state] ?? 0), 0) };
};

/** The parameters of a trial in words. */
export const settings = (parameters) => Object.entries(parameters).map(([name, value]) => `${name} ${typeof value === "number" ? number(value) : typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");

const Line = ({ sweep }) => {
  const { all, ended } = progress(sweep);
  return html`
    <tr><th scope="row"><a href=${link(["sweeps", sweep.sweep])}>${sweep.model}</a> <code class="soft">${sweep.sweep.slice(0, 4)}</code></th>
      <td><${JobState} job=${sweep} /></td><td>${sweep.search.type}</td><td class="number">${ended} of ${all}</td>
      <td>${sweep.best ? `${number(sweep.best.value)}: ${settings(sweep.best.parameters)}` : "–"}</td>
      <td>${sweep.result ? html`<a href=${link(["models", sweep.result])}>${sweep.result}</a>` : "–"}</td><td>${ago(sweep.created)}</td></tr>`;
};

export function Sweeps() {
  const { data, error } = usePoll((signal) => read(ALL.path, signal), 3000);
  const [hasForm, setForm] = useState(false);
  return html`
    <${Title} actions=${html`<${CopyAs} request=${ALL} />
      ${!hasForm && html`<${Button} kind="main" onClick=${() => setForm(true)}>New sweep<//>`}`}>Sweeps<//>
    <${Failure} error=${error} />
    ${hasForm && html`<${JobForm} isSweep onDone=${(sweep) => go(["sweeps", sweep.sweep])} onClose=${() => setForm(false)} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data && !data.sweeps.length && html`
      <${Card}><${Empty} title="No sweep has been started.">A sweep runs a training job with many settings and publishes the best result.
        Choose New sweep, or start one with <code>cellar sweep start</code>, and follow it here.<//><//>`}
    ${data && data.sweeps.length > 0 && html`
      <${Card} title="All sweeps" actions=${html`<span class="soft">${plural(data.sweeps.length, "sweep")}${data.cursor && ", the newest"}</span>`}>
        <div class="wide-table" tabindex="0" role="group" aria-label="Sweeps"><table>
          <thead><tr><th scope="col">Model</th><th scope="col">State</th><th scope="col">Search</th><th scope="col" class="number">Trials ended</th><th scope="col">Best</th><th scope="col">Result</th><th scope="col">Begun</th></tr></thead>
          <tbody>${data.sweeps.map((sweep) => html`<${Line} key=${sweep.sweep} sweep=${sweep} />`)}</tbody>
        </table></div>
      <//>`}`;
}
