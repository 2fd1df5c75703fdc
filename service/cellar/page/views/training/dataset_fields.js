// The part of the form of a job that says what is forecast: a dataset, targets, steps ahead, inputs.

import { path, read } from "../../core/api.js";
import { duration } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { Failure, Field, html, Loading } from "../../parts/basics.js";
import { Choice, Input } from "../../parts/form.js";

/** Steps ahead that make sense for the usual interval of readings: a day of hours, a week of days, a year of months. */
function usualHorizon(interval) {
  const found = [[2_000_000, 12], [80_000, 7], [3000, 24]].find(([least]) => interval >= least);
  return found ? found[1] : 12;
}

/** The columns of a dataset by their part in a job, with the usual choice. */
export function rolesOf(dataset) {
  const free = dataset.columns.filter((each) => each.type !== "time" && each.role !== "series" && each.role !== "time");
  const numbers = free.filter((each) => each.type === "number").map((each) => each.name);
  const marked = free.filter((each) => each.role === "target").map((each) => each.name);
  return { all: free.map((each) => each.name), numbers, target: marked[0] ?? numbers[0] ?? "", more: marked.slice(1), time: dataset.columns.find((each) => each.role === "time")?.name ?? null };
}

/** The `data` of a job from the values of the form. */
export function dataOf(values, dataset) {
  if (!dataset) throw new Error("Dataset: choose a dataset.");
  const roles = rolesOf(dataset);
  const targets = [values.target || roles.target, ...(values.more ?? roles.more)].filter((name, place, all) => all.indexOf(name) === place);
  if (!targets[0]) throw new Error(`Target: ${dataset.dataset} has no column of numbers.`);
  const horizon = Number(values.horizon || usualHorizon(dataset.interval_s));
  if (!Number.isInteger(horizon) || horizon < 1) throw new Error("Steps ahead: enter a whole number from 1.");
  const body = { dataset: dataset.dataset, targets, horizon };
  if (values.left?.length) body.inputs = roles.all.filter((name) => !values.left.includes(name) && !targets.includes(name));
  return body;
}

function Boxes({ legend, names, chosen, onChange }) {
  const toggle = (name) => onChange(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name]);
  return html`
    <fieldset><legend>${legend}</legend><div class="row">${names.map((name) => html`
      <label key=${name} class="check"><input type="checkbox" checked=${chosen.includes(name)} onChange=${() => toggle(name)} /> ${name}</label>`)}</div></fieldset>`;
}

export function useDataset(name) {
  return usePoll((signal) => (name ? read(path`/v1/datasets/${name}`, signal) : null), 0, [name]);
}

export function DatasetFields({ form, datasets, dataset, error, faultAt }) {
  const { values, set } = form;
  const choose = (event) => {
    set("dataset", event.target.value);
    ["target", "more", "left", "horizon"].forEach((each) => set(each, each === "target" || each === "horizon" ? "" : null));
  };
  const roles = dataset && rolesOf(dataset);
  const target = roles && (values.target || roles.target);
  const more = roles && (values.more ?? roles.more).filter((name) => name !== target);
  const left = values.left ?? [];
  const inputs = roles ? roles.all.filter((name) => name !== target && !more.includes(name)) : [];
  const horizon = dataset && (values.horizon || usualHorizon(dataset.interval_s));
  const span = dataset?.interval_s && Number(horizon) > 0 ? `: ${duration(horizon * dataset.interval_s)}` : "";
  return html`
    <div class="form">
      <${Field} label="Dataset" error=${faultAt("data.dataset")} control=${(attributes) => html`
        <select ...${attributes} onChange=${choose}>${datasets.map((each) => html`<option key=${each.dataset} value=${each.dataset} selected=${each.dataset === values.dataset}>${each.dataset}</option>`)}</select>`} />
      ${roles && html`
        <${Choice} form=${{ ...form, values: { ...values, target } }} name="target" label="Target" help="The column to forecast." of=${roles.numbers} />
        <${Input} form=${{ ...form, values: { ...values, horizon } }} name="horizon" label="Steps ahead" type="number" min="1" max="1024"
          help=${`Each answer forecasts so many steps${span}.${roles.time ? ` Time: column ${roles.time}.` : " There is no column of times: a row is a step."}`} />`}
    </div>
    <${Failure} error=${error} />
    ${!dataset && !error && html`<${Loading} />`}
    ${(faultAt("data.targets") || faultAt("data.inputs") || faultAt("data.horizon")) && html`<p class="field-error">${faultAt("data.targets") || faultAt("data.inputs") || faultAt("data.horizon")}</p>`}
    ${roles && html`
      <details><summary>Inputs and further targets</summary>
        ${inputs.length > 0 && html`<${Boxes} legend="Inputs, besides the targets" names=${inputs} chosen=${inputs.filter((name) => !left.includes(name))} onChange=${(chosen) => set("left", inputs.filter((name) => !chosen.includes(name)))} />`}
        ${roles.numbers.length > 1 && html`<${Boxes} legend="Further targets" names=${roles.numbers.filter((name) => name !== target)} chosen=${more} onChange=${(chosen) => set("more", chosen)} />`}
      </details>`}`;
}
