// One session: what it does, its state, and everything that can be done with it.

import { useState } from "../../vendor/hooks.js";
import { ago, instant, plural } from "../../core/format.js";
import { path, read } from "../../core/api.js";
import { forecastOf, outputNames, placed, readingsOf } from "../../core/forecasting.js";
import { usePoll } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { useSessionFeed } from "../../core/session_feed.js";
import { Badge, Button, Card, Empty, Facts, Failure, html, Loading, Title } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { Chart } from "../../parts/chart.js";
import { changed } from "./sessions.js";
import { DeleteSession, Fork, Reset } from "./dialogs.js";
import { Forecast } from "./forecast.js";
import { Past } from "./past.js";
import { Snapshots } from "./snapshots.js";
import { State } from "./state.js";
import { TakeStep } from "./step.js";

const LINES = 8;

const plotted = (value) => (typeof value === "number" ? value : null);

/** The values of one row as lines of a chart, one for each of the first features, which have a `label` and a `place`. */
const lines = (points, name, row, features) => features.slice(0, LINES).map(({ label, place }) => ({
  label, values: points.map((point) => plotted(point[name]?.[row]?.[place])),
}));

/** The features that can be drawn: columns of readings but times, outputs by their names, or else all by number. */
function featuresOf(points, name, model, row) {
  const columns = readingsOf(model);
  if (name === "input" && columns) return placed(columns).filter((column) => column.kind !== "time").map((column) => ({ label: column.name, place: column.place }));
  const names = name === "output" ? outputNames(model) : null;
  const count = points.find((point) => point[name])?.[name][row]?.length ?? 0;
  return Array.from({ length: count }, (_, place) => ({ label: names?.[place] ?? `${name} ${place}`, place }));
}

function Series({ points, name, model, title, row, missing }) {
  const features = points.some((point) => point[name]) ? featuresOf(points, name, model, row) : [];
  const series = lines(points, name, row, features);
  const more = features.length - series.length;
  return html`
    <${Card} title=${title} actions=${more > 0 && html`<span class="soft">the first ${LINES} of ${LINES + more}</span>`}>
      ${series.length ? html`<${Chart} x=${points.map((_, index) => index + 1)} names=${points.map((point) => point.step)} series=${series} label=${title} xLabel="Step" height=${170} />` : html`<${Empty} title=${`No ${name} to show yet.`}>${missing}<//>`}
    <//>`;
}

function Live({ session, model, points }) {
  const [row, setRow] = useState(0);
  const outputs = session.events
    ? "Take a step below, or send steps from your program: outputs appear as they are made."
    : "This session keeps no events, so only steps that you take on this page are shown. Open sessions with “Events to keep” to watch them.";
  const inputs = session.log ? "Inputs appear with the first step." : "This session keeps no log of its inputs. Open sessions with “Inputs to keep” to see them.";
  return html`
    ${session.batch_size > 1 && html`
      <div class="bar"><label>Row <input type="number" min="0" max=${session.batch_size - 1} value=${row} onInput=${(event) => setRow(Math.min(session.batch_size - 1, Math.max(0, Number(event.target.value))))} /></label>
        <span class="soft">of ${plural(session.batch_size, "row")}, counted from 0</span></div>`}
    <${Series} points=${points} name="output" model=${model} title="Outputs" row=${row} missing=${outputs} />
    <${Series} points=${points} name="input" model=${model} title="Inputs" row=${row} missing=${inputs} />`;
}

const DIALOGS = { reset: Reset, fork: Fork, remove: DeleteSession };

export function Session({ name }) {
  const { session, points, ended, refresh, took } = useSessionFeed(name);
  const reference = session?.model;
  const { data: model, error: fault } = usePoll((signal) => (reference ? read(path`/v1/models/${reference}`, signal) : null), 0, [reference]);
  const [own, setOwn] = useState([]);
  const [dialog, setDialog] = useState(null);
  const above = html`<a href="#/sessions">Sessions</a>`;
  if (!session) return html`<${Title} above=${above}>${name}<//><${Failure} error=${ended} />${!ended && html`<${Loading} />`}`;
  const Dialog = DIALOGS[dialog];
  const stepped = (input, answer) => {
    const rows = (value) => (Array.isArray(value?.[0]) ? value : [value]);
    setOwn((last) => [...last.slice(-599), { step: answer.step, input: rows(input), output: answer.output && rows(answer.output) }]);
    took(answer, answer.output && rows(answer.output));
  };
  const done = (answer) => {
    if (dialog === "remove") return go(["sessions"]);
    if (dialog === "fork" && answer.children.length === 1 && answer.children[0].session) return go(["sessions", answer.children[0].session]);
    return refresh();
  };
  const shown = session.events || session.log ? points : own;
  return html`
    <${Title} above=${above} actions=${html`
      <${CopyAs} request=${{ method: "GET", path: path`/v1/sessions/${name}` }} />
      <${Button} onClick=${() => setDialog("reset")}>Reset<//>
      <${Button} onClick=${() => setDialog("fork")}>Fork<//>
      <${Button} onClick=${() => setDialog("remove")}>Delete<//>`}>${name}<//>
    ${Dialog && html`<${Dialog} session=${session} onClose=${() => setDialog(null)} onDone=${done} />`}
    <${Failure} error=${ended} />
    <${Facts} items=${[
      ["Model", html`<a href=${link(["models", session.model])}>${session.model}</a>${session.follows && html` <${Badge}>follows ${session.follows}<//>`}`],
      ["Step", session.step],
      session.batch_size > 1 && ["Rows", session.batch_size],
      ["Last change", session.pinned ? html`<${Badge}>pinned<//>` : ago(changed(session))],
      ["Expires", session.pinned ? "never" : instant(session.expires)],
      ["Position", html`<code>${session.position}</code>`],
    ]} />
    <div class="columns uneven">
      <div>
        ${forecastOf(model) && html`<${Forecast} session=${session} model=${model} points=${shown} />`}
        <${Live} session=${session} model=${model} points=${shown} />
        <${TakeStep} session=${session} model=${model} error=${fault} points=${shown} onStep=${stepped} />
      </div>
      <div>
        <${State} session=${session} />
        <${Past} session=${session} onDone=${refresh} />
        <${Snapshots} session=${session} onDone=${refresh} />
      </div>
    </div>`;
}
