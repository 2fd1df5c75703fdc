// Training: jobs, their loss curves, and the form of a new job.

import { useEffect, useMemo, useState } from "../../vendor/hooks.js";
import { path, read } from "../../core/api.js";
import { ago, bytes, number, plural } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { go, link, parameters } from "../../core/router.js";
import { Button, Card, Empty, Facts, Failure, html, Loading, Title } from "../../parts/basics.js";
import { Chart } from "../../parts/chart.js";
import { CopyAs } from "../../parts/copy.js";
import { JobForm } from "./job_form.js";
import { isOpen, JobActions, JobState } from "./jobs.js";

const MOST_CURVES = 8;

/** Loss curves of jobs over the same epochs. A validation loss is dashed, in the colour of its job. */
function curves(jobs) {
  const last = Math.max(0, ...jobs.flatMap((job) => job.history.map((entry) => entry.epoch)));
  const x = Array.from({ length: last }, (_, index) => index + 1);
  const series = jobs.flatMap((job, colour) => {
    const name = `${job.model} ${job.job.slice(0, 4)}`;
    const byEpoch = new Map(job.history.map((entry) => [entry.epoch, entry]));
    const line = (member) => x.map((epoch) => byEpoch.get(epoch)?.[member] ?? null);
    const found = [{ label: name, colour, values: line("loss") }];
    if (job.history.some((entry) => entry.validation_loss !== undefined)) {
      found.push({ label: `${name} validation`, colour, isDashed: true, values: line("validation_loss") });
    }
    return found;
  });
  return { x, series };
}

function Details({ job, onChange, onDelete }) {
  const { epoch, epochs } = job.progress;
  const { evaluation } = job;
  return html`
    <div class="job">
      <div class="row"><b><a href=${link(["training", job.job])}>${job.model}</a></b> <${JobState} job=${job} /> <code class="soft">${job.job}</code><span class="space"></span>
        <${JobActions} job=${job} onChange=${onChange} onDelete=${onDelete} /></div>
      ${isOpen(job) && epochs && html`<progress max=${epochs} value=${epoch} aria-label=${`Epoch ${epoch} of ${epochs}`}></progress>`}
      ${job.state === "queued" && html`<p class="help">The job waits for a worker. If none runs, start one with <code>cellar worker</code>.</p>`}
      ${job.error && html`<div class="failure"><p>${job.error}</p></div>`}
      ${job.warnings.map((warning) => html`<p key=${warning} class="banner">${warning}</p>`)}
      <${Facts} items=${[
        epoch && ["Epoch", `${epoch} of ${epochs}`],
        job.progress.loss !== undefined && ["Loss", number(job.progress.loss)],
        evaluation && [`Loss of the result (${evaluation.data})`, number(evaluation.loss)],
        evaluation && ["Before", number(evaluation.before)],
        evaluation?.last_value && ["Repeating the last value", number(evaluation.last_value)],
        job.result && ["Published as", html`<a href=${link(["models", job.result])}>${job.result}</a>`],
        ["Memory at most", bytes(job.memory_bytes)],
        ["Optimiser", `${job.training.optimiser.type}, learning rate ${job.training.optimiser.learning_rate}`],
      ]} />
    </div>`;
}

function Table({ jobs, chosen, onToggle }) {
  return html`
    <div class="wide-table" tabindex="0" role="group" aria-label="Jobs"><table>
      <thead><tr><th scope="col">Show</th><th scope="col">Model</th><th scope="col">State</th><th scope="col">Epoch</th><th scope="col" class="number">Loss</th><th scope="col">Result</th><th scope="col">Submitted</th></tr></thead>
      <tbody>${jobs.map((job) => html`
        <tr key=${job.job}>
          <td><input type="checkbox" aria-label=${`Show job ${job.job.slice(0, 4)} of ${job.model}`} checked=${chosen.includes(job.job)} onChange=${() => onToggle(job.job)} /></td>
          <th scope="row"><a href=${link(["training", job.job])}>${job.model}</a> <code class="soft">${job.job.slice(0, 4)}</code></th>
          <td><${JobState} job=${job} /></td>
          <td>${job.progress.epoch ? `${job.progress.epoch} of ${job.progress.epochs}` : "–"}</td>
          <td class="number">${number(job.evaluation?.loss ?? job.progress.loss)}</td>
          <td>${job.result ? html`<a href=${link(["models", job.result])}>${job.result}</a>` : "–"}</td>
          <td>${ago(job.created)}</td>
        </tr>`)}</tbody>
    </table></div>`;
}

/** Read the chosen jobs again, those that have ended only once. */
function useChosen(chosen) {
  const ended = useMemo(() => new Map(), []);
  return usePoll(async (signal) => {
    const jobs = await Promise.all(chosen.map(async (job) => {
      const found = ended.get(job) ?? (await read(path`/v1/jobs/${job}`, signal));
      if (!isOpen(found)) ended.set(job, found);
      return found;
    }));
    return jobs;
  }, 1000, [chosen.join()]);
}

export function Training() {
  const asked = parameters();
  const { data, error, reload } = usePoll(async (signal) => (await read("/v1/jobs?limit=200", signal)).jobs, 2000);
  const [picked, setPicked] = useState(asked.get("jobs")?.split(",") ?? null);
  const [hasForm, setForm] = useState(asked.has("model") || asked.has("dataset"));
  const [isLog, setLog] = useState(true);
  const newest = (data || []).filter(isOpen).slice(0, 3).map((job) => job.job);
  const chosen = picked ?? (newest.length ? newest : (data || []).slice(0, 1).map((job) => job.job));
  const { data: shown, error: fault, reload: again } = useChosen(chosen);
  useEffect(() => {
    if (picked === null && newest.length) setPicked(newest);
  }, [newest.join()]);
  const toggle = (job) => setPicked(chosen.includes(job) ? chosen.filter((each) => each !== job) : [...chosen, job].slice(-MOST_CURVES));
  const submitted = (job) => {
    if (job.data) return go(["training", job.job]);
    setForm(false);
    setPicked([job.job, ...chosen.filter((each) => (data || []).some((one) => one.job === each && isOpen(one)))].slice(0, MOST_CURVES));
    return reload();
  };
  const { x, series } = curves(shown || []);
  return html`
    <${Title} actions=${html`<${CopyAs} request=${{ method: "GET", path: "/v1/jobs" }} />
      ${!hasForm && html`<${Button} kind="main" onClick=${() => setForm(true)}>New job<//>`}`}>Training<//>
    <${Failure} error=${error || fault} />
    ${hasForm && html`<${JobForm} model=${asked.get("model") ?? ""} dataset=${asked.get("dataset")} onDone=${submitted} onClose=${() => setForm(false)} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data && !data.length && !hasForm && html`
      <${Card}><${Empty} title="No job has been submitted.">A job trains a version of a model on your data, and publishes the result as the next version. <a href="#/datasets">Add a table of readings</a> to train a forecast on it, or choose New job: it has example data to try.<//><//>`}
    ${data && data.length > 0 && html`
      <${Card} title="Loss" actions=${html`<label class="check"><input type="checkbox" checked=${isLog} onChange=${(event) => setLog(event.target.checked)} /> logarithmic</label>`}>
        ${x.length > 0 ? html`<${Chart} x=${x} series=${series} label="Loss by epoch" xLabel="Epoch" height=${260} isLog=${isLog} />` : html`<${Empty} title="No epoch has ended yet.">Curves appear with the first epoch of a job that is shown.<//>`}
        ${(shown || []).map((job) => html`<${Details} key=${job.job} job=${job} onChange=${() => { again(); reload(); }} onDelete=${() => { setPicked(chosen.filter((each) => each !== job.job)); reload(); }} />`)}
      <//>
      <${Card} title="Jobs" actions=${html`<span class="soft">${plural(data.length, "job")}</span>`}>
        <p class="help">Choose up to ${MOST_CURVES} to compare their curves.</p>
        <${Table} jobs=${data} chosen=${chosen} onToggle=${toggle} /><//>`}`;
}
