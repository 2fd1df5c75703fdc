// What the page knows about models that read readings and answer forecasts.

import { change, path, read } from "./api.js";

const layersOf = (model) => model?.network?.layers ?? [];

/** The columns of the layer of readings in the order of a row, `null` for a model whose inputs are plain numbers. */
export const readingsOf = (model) => layersOf(model).find((layer) => layer.type === "readings")?.columns ?? null;

/** The numbers of a column in a row of the log: a time is the day since 1970 and the second of the day. */
const widthOf = (column) => (column.kind === "time" ? 2 : 1);

/** Columns with the place of their first number in a row of the log. */
export function placed(columns) {
  let next = 0;
  return columns.map((column) => {
    const place = next;
    next += widthOf(column);
    return { ...column, place };
  });
}

/** A row of the log from readings by column. Times, which the page does not convert, are `null`. */
export const loggedRow = (columns, reading) => columns.flatMap((column) => {
  const value = reading[column.name] ?? null;
  if (column.kind === "time") return [null, null];
  return [column.kind === "category" && value !== null ? column.categories.indexOf(value) : value];
});

/** The forecast layer, `null` for a model without one. */
export const forecastOf = (model) => layersOf(model).find((layer) => layer.type === "forecast") ?? null;

/** The names of the outputs: of a forecast layer by target and step ahead, in the order of step, target, parameter. */
export function outputNames(model) {
  const layer = forecastOf(model);
  if (!layer) return null;
  const each = model.out_size / (layer.horizon * layer.targets.length);
  return Array.from({ length: model.out_size }, (_, place) => {
    const target = layer.targets[Math.floor(place / each) % layer.targets.length].name;
    const ahead = Math.floor(place / (each * layer.targets.length)) + 1;
    return `${target} +${ahead}${each > 1 ? ` (${(place % each) + 1} of ${each})` : ""}`;
  });
}

const FED = 300;

/** The last rows of the first series of a dataset as objects by column, those that the model reads. */
async function lastRows(name, model) {
  const dataset = await read(path`/v1/datasets/${name}`);
  const numbers = dataset.columns.find((column) => column.type === "number").name;
  const { series, total } = await read(path`/v1/datasets/${name}/series?column=${numbers}&points=2`);
  const query = new URLSearchParams({ limit: FED, cursor: Math.max(0, total - FED), ...(dataset.series > 1 && { series }) });
  const { columns, rows } = await read(`${path`/v1/datasets/${name}/rows`}?${query}`);
  const known = new Set(readingsOf(model).map((column) => column.name));
  return rows.map((row) => Object.fromEntries(columns.map((column, place) => [column, row[place]]).filter(([column]) => known.has(column))));
}

/** Open a session with a model and send it the last rows of a dataset. Returns its name. */
export async function trySession(reference, dataset) {
  const model = await read(path`/v1/models/${reference}`);
  const inputs = await lastRows(dataset, model);
  const body = { model: reference, events: 500, log: 1000, history: 50 };
  const { session } = await change({ method: "POST", path: "/v1/sessions", body, once: true });
  await change({ method: "POST", path: path`/v1/sessions/${session}/sequence`, body: { inputs }, once: true });
  return session;
}
