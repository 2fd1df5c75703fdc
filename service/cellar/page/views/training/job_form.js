// The form of a training job, or of a sweep of one, on a dataset or on numbers that are entered. Its settings and their
// explanations come from the API document.

import { useMemo, useState } from "../../vendor/hooks.js";
import { change, Problem, read } from "../../core/api.js";
import { example, forecast, pairs } from "../../core/dataset.js";
import { useAction, usePoll } from "../../core/hooks.js";
import { apiDocument, build, fieldsOf } from "../../core/schema.js";
import { announce, Button, Card, Failure, Field, html, Loading } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { SchemaFields } from "../../parts/schema_form.js";
import { Choice, Input, useForm } from "../../parts/form.js";
import { readDatasets } from "../datasets/datasets.js";
import { SEARCH, SweepFields, sweepOf } from "../sweeps/sweep_fields.js";
import { DatasetFields, dataOf, useDataset } from "./dataset_fields.js";

const FIRST = ["epochs", "optimiser", "loss", "batch_size", "validation", "window"];
const DATASET = "a dataset: forecast its columns";
const FORECAST = "a series: forecast its next values";
const PAIRS = "inputs and targets";
/** Settings that a job on a dataset does not have: it cuts windows itself. */
const OF_ARRAYS = ["state", "warmup"];
const LAYOUTS = ["TBF", "TFB", "BTF", "BFT", "FTB", "FBT", "TB", "TF", "BT", "BF", "FT", "FB", "T"];

const INITIAL = { kind: FORECAST, dataset: "", target: "", more: null, left: null, horizon: "", series: "", ahead: "1", inputs: "", targets: "", layout: "TBF" };

function Text({ form, name, label, help, error }) {
  const read_ = async (event) => {
    const [file] = event.target.files;
    if (file) form.set(name, await file.text());
  };
  return html`
    <${Field} label=${label} help=${help} error=${error} wide control=${(attributes) => html`
      <textarea ...${attributes} class="mono" rows="6" spellcheck="false" value=${form.values[name]} onInput=${(event) => form.set(name, event.target.value)}></textarea>`} />
    <label class="check">From a file <input type="file" accept=".csv,.txt,.json,text/*" onChange=${read_} /></label>`;
}

function Data({ form, faultAt, datasets, dataset, error }) {
  const { kind } = form.values;
  const isForecast = kind === FORECAST;
  return html`
    <fieldset><legend>Data</legend>
      <div class="form"><${Choice} form=${form} name="kind" label="The data are" of=${[...(datasets.length ? [DATASET] : []), FORECAST, PAIRS]} />
        ${isForecast && html`<${Input} form=${form} name="ahead" label="Steps ahead" type="number" min="1" help="Each target is the value that many steps later." />`}
        ${kind === PAIRS && html`<${Choice} form=${form} name="layout" label="Layout of JSON arrays" help="An axis for each letter: T steps, B rows, F features. Lines of numbers are one row." of=${LAYOUTS} />`}</div>
      ${kind === DATASET && html`<${DatasetFields} form=${form} datasets=${datasets} dataset=${dataset} error=${error} faultAt=${faultAt} />`}
      ${isForecast && html`<${Text} form=${form} name="series" label="Series" help="One line for each step, with a number for each input of the model. A first line of names is left out." error=${faultAt("data.inputs") || faultAt("data.targets")} />
        <p><${Button} kind="small" onClick=${() => form.set("series", example())}>Use example data<//></p>`}
      ${kind === PAIRS && html`
        <${Text} form=${form} name="inputs" label="Inputs" help="Lines of numbers, or JSON arrays." error=${faultAt("data.inputs")} />
        <${Text} form=${form} name="targets" label="Targets" help="In the same form, aligned with the end of the inputs." error=${faultAt("data.targets")} />`}
    </fieldset>`;
}

/** The names of models, newest versions first, for the field of the model. */
const names = async (signal) => (await read("/v1/models?limit=1000", signal)).models.map((model) => model.name);

/** A name that no model has, for the first version of a new model. */
function freeName(name, taken) {
  let found = name;
  for (let number = 2; taken.includes(found); number += 1) found = `${name}-${number}`;
  return found;
}

/**
 * `model` is trained on numbers that are entered; without one, or with a `dataset` (also ""), the form is for datasets.
 * With `isSweep` it begins a sweep.
 */
export function JobForm({ model, dataset, isSweep = false, onDone, onClose }) {
  const { data: api, error } = usePoll(apiDocument, 0);
  const { data: models } = usePoll(names, 0);
  const { data: datasets, error: fault } = usePoll(readDatasets, 0);
  if (!api || !datasets || !models) return html`<${Card} title=${isSweep ? "New sweep" : "New job"}><${Failure} error=${error || fault} />${!error && !fault && html`<${Loading} />`}<//>`;
  return html`<${Form} api=${api} models=${models} datasets=${datasets} model=${model} chosen=${dataset} isSweep=${isSweep} onDone=${onDone} onClose=${onClose} />`;
}

function Form({ api, models, datasets, model, chosen, isSweep, onDone, onClose }) {
  const hasDataset = datasets.length > 0 && (!model || chosen !== null);
  const data = useForm({ ...INITIAL, kind: hasDataset ? DATASET : FORECAST, dataset: chosen || datasets[0]?.dataset || "" });
  const isDataset = data.values.kind === DATASET;
  const { data: dataset, error } = useDataset(isDataset ? data.values.dataset : null);
  const [entered, setEntered] = useState(model || null);
  const reference = entered ?? (isDataset ? freeName(data.values.dataset, models) : "");
  const [values, setValues] = useState({});
  const search = useForm(SEARCH);
  const fields = useMemo(() => fieldsOf(api, "JobRequest", ["model", "data"]), [api]);
  const dataFor = ({ kind, series, ahead, inputs, targets, layout }) => {
    if (kind === DATASET) return dataOf(data.values, dataset);
    return kind === FORECAST ? forecast(series, Number(ahead)) : pairs(inputs, targets, layout);
  };
  const request = () => {
    if (!reference.trim()) throw new Error("Model: choose the model to train.");
    const job = { model: reference.trim(), data: dataFor(data.values), ...build(fields, values) };
    return isSweep ? { method: "POST", path: "/v1/sweeps", body: sweepOf(search.values, job) } : { method: "POST", path: "/v1/jobs", body: job };
  };
  const send = useAction(async () => {
    const made = await change({ ...request(), once: true });
    announce(isSweep ? "The sweep has begun." : "The job was submitted.");
    onDone(made);
  });
  const fault = send.error instanceof Problem && send.error.pointer ? send.error : null;
  const faultAt = (place) => {
    const at = `${isSweep ? "/job" : ""}/${place.replaceAll(".", "/")}`;
    return fault && (fault.pointer === at || fault.pointer.startsWith(`${at}/`)) ? fault.message : undefined;
  };
  const submit = (event) => {
    event.preventDefault();
    if (!send.isRunning) send.run();
  };
  const change_ = (place, value) => setValues((last) => ({ ...last, [place]: value }));
  const shared = { values, onChange: change_, faultAt };
  return html`
    <${Card} title=${isSweep ? "New sweep" : "New job"} actions=${html`<${CopyAs} request=${request} />`}>
      <form onSubmit=${submit} novalidate>
        <div class="form">
          <${Field} label="Model" help=${isDataset ? "A new name makes a new model. The name of a model that was made of a dataset trains it further." : "A model trains its newest version; name@3 is one version."} error=${faultAt("model")} control=${(attributes) => html`
            <input ...${attributes} list="job-models" autocomplete="off" spellcheck="false" value=${reference} onInput=${(event) => setEntered(event.target.value)} />`} />
          <datalist id="job-models">${models.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
        </div>
        <${Data} form=${data} faultAt=${faultAt} datasets=${datasets} dataset=${dataset} error=${error} />
        ${isSweep && html`<${SweepFields} form=${search} fields=${fields} isDataset=${isDataset} />`}
        ${isDataset
          ? html`<p class="help">Everything else is chosen from the data, and the job says why.</p>
            <details><summary>More settings</summary><div class="form"><${SchemaFields} fields=${fields.filter((field) => !OF_ARRAYS.includes(field.name))} ...${shared} /></div></details>`
          : html`<fieldset><legend>Settings</legend><div class="form"><${SchemaFields} fields=${FIRST.map((name) => fields.find((field) => field.name === name)).filter(Boolean)} ...${shared} /></div>
            <details><summary>More settings</summary><div class="form"><${SchemaFields} fields=${fields.filter((field) => !FIRST.includes(field.name))} ...${shared} /></div></details></fieldset>`}
        <${Failure} error=${send.error} />
        <div class="row"><${Button} type="submit" kind="main" busy=${send.isRunning}>${isSweep ? "Search" : "Train"}<//><${Button} onClick=${onClose}>Close<//></div>
      </form>
    <//>`;
}
