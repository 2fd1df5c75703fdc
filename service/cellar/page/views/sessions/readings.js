// Taking a step with readings by the names of their columns.

import { useState } from "../../vendor/hooks.js";
import { change, path } from "../../core/api.js";
import { forecastOf, loggedRow, placed, readingsOf } from "../../core/forecasting.js";
import { number } from "../../core/format.js";
import { useAction } from "../../core/hooks.js";
import { announce, Button, Card, Failure, Field, html } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";

/** Read a field: an empty one is a missing reading. Throws an Error that names the column. */
function valueOf(column, text) {
  if (text.trim() === "") return null;
  if (column.kind !== "number") return text.trim();
  const value = Number(text.trim().replace(/^(-?\d+),(\d+)$/, "$1.$2"));
  if (!Number.isFinite(value)) throw new Error(`${column.name}: “${text.slice(0, 40)}” is not a number. Leave the field empty for a missing reading.`);
  return value;
}

/** Return the text of a column; one may be called `constructor`, which every object inherits. */
const textAt = (values, name) => (Object.hasOwn(values, name) ? values[name] : "");

const HELP = {
  number: (column) => (column.fitted ? `In training from ${number(column.fitted.lowest)} to ${number(column.fitted.highest)}.` : ""),
  time: (column) => `A date with a time, as 2026-03-01T12:00; without an offset in ${column.zone}.`,
  category: () => "",
  series: () => "The series of the readings.",
};

function Reading({ column, value, error, onChange }) {
  const choices = column.kind === "category" ? column.categories : column.kind === "series" ? column.ids : null;
  const change_ = (event) => onChange(event.target.value);
  return html`
    <${Field} label=${column.name} help=${HELP[column.kind](column)} error=${error} control=${(attributes) => choices
      ? html`<select ...${attributes} onChange=${change_}><option value="">missing</option>${choices.map((each) => html`<option key=${each} value=${each} selected=${each === value}>${each}</option>`)}</select>`
      : html`<input ...${attributes} type="text" inputmode=${column.kind === "number" ? "decimal" : undefined} value=${value} placeholder="missing" autocomplete="off" spellcheck="false" onInput=${change_} />`} />`;
}

/** The text of a column in a row of the log: a value to begin with, and the time after the last one. */
function textOf(column, row) {
  const value = row[column.place];
  if (typeof value !== "number") return "";
  if (column.kind === "category") return column.categories?.[value] ?? "";
  if (column.kind !== "time") return column.kind === "number" ? String(Number(value.toPrecision(6))) : "";
  return new Date((value * 86_400 + row[column.place + 1] + (column.interval_s ?? 0)) * 1000).toISOString().replace(".000Z", "Z");
}

/** The last readings that the session has, as texts. */
function lastReadings(points, columns) {
  const row = [...points].reverse().find((point) => point.input)?.input[0] ?? [];
  return Object.fromEntries(placed(columns).map((column) => [column.name, textOf(column, row)]));
}

/** The output of a step as text. */
export const Output = ({ answer }) => html`
  <p class="answer">Output of step ${answer.step}: <code>${answer.output === null ? "too large to repeat" : [answer.output].flat(2).slice(0, 32).map((each) => number(each, 6)).join(", ")}${[answer.output].flat(2).length > 32 && ", …"}</code></p>`;

export function TakeReadings({ session, model, points, onStep }) {
  const columns = readingsOf(model);
  const [values, setValues] = useState({});
  const [text, setText] = useState("");
  const [isScored, setScored] = useState(false);
  const [last, setLast] = useState(null);
  const isOne = session.batch_size === 1;
  const canScore = isOne && Boolean(forecastOf(model));
  const target = path`/v1/sessions/${session.session}/step`;
  const inputOf = () => {
    if (isOne) return Object.fromEntries(columns.map((column) => [column.name, valueOf(column, textAt(values, column.name))]));
    try {
      return JSON.parse(text);
    } catch (fault) {
      throw new Error(`Input: this is not complete JSON (${fault.message}).`);
    }
  };
  const request = () => ({ method: "POST", path: target, body: { input: inputOf(), ...(canScore && isScored && { score: true }) } });
  const step = useAction(async () => {
    const sent = request();
    const answer = await change({ ...sent, once: true });
    setLast(answer);
    announce(`Step ${answer.step} was taken.`);
    const rows = isOne ? [sent.body.input] : sent.body.input;
    onStep(rows.map((row) => (Array.isArray(row) ? row : loggedRow(columns, row))), answer);
  });
  const submit = (event) => {
    event.preventDefault();
    if (!step.isRunning) step.run();
  };
  const faultAt = (name) => (step.error?.pointer === `/input/${name.replaceAll("~", "~0").replaceAll("/", "~1")}` ? step.error.message : undefined);
  return html`
    <${Card} title="Take a step" actions=${html`<${CopyAs} request=${request} />`}>
      <form onSubmit=${submit} novalidate>
        ${isOne
          ? html`<p class="help">Readings in their units. An empty field is a missing reading.</p>
            <div class="form">${columns.map((column) => html`
              <${Reading} key=${column.name} column=${column} value=${textAt(values, column.name)} error=${faultAt(column.name)} onChange=${(value) => setValues((all) => ({ ...all, [column.name]: value }))} />`)}</div>`
          : html`<${Field} label="Input" wide help=${`JSON with an object for each of ${session.batch_size} rows: [{"${columns[0].name}": …}, …]. null is a missing reading.`} control=${(attributes) => html`
            <textarea ...${attributes} class="mono" rows="4" spellcheck="false" value=${text} onInput=${(event) => setText(event.target.value)}></textarea>`} />`}
        <${Failure} error=${step.error} />
        <div class="row"><${Button} type="submit" kind="main" busy=${step.isRunning}>Step<//>
          ${isOne && html`<${Button} onClick=${() => setValues((all) => ({ ...all, ...lastReadings(points, columns) }))}>Last readings<//>`}
          ${columns.some((column) => column.kind === "time") && isOne && html`<${Button} onClick=${() => setValues((all) => ({ ...all, [columns.find((column) => column.kind === "time").name]: new Date().toISOString().slice(0, 19) + "Z" }))}>Now<//>`}
          ${canScore && html`<label class="check"><input type="checkbox" checked=${isScored} onChange=${(event) => setScored(event.target.checked)} /> say how surprising they are</label>`}</div>
      </form>
      ${last && html`<${Output} answer=${last} />`}
      ${last?.score && html`<p class="answer">Surprise: ${[last.score].flat(2).map((each, place) => `${forecastOf(model).targets[place].name} ${each === null ? "unknown" : number(each, 3)}`).join(", ")}. Above 1 a reading was outside of the interval of 80%.</p>`}
    <//>`;
}
