// One job: its progress as it happens, what it has chosen and why, and how good the result is.

import { useState } from "../../vendor/hooks.js";
import { path } from "../../core/api.js";
import { bytes, duration, instant, integer, number } from "../../core/format.js";
import { useFollowed } from "../../core/followed.js";
import { go, link } from "../../core/router.js";
import { Card, Empty, Facts, Failure, html, Loading, Prose, Title } from "../../parts/basics.js";
import { Chart } from "../../parts/chart.js";
import { isOpen, JobActions, JobState } from "./jobs.js";
import { Result } from "./result.js";

/** A job after an event; `null` if it must be read again. Events that are older than the job change nothing. */
function apply(job, { kind, data }) {
  if (kind === "stopping") return job;
  if (kind === "state") return data.attempt < job.attempt ? job : { ...job, state: data.state, attempt: data.attempt };
  if (kind !== "progress") return null;
  const { history, ...progress } = data;
  if (progress.elapsed_s < (job.progress.elapsed_s ?? 0)) return job;
  const last = job.history[job.history.length - 1]?.epoch ?? 0;
  return { ...job, progress, history: [...job.history, ...history.filter((entry) => entry.epoch > last)] };
}

function Curve({ history }) {
  const [isLog, setLog] = useState(true);
  const hasValidation = history.some((entry) => typeof entry.validation_loss === "number");
  const line = (label, member) => ({ label, values: history.map((entry) => entry[member] ?? null) });
  return html`
    <${Card} title="Loss" actions=${html`<label class="check"><input type="checkbox" checked=${isLog} onChange=${(event) => setLog(event.target.checked)} /> logarithmic</label>`}>
      ${history.length
        ? html`<${Chart} x=${history.map((entry) => entry.epoch)} series=${[line("training", "loss"), ...(hasValidation ? [{ ...line("validation", "validation_loss"), isDashed: true }] : [])]}
            label="Loss by epoch" xLabel="Epoch" height=${220} isLog=${isLog} />`
        : html`<${Empty} title="No epoch has ended yet.">The curve appears with the first one.<//>`}
    <//>`;
}

function Progress({ job, isLive }) {
  const { epoch, epochs, loss, validation_loss, steps_per_s, time_left_s, elapsed_s } = job.progress;
  return html`
    <${Card} title="Progress" actions=${html`<${JobState} job=${job} />`}>
      ${isOpen(job) && html`<progress max=${epochs || 1} value=${epochs ? epoch : undefined} aria-label=${epochs ? `Epoch ${epoch} of ${epochs}` : "The job has not begun yet"}></progress>`}
      ${job.state === "queued" && html`<p class="help">The job waits for a worker. If none runs, start one with <code>cellar worker</code>.</p>`}
      ${job.state === "running" && !epoch && html`<p class="help">The worker reads the data and prepares the network. The first job after an installation compiles it, which may take half a minute.</p>`}
      ${job.error && html`<div class="failure"><p>${job.error}</p></div>`}
      ${job.warnings.map((warning) => html`<p key=${warning} class="banner">${warning}</p>`)}
      <${Facts} items=${[
        epoch && ["Epoch", `${epoch} of ${epochs}`],
        job.updates_total && ["Updates in all", integer(job.updates_total)],
        epoch && ["Loss", number(loss)],
        typeof validation_loss === "number" && ["Validation loss", number(validation_loss)],
        steps_per_s && ["Steps a second", integer(steps_per_s)],
        isOpen(job) && epoch && ["Time left", time_left_s === null || time_left_s === undefined ? "…" : `at most ${duration(Math.ceil(time_left_s))}`],
        !isOpen(job) && elapsed_s && ["Took", `${number(elapsed_s, 3)} s`],
        job.attempt > 1 && ["Attempt", job.attempt],
        ["Memory at most", bytes(job.memory_bytes)],
        ["Submitted", instant(job.created)],
        isOpen(job) && ["Shown", isLive ? "as it happens" : "every 2 seconds"],
      ]} />
    <//>`;
}

const short = (value) => (Array.isArray(value) ? value.join(", ") : typeof value === "object" && value !== null ? Object.entries(value).filter(([, each]) => each !== null).map(([name, each]) => `${name} ${short(each)}`).join(", ") : String(value ?? "none"));

const Chosen = ({ chosen }) => html`
  <${Card} title="What was chosen, and why">
    <div class="wide-table" tabindex="0" role="group" aria-label="Choices"><table>
      <thead><tr><th scope="col">Setting</th><th scope="col">Choice</th><th scope="col">Why</th></tr></thead>
      <tbody>${chosen.map((each) => html`<tr key=${each.field}><th scope="row">${each.field.replace("data.", "").replaceAll("_", " ")}</th><td class="words">${short(each.value)}</td><td class="words"><${Prose} text=${each.why} /></td></tr>`)}</tbody>
    </table></div>
  <//>`;

export function Job({ name }) {
  const { data: job, error, isLive, reload } = useFollowed(path`/v1/jobs/${name}`, isOpen, apply);
  const [wasOpen, setWasOpen] = useState(false);
  const above = html`<a href="#/training">Training</a>`;
  if (!job) return html`<${Title} above=${above}>Job ${name.slice(0, 4)}<//><${Failure} error=${error} />${!error && html`<${Loading} />`}`;
  if (isOpen(job) && !wasOpen) setWasOpen(true);
  return html`
    <${Title} above=${above} actions=${html`<${JobActions} job=${job} onChange=${reload} onDelete=${() => go(["training"])} />`}>Training of ${job.model}<//>
    <${Failure} error=${error} />
    ${job.data && html`<p class="soft">Dataset <a href=${link(["datasets", job.data.dataset])}>${job.data.dataset}</a>, ${job.data.horizon === 1 ? "the next step" : `${job.data.horizon} steps ahead`}</p>`}
    <${Progress} job=${job} isLive=${isLive} />
    ${!isOpen(job) && html`<${Result} job=${job} wasOpen=${wasOpen} />`}
    <${Curve} history=${job.history} />
    ${job.chosen.length > 0 && html`<${Chosen} chosen=${job.chosen} />`}`;
}
