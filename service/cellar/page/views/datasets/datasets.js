// All datasets of the tenant.

import { useState } from "../../vendor/hooks.js";
import { read } from "../../core/api.js";
import { bytes, integer, plural, utc } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { go, link, parameters } from "../../core/router.js";
import { Button, Card, Empty, Failure, html, Loading, Title } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { AddDataset } from "./add_dataset.js";
import { FromSessions } from "./from_sessions.js";

const SHOWN = 100;
const ALL = { method: "GET", path: "/v1/datasets" };

/** Read all pages of the list. */
export async function readDatasets(signal) {
  const datasets = [];
  let cursor = "";
  do {
    const answer = await read(`/v1/datasets?limit=1000&cursor=${encodeURIComponent(cursor)}`, signal);
    datasets.push(...answer.datasets);
    cursor = answer.cursor;
  } while (cursor);
  return datasets;
}

const range = ({ first, last }) => (first ? `${utc(first)} to ${utc(last)}` : "–");

const Table = ({ datasets }) => html`
  <div class="wide-table" tabindex="0" role="group" aria-label="Datasets"><table>
    <thead><tr><th scope="col">Dataset</th><th scope="col" class="number">Rows</th><th scope="col" class="number">Columns</th><th scope="col" class="number">Series</th>
      <th scope="col">Time range (UTC)</th><th scope="col" class="number">Missing</th><th scope="col" class="number">Size</th></tr></thead>
    <tbody>${datasets.map((each) => html`
      <tr key=${each.dataset}><th scope="row"><a href=${link(["datasets", each.dataset])}>${each.dataset}</a></th>
        <td class="number">${integer(each.rows)}</td><td class="number">${integer(each.column_count)}</td><td class="number">${integer(each.series)}</td>
        <td>${range(each)}</td><td class="number">${integer(each.missing)}</td><td class="number">${bytes(each.size_bytes)}</td></tr>`)}</tbody>
  </table></div>`;

export function Datasets() {
  const { data, error, reload } = usePoll(readDatasets, 10_000);
  const [isAdding, setAdding] = useState(parameters().has("new"));
  const [isFromSessions, setFromSessions] = useState(false);
  const [shown, setShown] = useState(SHOWN);
  const hasForm = isAdding || (data && !data.length);
  const added = (made) => go(["datasets", made.dataset]);
  return html`
    <${Title} actions=${html`<${CopyAs} request=${ALL} /><${Button} onClick=${() => setFromSessions(true)}>From sessions<//>
      ${!hasForm && html`<${Button} kind="main" onClick=${() => setAdding(true)}>Add a file<//>`}`}>Datasets<//>
    ${isFromSessions && html`<${FromSessions} onClose=${() => setFromSessions(false)} onDone=${added} />`}
    <${Failure} error=${error} />
    ${!data && !error && html`<${Loading} />`}
    ${hasForm && html`<${AddDataset} taken=${(data || []).map((each) => each.dataset)} onDone=${added} onClose=${isAdding && data?.length > 0 ? () => setAdding(false) : null} />`}
    ${data && !data.length && html`
      <${Card}><${Empty} title="There is no dataset yet.">A dataset is a table of readings: a CSV of sensors, meters or prices. Add one above, then train a forecast on it.<//><//>`}
    ${data && data.length > 0 && html`
      <${Card} title="All datasets" actions=${html`<span class="soft">${plural(data.length, "dataset")}</span><${Button} kind="small" onClick=${reload}>Refresh<//>`}>
        <${Table} datasets=${data.slice(0, shown)} />
        ${data.length > shown && html`<p><${Button} onClick=${() => setShown(shown + SHOWN)}>Show more<//></p>`}
      <//>`}`;
}
