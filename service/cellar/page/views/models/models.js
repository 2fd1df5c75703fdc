// All models of the tenant.

import { useState } from "../../vendor/hooks.js";
import { read } from "../../core/api.js";
import { ago, integer, plural } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { Badge, Button, Card, Empty, Failure, html, Loading, Title } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { NewModel } from "./new_model.js";

const SHOWN = 100;
const ALL = { method: "GET", path: "/v1/models" };

/** Read all pages of a list. */
async function readAll(signal) {
  const models = [];
  let cursor = "";
  do {
    const answer = await read(`/v1/models?limit=1000&cursor=${cursor}`, signal);
    models.push(...answer.models);
    cursor = answer.cursor;
  } while (cursor);
  return models;
}

function Line({ model }) {
  const newest = model.versions[model.versions.length - 1];
  const aliases = model.versions.flatMap((version) => version.aliases.map((alias) => [alias, version.version]));
  const loss = newest.metrics.validation_loss ?? newest.metrics.loss;
  return html`
    <tr>
      <th scope="row"><a href=${link(["models", model.name])}>${model.name}</a>
        ${newest.description && html`<span class="soft block">${newest.description}</span>`}</th>
      <td>${plural(model.versions.length, "version")}</td>
      <td>${aliases.slice(0, 4).map(([alias, version]) => html`<${Badge} key=${alias}>${alias} → ${version}<//> `)}${aliases.length > 4 && `+${aliases.length - 4}`}</td>
      <td class="number">${loss === undefined ? "–" : loss.toPrecision(4)}</td>
      <td>${ago(newest.created)}</td>
    </tr>`;
}

export function Models() {
  const { data, error, reload } = usePoll(readAll, 10_000);
  const [filter, setFilter] = useState("");
  const [shown, setShown] = useState(SHOWN);
  const [isNew, setNew] = useState(false);
  const found = (data || []).filter((model) => model.name.toLowerCase().includes(filter.trim().toLowerCase()));
  return html`
    <${Title} actions=${html`<${CopyAs} request=${ALL} /><${Button} kind="main" onClick=${() => setNew(true)}>New model<//>`}>Models<//>
    ${isNew && html`<${NewModel} onClose=${() => setNew(false)} onDone=${(model) => { reload(); go(["models", model.name]); }} />`}
    <${Failure} error=${error} />
    ${!data && !error && html`<${Loading} />`}
    ${data && !data.length && html`
      <${Card}><${Empty} title="There is no model yet.">
        A model is a network with its weights. Choose New model for a built-in cell, <a href="#/cells">write a cell of your own</a>,
        or bring a file: <code>cellar import model.pt --name washer</code>.<//><//>`}
    ${data && data.length > 0 && html`
      <${Card}>
        <div class="bar"><label>Filter by name <input type="search" value=${filter} onInput=${(event) => { setFilter(event.target.value); setShown(SHOWN); }} /></label>
          <span class="soft" role="status">${filter ? `${integer(found.length)} of ${plural(data.length, "model")}` : plural(data.length, "model")}</span></div>
        ${!found.length && html`<${Empty} title="No model has such a name.">Clear the filter to see all.<//>`}
        ${found.length > 0 && html`
          <div class="wide-table" tabindex="0" role="group" aria-label="Models"><table>
            <thead><tr><th scope="col">Model</th><th scope="col">Versions</th><th scope="col">Aliases</th><th scope="col" class="number">Loss</th><th scope="col">Newest</th></tr></thead>
            <tbody>${found.slice(0, shown).map((model) => html`<${Line} key=${model.name} model=${model} />`)}</tbody>
          </table></div>`}
        ${found.length > shown && html`<p><${Button} onClick=${() => setShown(shown + SHOWN)}>Show more<//></p>`}
      <//>`}`;
}
