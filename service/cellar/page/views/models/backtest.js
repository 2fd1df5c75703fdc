// A backtest: forecasts of a dataset from many origins, beside what came then.

import { useState } from "../../vendor/hooks.js";
import { change, path } from "../../core/api.js";
import { forecastOf, readingsOf } from "../../core/forecasting.js";
import { integer } from "../../core/format.js";
import { useAction, usePoll } from "../../core/hooks.js";
import { Button, Card, Empty, Failure, html } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { Choice, Input, useForm, whole } from "../../parts/form.js";
import { readDatasets } from "../datasets/datasets.js";
import { verdict, Verdict } from "../training/jobs.js";
import { BacktestPlot, BacktestTable, coverages } from "./backtest_parts.js";

const list = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);

export function Backtest({ model }) {
  const { data: datasets, error } = usePoll(readDatasets, 0);
  const layer = forecastOf(model);
  const hasReadings = readingsOf(model) !== null;
  const form = useForm({ dataset: "", horizon: layer?.horizon ?? 1, start: 80, inputs: "", targets: "" });
  const [found, setFound] = useState(null);
  const { values } = form;
  const request = () => {
    const dataset = values.dataset || datasets?.[0]?.dataset;
    if (!dataset) throw new Error("Dataset: add one first.");
    const body = { dataset, horizon: whole(values.horizon, "Steps ahead", 1, 16384), start: whole(values.start, "Before the first forecast", 0, 99) / 100 };
    if (!hasReadings && values.inputs) body.inputs = list(values.inputs);
    if (!layer && values.targets) body.targets = list(values.targets);
    return { method: "POST", path: path`/v1/models/${model.model}/backtest`, body };
  };
  const run = useAction(async () => setFound(await change(request())));
  const submit = (event) => {
    event.preventDefault();
    if (!run.isRunning) run.run();
  };
  if (!model.network) return null;
  return html`
    <${Card} title="Backtest" actions=${html`<${CopyAs} request=${request} />`}>
      <p class="help">Forecasts a dataset from many origins, and compares with what came then and with naive forecasts.</p>
      ${datasets && !datasets.length && html`<${Empty} title="There is no dataset."><a href="#/datasets">Add a table of readings</a> first.<//>`}
      ${datasets && datasets.length > 0 && html`
        <form onSubmit=${submit} novalidate><div class="form">
          <${Choice} form=${form} name="dataset" label="Dataset" of=${datasets.map((each) => each.dataset)} />
          <${Input} form=${form} name="horizon" label="Steps ahead" type="number" min="1" max=${layer && layer.horizon > 1 ? layer.horizon : undefined} />
          <${Input} form=${form} name="start" label="Before the first forecast" type="number" min="0" max="99" help="Per cent of each series." />
          ${!hasReadings && html`<${Input} form=${form} name="inputs" label="Inputs" help="Columns in the order of the model's inputs, separated by commas." />`}
          ${!layer && html`<${Input} form=${form} name="targets" label="Targets" help="Columns of the outputs, separated by commas." />`}
        </div><div class="row"><${Button} type="submit" busy=${run.isRunning}>Run the backtest<//></div></form>`}
      <${Failure} error=${run.error || error} />
      ${found && html`
        <p class="soft">${integer(found.origins)} forecasts of ${found.dataset}, ${integer(found.values)} values.</p>
        ${Object.entries(found.targets).map(([name, each]) => html`<${Verdict} key=${name} found=${verdict(each.better_than, `errors of ${name}`)} />`)}
        <${BacktestPlot} found=${found} />
        <${BacktestTable} found=${found} />
        ${coverages(found).map((text) => html`<p key=${text}>${text}</p>`)}`}
    <//>`;
}
