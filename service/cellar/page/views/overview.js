// The overview: what the service does now, what it guarantees, and its processes.

import { read } from "../core/api.js";
import { ago, bytes, duration, instant, integer, number } from "../core/format.js";
import { usePoll } from "../core/hooks.js";
import { link } from "../core/router.js";
import { Badge, Card, Empty, Facts, Failure, Figure, html, Loading, Title } from "../parts/basics.js";
import { Chart } from "../parts/chart.js";
import { CopyAs } from "../parts/copy.js";
import { JobState } from "./training/jobs.js";

const EVERY_MS = 2000;
const KEPT = 150;

const DURABILITY = {
  always: "Each step is on disk before it is answered.",
  everysec: "Steps are written to disk once a second: a crash of the machine can lose the last one.",
  no: "The operating system decides when steps are written to disk.",
  none: "Nothing is written to disk: a restart of Redis loses everything.",
};

/** The readings of this tab, which stay while other views are open: time in ms, steps so far, latencies in ms. */
const readings = [];

function note(stats) {
  const last = readings[readings.length - 1];
  const now = Date.now();
  const isSame = last && stats.steps.total >= last.total;
  const rate = isSame ? ((stats.steps.total - last.total) * 1000) / Math.max(1, now - last.at) : null;
  readings.push({ at: now, total: stats.steps.total, rate, p50: stats.latency_ms.step?.p50 ?? null, p99: stats.latency_ms.step?.p99 ?? null });
  readings.splice(0, readings.length - KEPT);
}

async function load(signal) {
  const [stats, models, jobs] = await Promise.all(["/v1/stats", "/v1/models?limit=1", "/v1/jobs?limit=5"].map((path) => read(path, signal)));
  note(stats);
  return { stats, hasModels: models.models.length > 0, jobs: jobs.jobs };
}

const Begin = () => html`
  <${Card} title="Begin here">
    <ol class="steps">
      <li><a href="#/datasets">Add a table of readings</a> and train a forecast on it. Or <a href="#/cells">write a cell</a> as equations, or <a href="#/models">choose a built-in one</a>, and create a model with it.</li>
      <li>Open a session: it keeps the hidden state of one stream.</li>
      <li>Send a step, and watch the output and the state.</li>
    </ol>
  <//>`;

const Jobs = ({ jobs }) => (jobs.length
  ? html`<ul class="lines">${jobs.map((job) => html`
      <li key=${job.job}><a href=${link(["training", job.job])}>${job.model}</a> <${JobState} job=${job} /><span class="soft">${ago(job.created)}</span></li>`)}</ul>`
  : html`<${Empty} title="No training job has run."><a href="#/training">Train a model</a> on a series of numbers.<//>`);

function Store({ store }) {
  const { facts } = store;
  return html`
    ${store.ready
      ? html`<p><${Badge} kind=${facts.durability === "always" ? "good" : "warning"}>${facts.durability}<//> ${DURABILITY[facts.durability] || ""}</p>`
      : html`<div class="failure" role="alert"><p><b>Redis cannot keep sessions.</b> ${store.detail}</p></div>`}
    <${Facts} items=${[
      ["Redis", facts.redis_version],
      ["Primaries", facts.primaries],
      ["Replicas", facts.replicas],
      ["When memory is full", facts.maxmemory_policy],
    ].filter(([, value]) => value !== undefined)} />`;
}

const OTHERS = "(other)";

const name = (each, hasTenants) => html`${hasTenants && html`<span class="soft">${each.tenant} / </span>`}
  ${each.model === OTHERS ? "all others" : html`<a href=${link(["models", each.model])}>${each.model}</a>`}`;

const Busiest = ({ models }) => (models.length
  ? html`
    <table><thead><tr><th scope="col">Model</th><th scope="col" class="number">Steps per second</th><th scope="col" class="number">Steps</th></tr></thead>
      <tbody>${models.slice(0, 8).map((each) => html`
        <tr key=${`${each.tenant} ${each.model}`}><th scope="row">${name(each, models.some((one) => one.tenant !== each.tenant))}</th>
          <td class="number">${number(each.steps_per_second, 3)}</td><td class="number">${integer(each.steps)}</td></tr>`)}</tbody></table>`
  : html`<${Empty} title="No step has been taken since the service was started.">Open a <a href="#/sessions">session</a> and take one.<//>`);

const Processes = ({ processes }) => html`
  <table><thead><tr><th scope="col">Process</th><th scope="col" class="number">Memory</th><th scope="col">Running for</th></tr></thead>
    <tbody>${processes.map((each) => html`
      <tr key=${each.pid}><th scope="row">${each.name} <span class="soft">${each.pid}</span></th><td class="number">${bytes(each.memory_bytes)}</td>
        <td title=${instant(each.started)}>${duration((Date.now() - Date.parse(each.started)) / 1000)}</td></tr>`)}</tbody></table>`;

function Charts() {
  const shown = readings.filter((each) => each.rate !== null);
  if (shown.length < 2) return html`<${Empty} title="Measuring…">Rates and latencies appear after a few seconds.<//>`;
  const shared = { x: shown.map((each) => each.at / 1000), height: 150, hasTimes: true, isFromZero: true };
  const line = (label, name) => ({ label, values: shown.map((each) => each[name]) });
  return html`
    <${Chart} ...${shared} label="Steps per second" series=${[line("steps per second", "rate")]} />
    ${shown.some((each) => each.p99 !== null) && html`<${Chart} ...${shared} label="Latency of steps in milliseconds" series=${[line("p50 ms", "p50"), line("p99 ms", "p99")]} />`}`;
}

function Figures({ stats }) {
  const { step } = stats.latency_ms;
  const rate = readings[readings.length - 1]?.rate ?? stats.steps.per_second;
  const { sessions, jobs } = stats;
  return html`
    <div class="figures">
      <${Figure} name="Steps per second" value=${number(rate, 3)} note=${`${number(stats.steps.per_second, 3)} in the last minute, ${integer(stats.steps.total)} in all`} />
      <${Figure} name="Latency, median" value=${step ? number(step.p50, 3) : "–"} unit=${step && "ms"} note=${step ? `99% within ${number(step.p99, 3)} ms` : "no step in the last minute"} />
      <${Figure} name="Sessions in memory" value=${sessions ? integer(sessions.cached) : "–"} note=${html`<a href="#/sessions">All sessions</a>${sessions && html`, ${bytes(sessions.cache_bytes)}`}`} />
      <${Figure} name="Jobs running" value=${jobs ? integer(jobs.running) : "–"} note=${html`<a href="#/training">Training</a>${jobs && `, ${integer(jobs.queued)} queued`}`} />
    </div>`;
}

export function Overview() {
  const { data, error } = usePoll(load, EVERY_MS);
  if (!data) return html`<${Title}>Overview<//><${Failure} error=${error} />${!error && html`<${Loading} />`}`;
  const { stats, hasModels, jobs } = data;
  return html`
    <${Title} actions=${html`<span class="soft">Cellar ${stats.version}, ${stats.build === "compiled" ? "compiled" : "pure Python"}</span>
      <${CopyAs} request=${{ method: "GET", path: "/v1/stats" }} />`}>Overview<//>
    <${Failure} error=${error} />
    ${!hasModels && html`<${Begin} />`}
    ${stats.scope === "tenant" && html`<p class="help">Steps, models and jobs are those of your tenant. A key with the scope <code>metrics</code> also shows sessions in memory and processes.</p>`}
    <${Figures} stats=${stats} />
    <div class="columns uneven">
      <div>
        <${Card} title="Steps"><${Charts} /><//>
        <${Card} title="Durability"><${Store} store=${stats.store} /><//>
      </div>
      <div>
        <${Card} title="Busiest models"><${Busiest} models=${stats.models} /><//>
        ${stats.processes && html`<${Card} title="Processes"><${Processes} processes=${stats.processes} /><//>`}
        <${Card} title="Training" actions=${html`<a href="#/training">All jobs</a>`}><${Jobs} jobs=${jobs} /><//>
      </div>
    </div>`;
}
