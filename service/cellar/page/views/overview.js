// The overview: whether the service is ready, what it guarantees, and what runs.

import { read } from "../core/api.js";
import { ago, integer, plural } from "../core/format.js";
import { usePoll } from "../core/hooks.js";
import { link } from "../core/router.js";
import { Badge, Card, Empty, Facts, Failure, Figure, html, Loading, Title } from "../parts/basics.js";
import { CopyAs } from "../parts/copy.js";
import { JobState } from "./jobs.js";

const DURABILITY = {
  always: "Each step is on disk before it is answered.",
  everysec: "Steps are written to disk once a second: a crash of the machine can lose the last one.",
  no: "The operating system decides when steps are written to disk.",
  none: "Nothing is written to disk: a restart of Redis loses everything.",
};

const load = async (signal) => {
  const [ready, models, sessions, jobs, health] = await Promise.all(
    ["/readyz", "/v1/models?limit=1000", "/v1/sessions?limit=1000", "/v1/jobs?limit=20", "/healthz"].map((path) => read(path, signal)),
  );
  return { ready, models, sessions, jobs: jobs.jobs, health };
};

const many = (list, cursor) => (cursor ? `${integer(list.length)}+` : integer(list.length));

function Begin() {
  return html`
    <${Card} title="Begin here">
      <ol class="steps">
        <li><a href="#/cells">Write a cell</a> as equations, or take a built-in one, and create a model with it.</li>
        <li>Open a session: it keeps the hidden state of one stream.</li>
        <li>Send a step and watch the output and the state.</li>
      </ol>
    <//>`;
}

function Jobs({ jobs }) {
  if (!jobs.length) {
    return html`<${Empty} title="No training job has run."><a href="#/training">Train a model</a> on a series of numbers.<//>`;
  }
  return html`
    <ul class="lines">${jobs.slice(0, 6).map((job) => html`
      <li key=${job.job}><a href=${link(["training"], { jobs: job.job })}>${job.model}</a> <${JobState} job=${job} />
        <span class="soft">${ago(job.created)}</span></li>`)}</ul>`;
}

export function Overview() {
  const { data, error } = usePoll(load, 3000);
  if (!data) return html`<${Title}>Overview<//><${Failure} error=${error} />${!error && html`<${Loading} />`}`;
  const { ready, models, sessions, jobs, health } = data;
  const store = ready.store;
  const active = jobs.filter((job) => ["queued", "running"].includes(job.state));
  return html`
    <${Title} actions=${html`<${CopyAs} request=${{ method: "GET", path: "/readyz" }} />`}>Overview<//>
    <${Failure} error=${error} />
    <div class="figures">
      <${Figure} name="Service" value="Ready" note=${`Cellar ${health.version}, ${ready.build === "compiled" ? "compiled" : "pure Python"}`} />
      <${Figure} name="Models" value=${many(models.models, models.cursor)} note=${html`<a href="#/models">Show models</a>`} />
      <${Figure} name="Sessions" value=${many(sessions.sessions, sessions.cursor)} note=${html`<a href="#/sessions">Show sessions</a>`} />
      <${Figure} name="Jobs in progress" value=${integer(active.length)} note=${html`<a href="#/training">Show training</a>`} />
    </div>
    ${!models.models.length && html`<${Begin} />`}
    <div class="columns">
      <${Card} title="Durability">
        <p><${Badge} kind=${store.durability === "always" ? "good" : "warning"}>${store.durability}<//> ${DURABILITY[store.durability] || ""}</p>
        <${Facts} items=${[
          ["Redis", store.redis_version],
          ["Primaries", store.primaries],
          ["Replicas", store.replicas],
          ["When memory is full", store.maxmemory_policy],
        ]} />
      <//>
      <${Card} title="Training" actions=${html`<a href="#/training">${plural(jobs.length, "job")}</a>`}><${Jobs} jobs=${jobs} /><//>
    </div>`;
}
