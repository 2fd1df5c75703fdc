// What several views show of training jobs.

import { change, path } from "../../core/api.js";
import { percent } from "../../core/format.js";
import { useAction } from "../../core/hooks.js";
import { useState } from "../../vendor/hooks.js";
import { announce, Badge, Button, Failure, html } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { RequestDialog } from "../../parts/dialog.js";

const KINDS = { queued: "", running: "busy", succeeded: "good", failed: "bad", cancelled: "warning" };

/** The state of a job, a trial or a sweep. */
export const JobState = ({ job }) => html`<${Badge} kind=${KINDS[job.state]}>${job.state}<//>`;

export const isOpen = (job) => job.state === "queued" || job.state === "running";

/** Naive forecasts by their names in `evaluation`, and in backtests. */
export const NAIVE = {
  last_value: "repeating the last value",
  seasonal_value: "repeating the value of a period before",
  seasonal: "repeating the value of a period before",
  mean: "the mean of the readings before",
};

const HARDLY = 0.02;

/** Whether a result is better than the best of the naive forecasts, as a sentence. `better` has the share by name. */
export function verdict(better, noun = "errors") {
  const all = Object.entries(better || {}).filter(([, share]) => share !== null);
  if (!all.length) return null;
  const [name, share] = all.reduce((one, other) => (other[1] < one[1] ? other : one));
  if (share > 0) return { kind: share < HARDLY ? "warning" : "good", text: `${share < HARDLY ? "Hardly better" : "Better"} than doing nothing: its ${noun} are ${percent(share)} below those of the best naive forecast, ${NAIVE[name]}.` };
  return { kind: "bad", text: `Not better than doing nothing: its ${noun} are ${share < 0 ? `${percent(-share)} above` : "equal to"} those of ${NAIVE[name]}.` };
}

export const Verdict = ({ found }) => found && html`<p class=${`verdict ${found.kind}`}>${found.text}</p>`;

/** The buttons that cancel, retry and delete a job. */
export function JobActions({ job, onChange, onDelete }) {
  const at = path`/v1/jobs/${job.job}`;
  const cancelling = { method: "POST", path: `${at}/cancel` };
  const retrying = { method: "POST", path: `${at}/retry` };
  const run = useAction(async (request, done) => {
    await change(request);
    announce(done);
    onChange();
  });
  const [isDeleting, setDeleting] = useState(false);
  return html`
    <${CopyAs} request=${{ method: "GET", path: at }} />
    ${isOpen(job) && html`<${CopyAs} request=${cancelling} label="Copy cancel" />
      <${Button} kind="small" busy=${run.isRunning} onClick=${() => run.run(cancelling, "The job was cancelled.")}>Cancel job<//>`}
    ${["failed", "cancelled"].includes(job.state) && html`<${CopyAs} request=${retrying} label="Copy retry" />
      <${Button} kind="small" busy=${run.isRunning} onClick=${() => run.run(retrying, "The job was queued again.")}>Retry job<//>`}
    ${!isOpen(job) && html`<${Button} kind="small" onClick=${() => setDeleting(true)}>Delete job<//>`}
    <${Failure} error=${run.error} />
    ${isDeleting && html`
      <${RequestDialog} title="Delete the job?" verb="Delete" done="The job was deleted." isDangerous onClose=${() => setDeleting(false)} onDone=${onDelete}
        request=${() => ({ method: "DELETE", path: at })}>
        <p>Its ${job.data ? "" : "dataset and its "}loss curve ${job.data ? "is" : "are"} deleted. The version that it has published stays.</p><//>`}`;
}
