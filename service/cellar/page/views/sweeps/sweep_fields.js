// The part of the form of a sweep that says what is tried: fields of the job with their values, and the search.

import { Button, Field, html } from "../../parts/basics.js";
import { Choice, Input, whole } from "../../parts/form.js";

const RANGE = "a range";
const LOG = "a range, logarithmic";
const WHOLE = "a range of whole numbers";
const LIST = "a list";
const MOST_TRIALS = 1000;

const NEW = { name: "", kind: RANGE, from: "", to: "", list: "" };
export const SEARCH = { rows: [{ ...NEW, name: "optimiser.learning_rate", kind: LOG, from: "0.0001", to: "0.1" }], type: "random", trials: "20", count: "5", objective: "loss", alias: "" };

/** Values between commas: JSON, or words. */
function listOf(name, text) {
  const found = text.split(",").map((each) => each.trim()).filter(Boolean).map((each) => (Number.isNaN(Number(each)) ? each : Number(each)));
  if (!found.length) throw new Error(`${name}: enter values with commas between them, as 16, 32.`);
  return found;
}

function rangeOf(row, name, count) {
  const [min, max] = [row.from, row.to].map((text) => (String(text).trim() === "" ? NaN : Number(text)));
  if (!(min < max)) throw new Error(`${name}: enter two numbers, of which the first is the smaller one.`);
  if (row.kind === LOG && min <= 0) throw new Error(`${name}: enter numbers above 0 for a logarithmic range.`);
  return { min, max, ...(row.kind === LOG && { scale: "log" }), ...(row.kind === WHOLE && { integer: true }), ...(count && { count }) };
}

/** The request of a sweep of a job. */
export function sweepOf({ rows, type, trials, count, objective, alias }, job) {
  const perRange = type === "grid" ? whole(count, "Values of a range", 1, MOST_TRIALS) : null;
  const parameters = {};
  for (const row of rows) {
    const name = row.name.trim();
    if (!name) throw new Error("What is tried: enter the name of each field, or remove it.");
    if (name in parameters) throw new Error(`What is tried: ${name} stands there twice.`);
    parameters[name] = row.kind === LIST ? listOf(name, row.list) : rangeOf(row, name, perRange);
  }
  if (!rows.length) throw new Error("What is tried: add a field.");
  const search = { type, ...(type !== "grid" && { trials: whole(trials, "Trials", 1, MOST_TRIALS) }) };
  return { job, parameters, search, objective, publish: { alias: alias.trim() || null } };
}

function Row({ row, number, onChange, onRemove }) {
  const form = { values: row, set: (name, value) => onChange({ ...row, [name]: value }) };
  return html`
    <div class="form tried" role="group" aria-label=${`Field ${number}`}>
      <${Field} label="Field" control=${(attributes) => html`
        <input ...${attributes} list="tried-fields" autocomplete="off" spellcheck="false" value=${row.name} onInput=${(event) => form.set("name", event.target.value)} />`} />
      <${Choice} form=${form} name="kind" label="Values" of=${[RANGE, LOG, WHOLE, LIST]} />
      ${row.kind === LIST
        ? html`<${Input} form=${form} name="list" label="List" placeholder="16, 32" />`
        : html`<${Input} form=${form} name="from" label="From" inputmode="decimal" /><${Input} form=${form} name="to" label="To" inputmode="decimal" />`}
      <div class="field"><${Button} kind="small" onClick=${onRemove} aria-label=${`Remove field ${number}`}>Remove<//></div>
    </div>`;
}

/** `fields` are those of the job. */
export function SweepFields({ form, fields, isDataset }) {
  const { rows, type } = form.values;
  const set = (rows_) => form.set("rows", rows_);
  const names = ["optimiser.learning_rate", ...fields.filter((field) => field.kind !== "object").map((field) => field.name), ...(isDataset ? ["data.horizon", "data.hidden_size", "data.cell"] : [])];
  return html`
    <fieldset><legend>What is tried</legend>
      <datalist id="tried-fields">${names.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
      ${rows.map((row, place) => html`<${Row} key=${place} row=${row} number=${place + 1}
        onChange=${(changed) => set(rows.map((each, other) => (other === place ? changed : each)))} onRemove=${() => set(rows.filter((_, other) => other !== place))} />`)}
      <p><${Button} kind="small" onClick=${() => set([...rows, NEW])}>Add a field<//></p>
      <div class="form">
        <${Choice} form=${form} name="type" label="Search" of=${["random", "grid", "halving"]} help=${"`random` draws values, `grid` tries all combinations, `halving` trains many a little and the best of them longer."} />
        ${type === "grid"
          ? html`<${Input} form=${form} name="count" label="Values of a range" type="number" min="1" max=${MOST_TRIALS} />`
          : html`<${Input} form=${form} name="trials" label="Trials" type="number" min="1" max=${MOST_TRIALS} />`}
        <${Choice} form=${form} name="objective" label="Compared by" of=${isDataset ? ["loss", "mae", "skill"] : ["loss", "skill"]} help=${"`skill` compares each trial with naive forecasts, and trials of different horizons with each other."} />
        <${Input} form=${form} name="alias" label="Alias of the best" placeholder="none" />
      </div>
    </fieldset>`;
}
