// The form that adds a file of readings. Its options and their explanations come from the API document.

import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { Problem, upload } from "../../core/api.js";
import { bytes } from "../../core/format.js";
import { useAction, usePoll } from "../../core/hooks.js";
import { apiDocument } from "../../core/schema.js";
import { announce, Button, Card, Failure, Field, html } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";

const ENDINGS = {
  csv: "text/csv", txt: "text/csv", tsv: "text/tab-separated-values", tab: "text/tab-separated-values",
  ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", npy: "application/x-npy", npz: "application/x-npz",
  safetensors: "application/safetensors", parquet: "application/vnd.apache.parquet",
  arrow: "application/vnd.apache.arrow.file", feather: "application/vnd.apache.arrow.file", arrows: "application/vnd.apache.arrow.stream",
};
const USUAL = ["time", "series", "timezone"];

/** The options of a file, in the query of the request that brings it. */
const optionsOf = (api) => api.paths["/v1/datasets"].post.parameters.filter((each) => each.in === "query" && each.name !== "name");

/** A name for the dataset of a file, which no other has. */
function nameFor(file, taken) {
  const name = file.replace(/\.[^.]*$/, "").normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60).toLowerCase() || "readings";
  let found = name;
  for (let number = 2; taken.includes(found); number += 1) found = `${name}-${number}`;
  return found;
}

function Option({ option, value, onChange, error }) {
  const { schema } = option;
  const choices = schema.enum || (schema.type === "boolean" && ["true", "false"]);
  const example = schema.examples?.[0];
  const change = (event) => onChange(event.target.value);
  const help = option.description.replace(/^With a file\. /, "") + (example ? ` Example: ${example}.` : "");
  return html`
    <${Field} label=${option.name[0].toUpperCase() + option.name.slice(1).replaceAll("_", " ")} help=${help} error=${error} control=${(attributes) => choices
      ? html`<select ...${attributes} onChange=${change}><option value="">default</option>${choices.map((each) => html`<option key=${each} value=${each} selected=${each === value}>${each}</option>`)}</select>`
      : html`<input ...${attributes} type="text" value=${value} placeholder="default" autocomplete="off" spellcheck="false" onInput=${change} />`} />`;
}

export function AddDataset({ taken, onDone, onClose }) {
  const { data: api, error: fault } = usePoll(apiDocument, 0);
  const [file, setFile] = useState(null);
  const [name, setName] = useState("");
  const [options, setOptions] = useState({});
  const [sent, setSent] = useState(null);
  const stopped = useRef(null);
  useEffect(() => () => stopped.current?.abort(), []);
  const types = api?.paths["/v1/datasets"].post.requestBody.content;
  const endings = Object.keys(ENDINGS).filter((ending) => !types || ENDINGS[ending] in types);
  const typeOf = () => {
    const ending = file.name.split(".").pop().toLowerCase();
    if (!endings.includes(ending)) throw new Error(`File: ${file.name} has none of the endings ${endings.join(", ")}. Save the table as CSV.`);
    return ENDINGS[ending];
  };
  const request = () => {
    if (!file) throw new Error("File: choose a file of readings.");
    if (!name.trim()) throw new Error("Name: enter a name of letters, digits, and . _ -");
    const query = new URLSearchParams({ name: name.trim(), ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== "")) });
    return { method: "POST", path: `/v1/datasets?${query}`, file: { name: file.name, type: typeOf() } };
  };
  const send = useAction(async () => {
    const asked = request();
    stopped.current = new AbortController();
    setSent(0);
    try {
      const made = await upload(asked.path, file, asked.file.type, setSent, stopped.current.signal);
      announce("The dataset was added.");
      onDone(made);
    } finally {
      setSent(null);
    }
  });
  const submit = (event) => {
    event.preventDefault();
    if (!send.isRunning) send.run();
  };
  const choose = (event) => {
    const [chosen] = event.target.files;
    setFile(chosen ?? null);
    if (chosen) setName(nameFor(chosen.name, taken));
    send.clear();
  };
  const at = (place) => (send.error instanceof Problem && send.error.document.parameter === place ? send.error.message : undefined);
  const found = api ? optionsOf(api) : [];
  const part = (isUsual) => found.filter((each) => USUAL.includes(each.name) === isUsual).map((each) => html`
    <${Option} key=${each.name} option=${each} value=${options[each.name] ?? ""} error=${at(each.name)} onChange=${(value) => setOptions((last) => ({ ...last, [each.name]: value }))} />`);
  return html`
    <${Card} title="Add a file" actions=${html`<${CopyAs} request=${request} />`}>
      <form onSubmit=${submit} novalidate>
        <div class="form">
          <${Field} label="File" help=${`A row for each time, or for each time and series; the first row has the names of columns. ${endings.join(", ")}.`} control=${(attributes) => html`
            <input ...${attributes} type="file" accept=${endings.map((ending) => `.${ending}`).join()} onChange=${choose} />`} />
          <${Field} label="Name" help="Letters, digits, and . _ -" error=${at("name")} control=${(attributes) => html`
            <input ...${attributes} type="text" value=${name} autocomplete="off" spellcheck="false" onInput=${(event) => setName(event.target.value)} />`} />
        </div>
        <details><summary>More: time zone, series, delimiter, types</summary>
          <p class="help">What is not given is found in the whole file.</p>
          <div class="form">${part(true)}${part(false)}</div></details>
        ${sent !== null && html`<progress max="1" value=${sent < 1 ? sent : undefined} aria-label="Sending the file"></progress>
          <p class="help" role="status">${sent < 1 ? `${Math.floor(sent * 100)}% of ${bytes(file.size)} sent.` : "The service reads the file."}</p>`}
        <${Failure} error=${send.error || fault} />
        <div class="row"><${Button} type="submit" kind="main" busy=${send.isRunning}>Add dataset<//>
          ${send.isRunning && html`<${Button} onClick=${() => stopped.current.abort()}>Stop<//>`}
          ${onClose && !send.isRunning && html`<${Button} onClick=${onClose}>Close<//>`}</div>
      </form>
    <//>`;
}
