// One dataset: its columns with statistics, a plot, and its rows.

import { useState } from "../../vendor/hooks.js";
import { path, read } from "../../core/api.js";
import { bytes, duration, integer, number, plural, utc } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { Badge, Button, Card, Empty, Facts, Failure, html, Loading, Title } from "../../parts/basics.js";
import { Chart } from "../../parts/chart.js";
import { CopyAs } from "../../parts/copy.js";
import { RequestDialog } from "../../parts/dialog.js";

const POINTS = 1000;
const PAGE = 25;
const MOST_CATEGORIES = 3;

function Delete({ name, onClose }) {
  const request = () => ({ method: "DELETE", path: path`/v1/datasets/${name}` });
  return html`
    <${RequestDialog} title=${`Delete ${name}?`} verb="Delete" done="The dataset was deleted." request=${request} onDone=${() => go(["datasets"])} onClose=${onClose} isDangerous>
      <p>Its readings cannot be read again afterwards. Models that were trained on it stay. It is refused while a job needs it.</p>
    <//>`;
}

/** What a column has, in words: quantiles of numbers, frequent categories, the range of times. */
function Values({ line }) {
  if (line.type === "time") return line.min ? `${utc(line.min)} to ${utc(line.max)}` : "–";
  if (line.type === "category") {
    const all = Object.entries(line.categories || {});
    return all.slice(0, MOST_CATEGORIES).map(([name, rows]) => `${name} (${integer(rows)})`).join(", ") + (all.length > MOST_CATEGORIES ? ", …" : "");
  }
  return line.quantiles ? `half of them from ${number(line.quantiles["0.25"])} to ${number(line.quantiles["0.75"])}` : "–";
}

const statisticsOf = (name) => path`/v1/datasets/${name}/statistics`;

function Columns({ name, columns, statistics: { data, error } }) {
  const lines = data ? data.columns : columns;
  const roles = Object.fromEntries(columns.map((each) => [each.name, each.role]));
  const isNumber = (line) => line.type === "number" && data;
  return html`
    <${Card} title="Columns" actions=${html`<${CopyAs} request=${{ method: "GET", path: statisticsOf(name) }} />`}>
      <${Failure} error=${error} />
      <div class="wide-table" tabindex="0" role="group" aria-label="Columns"><table>
        <thead><tr><th scope="col">Column</th><th scope="col">Type</th><th scope="col" class="number">Missing</th><th scope="col" class="number">Minimum</th>
          <th scope="col" class="number">Mean</th><th scope="col" class="number">Maximum</th><th scope="col" class="number">Deviation</th><th scope="col">Values</th></tr></thead>
        <tbody>${lines.map((line) => html`
          <tr key=${line.name}><th scope="row">${line.name}</th>
            <td>${line.type} ${roles[line.name] && html`<${Badge}>${roles[line.name]}<//>`}</td>
            <td class="number">${integer(line.missing)}</td>
            ${["min", "mean", "max", "deviation"].map((each) => html`<td key=${each} class="number">${isNumber(line) ? number(line[each]) : "–"}</td>`)}
            <td class="words">${data ? html`<${Values} line=${line} />` : "…"}</td></tr>`)}</tbody>
      </table></div>
    <//>`;
}

/** A plot of one column of one series. `ids` are the longest series, in alphabetical order. */
function Plot({ dataset, ids }) {
  const columns = dataset.columns.filter((each) => each.role !== "series" && each.type !== "time");
  const first = columns.find((each) => each.role === "target") || columns.find((each) => each.type === "number") || columns[0];
  const [column, setColumn] = useState(first?.name);
  const [series, setSeries] = useState("");
  const query = new URLSearchParams({ column, points: POINTS, ...(series && { series }) });
  const target = `${path`/v1/datasets/${dataset.dataset}/series`}?${query}`;
  const { data, error } = usePoll((signal) => (column ? read(target, signal) : null), 0, [target]);
  const { type, categories } = columns.find((each) => each.name === column) ?? {};
  if (!column) return html`<${Card} title="Plot"><${Empty} title="There is no column of readings." /><//>`;
  const choice = (label, all, value, onChange) => html`
    <label>${label} <select onChange=${(event) => onChange(event.target.value)}>${all.map((each) => html`<option key=${each} value=${each} selected=${each === value}>${each}</option>`)}</select></label>`;
  return html`
    <${Card} title="Plot" actions=${html`<${CopyAs} request=${{ method: "GET", path: target }} />`}>
      <div class="bar">${choice("Column", columns.map((each) => each.name), column, setColumn)}
        ${ids.length > 1 && choice("Series", ids, series || (data?.series ?? ids[0]), setSeries)}
        ${ids.length > 0 && ids.length < dataset.series && html`<span class="soft">the longest ${ids.length} of ${integer(dataset.series)} series</span>`}</div>
      <${Failure} error=${error} />
      ${!data && !error && html`<${Loading} />`}
      ${data && html`
        <${Chart} x=${data.times ?? data.rows} hasDates=${data.times !== null} hasGaps series=${[{ label: column, values: data.values }]} label=${`${column} over time`} xLabel=${data.times ? "Time" : "Row"} height=${240} />
        <p class="help">${data.total > data.rows.length ? `The lowest and highest values of ${integer(data.total)} rows` : plural(data.total, "row")}${data.series && ` of ${data.series}`}. Times are in UTC.
          ${type === "category" && ` Numbers are places of categories, from 0: ${categories.slice(0, 8).join(", ")}.`}</p>`}
    <//>`;
}

function Rows({ dataset }) {
  const [pages, setPages] = useState([""]);
  const cursor = pages[pages.length - 1];
  const target = path`/v1/datasets/${dataset.dataset}/rows` + `?limit=${PAGE}${cursor && `&cursor=${cursor}`}`;
  const { data, error } = usePoll((signal) => read(target, signal), 0, [target]);
  const numbers = dataset.columns.map((each) => each.type === "number");
  const show = (value, place) => (value === null ? html`<span class="soft">missing</span>` : numbers[place] ? number(value, 7) : value);
  return html`
    <${Card} title="Rows" actions=${html`<${CopyAs} request=${{ method: "GET", path: target }} />
      <${Button} kind="small" disabled=${pages.length < 2} onClick=${() => setPages(pages.slice(0, -1))}>Previous<//>
      <${Button} kind="small" disabled=${!data?.cursor} onClick=${() => setPages([...pages, data.cursor])}>Next<//>`}>
      <${Failure} error=${error} />
      ${!data && !error && html`<${Loading} />`}
      ${data && html`
        <p class="help">In the order of series and time, from row ${integer(Number(cursor || 0) + 1)} of ${integer(dataset.rows)}. Times are in UTC.</p>
        <div class="wide-table" tabindex="0" role="group" aria-label="Rows"><table>
          <thead><tr>${data.columns.map((each, place) => html`<th key=${each} scope="col" class=${numbers[place] ? "number" : ""}>${each}</th>`)}</tr></thead>
          <tbody>${data.rows.map((row, index) => html`<tr key=${index}>${row.map((value, place) => html`<td key=${place} class=${numbers[place] ? "number" : ""}>${show(value, place)}</td>`)}</tr>`)}</tbody>
        </table></div>`}
    <//>`;
}

export function Dataset({ name }) {
  const target = path`/v1/datasets/${name}`;
  const { data, error } = usePoll((signal) => read(target, signal), 0, [name]);
  const statistics = usePoll((signal) => read(statisticsOf(name), signal), 0, [name]);
  const [isDeleting, setDeleting] = useState(false);
  const above = html`<a href="#/datasets">Datasets</a>`;
  if (!data) return html`<${Title} above=${above}>${name}<//><${Failure} error=${error} />${!error && html`<${Loading} />`}`;
  const series = data.columns.find((each) => each.role === "series")?.name;
  const ids = Object.keys(statistics.data?.columns.find((each) => each.name === series)?.categories ?? {}).sort();
  return html`
    <${Title} above=${above} actions=${html`<${CopyAs} request=${{ method: "GET", path: target }} />
      <${Button} onClick=${() => setDeleting(true)}>Delete<//>
      <a class="button main" href=${link(["training"], { dataset: name })}>Train a forecast</a>`}>${name}<//>
    ${isDeleting && html`<${Delete} name=${name} onClose=${() => setDeleting(false)} />`}
    <${Facts} items=${[
      ["Rows", integer(data.rows)],
      ["Series", integer(data.series)],
      data.first && ["Time range (UTC)", `${utc(data.first)} to ${utc(data.last)}`],
      data.interval_s && ["Usual interval", duration(data.interval_s)],
      ["Missing values", integer(data.missing)],
      ["Read from", data.source],
      ["Size", bytes(data.size_bytes)],
      ["Added", utc(data.created)],
    ]} />
    <${Plot} dataset=${data} ids=${ids} />
    <${Columns} name=${name} columns=${data.columns} statistics=${statistics} />
    <${Rows} dataset=${data} />`;
}
