// One sweep: its trials as a ranking, the curves of the best, and its result.

import { useEffect, useState } from "../../vendor/hooks.js";
import { change, path, read } from "../../core/api.js";
import { instant, number, plural } from "../../core/format.js";
import { useFollowed } from "../../core/followed.js";
import { useAction, usePoll } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { announce, Badge, Button, Card, Empty, Facts, Failure, html, Loading, Title } from "../../parts/basics.js";
import { Chart } from "../../parts/chart.js";
import { CopyAs } from "../../parts/copy.js";
import { RequestDialog } from "../../parts/dialog.js";
import { JobState } from "../training/jobs.js";
import { progress, settings } from "./sweeps.js";

const SHOWN = 100;
const CURVES = 8;

const isOpen = (sweep) => sweep.state === "running";

/** Trials come ranked from the service alone, so that a sweep is read again after each event. */
const apply = (sweep, event) => (event.kind === "stopping" ? sweep : null);

function Actions({ sweep, onChange }) {
  const at = path`/v1/sweeps/${sweep.sweep}`;
  const cancelling = { method: "POST", path: `${at}/cancel` };
  const cancel = useAction(async () => {
    await change(cancelling);
    announce("The sweep was cancelled.");
    onChange();
  });
  const [isDeleting, setDeleting] = useState(false);
  return html`
    <${CopyAs} request=${{ method: "GET", path: at }} />
    ${isOpen(sweep)
      ? html`<${CopyAs} request=${cancelling} label="Copy cancel" /><${Button} busy=${cancel.isRunning} onClick=${cancel.run}>Cancel sweep<//>`
      : html`<${Button} onClick=${() => setDeleting(true)}>Delete<//>`}
    <${Failure} error=${cancel.error} />
    ${isDeleting && html`
      <${RequestDialog} title="Delete the sweep?" verb="Delete" done="The sweep was deleted." isDangerous onClose=${() => setDeleting(false)} onDone=${() => go(["sweeps"])}
        request=${() => ({ method: "DELETE", path: at })}><p>Its jobs and their curves are deleted too. The version that it has published stays.</p><//>`}`;
}

function Curves({ sweep }) {
  const target = path`/v1/sweeps/${sweep.sweep}/curves` + `?limit=${CURVES}`;
  const { data, error, reload } = usePoll((signal) => read(target, signal), 0, [sweep.sweep]);
  const { ended } = progress(sweep);
  useEffect(() => {
    if (data) reload();
  }, [ended, sweep.state]);
  const curves = (data?.curves ?? []).filter((curve) => curve.epochs.length);
  const x = [...new Set(curves.flatMap((curve) => curve.epochs))].sort((one, other) => one - other);
  const series = curves.map((curve, colour) => {
    const values = curve.validation_loss.some((value) => value !== null) ? curve.validation_loss : curve.loss;
    const byEpoch = new Map(curve.epochs.map((epoch, place) => [epoch, values[place]]));
    return { label: `trial ${curve.trial}${curve.rung ? `, rung ${curve.rung}` : ""}`, colour, values: x.map((epoch) => byEpoch.get(epoch) ?? null) };
  });
  return html`
    <${Card} title="Losses of the best" actions=${html`<${CopyAs} request=${{ method: "GET", path: target }} />`}>
      <${Failure} error=${error} />
      ${!data && !error && html`<${Loading} />`}
      ${data && (x.length
        ? html`<${Chart} x=${x} series=${series} label="Losses of the best trials by epoch" xLabel="Epoch" height=${240} isLog />
          <p class="help">Of the validation data if there are any.</p>`
        : html`<${Empty} title="No epoch has ended yet." />`)}
    <//>`;
}

/** The values of one varied number against what trials are compared by. */
function Influence({ sweep }) {
  const done = sweep.trials.filter((trial) => trial.value !== null);
  const names = Object.keys(sweep.parameters).filter((name) => done.length > 1 && done.every((trial) => typeof trial.parameters[name] === "number"));
  const [chosen, setChosen] = useState(null);
  const name = chosen ?? names[0];
  if (!name) return null;
  const points = done.map((trial) => [trial.parameters[name], trial.value]).sort((one, other) => one[0] - other[0]);
  return html`
    <${Card} title="What the settings do">
      ${names.length > 1 && html`<div class="bar"><label>Setting <select onChange=${(event) => setChosen(event.target.value)}>${names.map((each) => html`<option key=${each} value=${each} selected=${each === name}>${each}</option>`)}</select></label></div>`}
      <${Chart} x=${points.map((_, place) => place)} names=${points.map(([value]) => number(value))} series=${[{ label: "value", values: points.map(([, value]) => value) }]} label=${`Value by ${name}`} xLabel=${name} height=${180} isLog />
    <//>`;
}

const Ranking = ({ sweep }) => html`
  <${Card} title="Trials" actions=${html`<span class="soft">the best first</span>`}>
    <div class="wide-table" tabindex="0" role="group" aria-label="Trials"><table>
      <thead><tr><th scope="col" class="number">Rank</th><th scope="col">Trial</th><th scope="col">Settings</th><th scope="col">State</th><th scope="col" class="number">Value</th><th scope="col">Job</th></tr></thead>
      <tbody>${sweep.trials.slice(0, SHOWN).map((trial, place) => html`
        <tr key=${`${trial.rung}.${trial.trial}`} class=${sweep.best && trial.trial === sweep.best.trial && trial.rung === sweep.best.rung ? "current" : ""}>
          <td class="number">${trial.value === null ? "–" : place + 1}</td>
          <th scope="row">${trial.trial}${trial.epochs ? html`<span class="soft block">${plural(trial.epochs, "epoch")}</span>` : ""}</th>
          <td class="words">${settings(trial.parameters)}${trial.error && html`<span class="field-error block">${trial.error}</span>`}</td>
          <td><${JobState} job=${trial} /></td><td class="number">${number(trial.value)}</td>
          <td>${trial.job ? html`<a href=${link(["training", trial.job])}>${trial.job.slice(0, 4)}</a>` : "–"}</td></tr>`)}</tbody>
    </table></div>
    ${sweep.trials.length > SHOWN && html`<p class="help">The first ${SHOWN} of ${plural(sweep.trials.length, "trial")}.</p>`}
  <//>`;

export function SweepView({ name }) {
  const { data: sweep, error, isLive, reload } = useFollowed(path`/v1/sweeps/${name}`, isOpen, apply);
  const above = html`<a href="#/sweeps">Sweeps</a>`;
  if (!sweep) return html`<${Title} above=${above}>Sweep ${name.slice(0, 4)}<//><${Failure} error=${error} />${!error && html`<${Loading} />`}`;
  const { all, ended } = progress(sweep);
  const alias = sweep.publish?.alias;
  return html`
    <${Title} above=${above} actions=${html`<${Actions} sweep=${sweep} onChange=${reload} />`}>Sweep of ${sweep.model}<//>
    <${Failure} error=${error} />
    ${isOpen(sweep) && html`<progress max=${all} value=${ended} aria-label=${`${ended} of ${all} trials have ended`}></progress>`}
    ${sweep.error && html`<div class="failure"><p>${sweep.error}</p></div>`}
    <${Facts} items=${[
      ["State", html`<${JobState} job=${sweep} />`],
      ["Trials", `${ended} of ${all} ended${sweep.counts.failed ? `, ${sweep.counts.failed} failed` : ""}`],
      ["Search", sweep.search.type],
      sweep.best && ["Best", `trial ${sweep.best.trial}: ${number(sweep.best.value)}`],
      sweep.best && ["With", settings(sweep.best.parameters)],
      sweep.result && ["Published as", html`<a href=${link(["models", sweep.result])}>${sweep.result}</a>`],
      alias && ["Alias", html`<${Badge} kind=${sweep.result ? "busy" : ""}>${alias}<//>${sweep.result ? "" : " moves to the best"}`],
      ["Begun", instant(sweep.created)],
      isOpen(sweep) && ["Shown", isLive ? "as it happens" : "every 2 seconds"],
    ]} />
    <${Ranking} sweep=${sweep} />
    <${Curves} sweep=${sweep} />
    <${Influence} sweep=${sweep} />`;
}
