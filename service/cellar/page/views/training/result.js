// How good the result of a job is, and what can be done with it.

import { useEffect, useState } from "../../vendor/hooks.js";
import { change, path } from "../../core/api.js";
import { trySession } from "../../core/forecasting.js";
import { number, percent } from "../../core/format.js";
import { useAction } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { announce, Button, Card, Failure, html } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { BacktestPlot, coverages } from "../models/backtest_parts.js";
import { NAIVE, Verdict, verdict } from "./jobs.js";

/** Fields of a job that a request may give and that the recipe would choose otherwise. */
const SETTINGS = ["epochs", "batch_size", "loss", "optimiser", "early_stopping", "validation", "window", "skip", "seed"];

/** The request that trains in the same way and publishes the result in any case. */
function again(job) {
  const chosen = job.chosen.map((each) => each.field);
  const sent = SETTINGS.filter((name) => !chosen.includes(name) && job.training[name] !== null).map((name) => [name, job.training[name]]);
  return { method: "POST", path: "/v1/jobs", body: { model: job.model, data: job.data, publish: "always", ...Object.fromEntries(sent) } };
}

function Losses({ evaluation }) {
  const rows = [["the result", evaluation.loss, null], ...Object.keys(NAIVE).filter((name) => typeof evaluation[name] === "number").map((name) => [
    `${NAIVE[name]}${name === "seasonal_value" && evaluation.period ? `, ${evaluation.period} steps` : ""}`, evaluation[name], evaluation.better_by?.[name]])];
  return html`
    <div class="wide-table" tabindex="0" role="group" aria-label="Losses"><table>
      <thead><tr><th scope="col">Forecast</th><th scope="col" class="number">Loss</th><th scope="col" class="number">The result is better by</th></tr></thead>
      <tbody>${rows.map(([name, loss, better]) => html`<tr key=${name}><th scope="row">${name}</th><td class="number">${number(loss)}</td><td class="number">${percent(better)}</td></tr>`)}</tbody>
    </table></div>`;
}

/** The forecasts of the result on the readings that it was not trained on. If the page has seen the end of the job, they are measured at once. */
function Held({ job, isAtOnce }) {
  const start = Number((1 - (job.training.validation || 0.2)).toFixed(6));
  const request = { method: "POST", path: path`/v1/models/${job.result}/backtest`, body: { dataset: job.data.dataset, start } };
  const [found, setFound] = useState(null);
  const test = useAction(async () => setFound(await change(request)));
  useEffect(() => {
    if (isAtOnce) test.run();
  }, [job.result]);
  return html`
    <${Card} title="Forecasts of the held-out readings" actions=${html`<${CopyAs} request=${request} />
      ${!found && html`<${Button} kind="small" busy=${test.isRunning} onClick=${test.run}>Measure<//>`}`}>
      <${Failure} error=${test.error} />
      ${!found && !test.error && html`<p class="help">${test.isRunning ? "Measuring…" : "Forecasts them as a session would, and counts how many were within the interval."}</p>`}
      ${found && html`
        ${coverages(found).map((text) => html`<p key=${text}>${text}</p>`)}
        <${BacktestPlot} found=${found} />
        <p class="help">The widths of the intervals were measured on these readings, so of new readings a few less may be within them.</p>`}
    <//>`;
}

function Next({ job }) {
  const start = useAction(async () => {
    const session = await trySession(job.result, job.data.dataset);
    announce("A session was opened with the last readings of the dataset.");
    go(["sessions", session]);
  });
  const publishing = again(job);
  const publish = useAction(async () => {
    const made = await change({ ...publishing, once: true });
    announce("The job was submitted.");
    go(["training", made.job]);
  });
  const isRefused = job.state === "failed" && job.data && job.publish === "if_better";
  if (isRefused) {
    return html`<p>It was not published. The same training has the same result, so it can be published by training again.</p><${Failure} error=${publish.error} />
      <div class="row"><${Button} busy=${publish.isRunning} onClick=${publish.run}>Train again and publish it anyway<//><${CopyAs} request=${publishing} /></div>`;
  }
  if (!job.result) return null;
  return html`<${Failure} error=${start.error} />
    <div class="row result-end">${job.data && html`<${Button} kind="main" busy=${start.isRunning} onClick=${start.run}>Try a session<//>`}
      <a class="button" href=${link(["models", job.result])}>Open ${job.result}</a>
      ${job.data && html`<span class="help">The session begins with the last readings of the dataset.</span>`}</div>`;
}

export function Result({ job, wasOpen }) {
  const { evaluation } = job;
  return html`
    ${evaluation && html`
      <${Card} title="Result">
        <${Verdict} found=${verdict(evaluation.better_by)} />
        <p class="help">${evaluation.data === "validation" ? "Measured on the last part of the data, which was held out." : "Measured on the data that it was trained on: nothing was held out."}</p>
        <${Losses} evaluation=${evaluation} />
        <${Next} job=${job} />
      <//>`}
    ${job.result && job.data && html`<${Held} job=${job} isAtOnce=${wasOpen} />`}`;
}
