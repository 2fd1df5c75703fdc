// One model: its network, versions, aliases and weights.

import { useState } from "../../vendor/hooks.js";
import { download, path, read } from "../../core/api.js";
import { instant, integer, number, plural, shape } from "../../core/format.js";
import { useAction, usePoll } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { Badge, Button, Card, Empty, Facts, Failure, html, Loading, Title } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { RequestDialog } from "../../parts/dialog.js";
import { Network } from "../../parts/network.js";
import { Input, useForm, whole } from "../../parts/form.js";
import { NewSession } from "../sessions/new_session.js";
import { Backtest } from "./backtest.js";

const MOST_STATES = 6;

const load = (name) => async (signal) => {
  const [model, versions] = await Promise.all([
    read(path`/v1/models/${name}`, signal),
    read(path`/v1/models/${name.split("@")[0]}/versions?limit=1000`, signal),
  ]);
  return { model, versions: versions.versions.reverse(), hasMore: versions.cursor !== "" };
};

function MoveAlias({ model, version, onDone, onClose }) {
  const form = useForm({ alias: "live", version: version.version });
  const request = () => {
    if (!form.values.alias.trim()) throw new Error("Alias: enter a name, for example live.");
    return { method: "PUT", path: path`/v1/models/${model}/aliases/${form.values.alias.trim()}`, body: { version: whole(form.values.version, "Version", 1, 999999999) } };
  };
  return html`
    <${RequestDialog} title="Let an alias name a version" verb="Move alias" done="The alias was moved." request=${request} onDone=${onDone} onClose=${onClose}>
      <p>Sessions that follow the alias run this version from their next step on.</p>
      <div class="form">
        <${Input} form=${form} name="alias" label="Alias" help="A new name, or that of an alias which is to be moved." />
        <${Input} form=${form} name="version" label="Version" type="number" min="1" />
      </div>
    <//>`;
}

function Delete({ reference, onDone, onClose }) {
  const request = () => ({ method: "DELETE", path: path`/v1/models/${reference}` });
  return html`
    <${RequestDialog} title=${`Delete ${reference}?`} verb="Delete" done=${`${reference} was deleted.`} request=${request} onDone=${onDone} onClose=${onClose} isDangerous>
      <p>Its weights cannot be read again afterwards. It is refused while sessions, jobs or aliases depend on it.</p>
    <//>`;
}

function Versions({ model, versions, hasMore, onAlias, onDelete }) {
  const metrics = [...new Set(versions.flatMap((version) => Object.keys(version.metrics)))].slice(0, 3);
  return html`
    <div class="wide-table" tabindex="0" role="group" aria-label="Versions"><table>
      <thead><tr><th scope="col">Version</th><th scope="col">Aliases and tags</th><th scope="col">From</th>
        ${metrics.map((name) => html`<th key=${name} scope="col" class="number">${name.replaceAll("_", " ")}</th>`)}
        <th scope="col">Created</th><th scope="col"><span class="away">Actions</span></th></tr></thead>
      <tbody>${versions.slice(0, 200).map((version) => html`
        <tr key=${version.version} class=${version.version === model.version ? "current" : ""}>
          <th scope="row"><a href=${link(["models", version.model])}>${version.model}</a></th>
          <td>${version.aliases.map((alias) => html`<${Badge} key=${alias} kind="busy">${alias}<//> `)}${version.tags.map((tag) => html`<${Badge} key=${tag}>${tag}<//> `)}</td>
          <td>${version.parent || "–"}</td>
          ${metrics.map((name) => html`<td key=${name} class="number">${number(version.metrics[name])}</td>`)}
          <td>${instant(version.created)}</td>
          <td class="row"><${Button} kind="small" aria-label=${`Set an alias for ${version.model}`} onClick=${() => onAlias(version)}>Alias<//>
            <${Button} kind="small" aria-label=${`Delete ${version.model}`} onClick=${() => onDelete(version.model)}>Delete<//></td>
        </tr>`)}</tbody>
    </table></div>
    ${hasMore && html`<p class="help">Only the first 1,000 versions are shown.</p>`}`;
}

const Parameters = ({ model }) => html`
  <details><summary>${plural(model.parameters.length, "array")} of weights</summary>
    <table><thead><tr><th scope="col">Layer and name</th><th scope="col">Shape</th></tr></thead>
      <tbody>${model.parameters.map((each) => html`<tr key=${each.name}><th scope="row"><code>${each.name}</code></th><td>${shape(each.shape)}</td></tr>`)}</tbody></table>
  </details>`;

export function Model({ name }) {
  const { data, error, reload } = usePoll(load(name), 10_000, [name]);
  const [dialog, setDialog] = useState(null);
  const weights = (reference) => ({ method: "GET", path: path`/v1/models/${reference}/export?format=safetensors` });
  const save = useAction((reference) => download(weights(reference).path, `${reference}.safetensors`));
  if (!data) return html`<${Title} above=${html`<a href="#/models">Models</a>`}>${name}<//><${Failure} error=${error} />${!error && html`<${Loading} />`}`;
  const { model, versions, hasMore } = data;
  const close = () => setDialog(null);
  const own = (model.network?.layers || []).find((layer) => layer.cell?.equations);
  return html`
    <${Title} above=${html`<a href="#/models">Models</a>`} actions=${html`
      <${CopyAs} request=${{ method: "GET", path: path`/v1/models/${name}` }} />
      <${Button} busy=${save.isRunning} onClick=${() => save.run(model.model)}>Save weights<//>
      <${CopyAs} request=${weights(model.model)} label="Copy save" />
      <a class="button" href=${link(["training"], model.readings ? { model: model.name, dataset: "" } : { model: model.model })}>Train<//>
      <${Button} kind="main" onClick=${() => setDialog("session")}>Open a session<//>`}>${model.model}<//>
    <${Failure} error=${error || save.error} />
    ${dialog === "session" && html`<${NewSession} model=${name} onClose=${close} onDone=${(made) => go(["sessions", made.session])} />`}
    ${dialog?.alias && html`<${MoveAlias} model=${model.name} version=${dialog.alias} onClose=${close} onDone=${reload} />`}
    ${dialog?.remove && html`<${Delete} reference=${dialog.remove} onClose=${close} onDone=${() => (versions.length > 1 ? go(["models", model.name]) || reload() : go(["models"]))} />`}
    <${Card} title="Network">
      <${Network} model=${model} />
      <${Facts} items=${[
        ["Parameters", integer(model.parameter_count)],
        ["State", model.state.length > MOST_STATES ? `${plural(model.state.length, "array")}, ${integer(model.state.reduce((sum, each) => sum + each.size, 0))} numbers` : model.state.map((each) => `${each.name} of layer ${each.layer}: ${each.size}`).join(", ") || "none"],
        ["Runs with", model.engine === "cells" ? "compiled cells" : "ONNX Runtime"],
        model.whole_sequences && ["Takes", "whole sequences only"],
        model.parent && ["Trained from", html`<a href=${link(["models", model.parent])}>${model.parent}</a>`],
        model.readings && ["Reads", html`<ul class="plain">${model.readings.columns.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`],
        model.description && ["Description", model.description],
        ["Created", instant(model.created)],
      ]} />
      ${own && html`<pre class="code">${own.cell.equations}</pre><p><a href=${link(["cells"], { model: model.model })}>Open the cell in the editor</a></p>`}
      ${model.parameters.length > 0 && html`<${Parameters} model=${model} />`}
    <//>
    <${Backtest} key=${model.model} model=${model} />
    <${Card} title="Versions" actions=${html`<span class="soft">${plural(versions.length, "version")}</span>`}>
      ${versions.length ? html`<${Versions} model=${model} versions=${versions} hasMore=${hasMore} onAlias=${(alias) => setDialog({ alias })} onDelete=${(remove) => setDialog({ remove })} />` : html`<${Empty} title="There is no version." />`}
    <//>`;
}
