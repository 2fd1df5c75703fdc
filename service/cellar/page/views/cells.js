// The cell editor: equations, checked by the service as they are written.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { check, ConnectionLost, open, path, Problem, read } from "../core/api.js";
import { integer, plural, shape } from "../core/format.js";
import { go, parameters } from "../core/router.js";
import { Badge, Button, Card, Facts, Failure, Field, html, Title } from "../parts/basics.js";
import { CopyAs } from "../parts/copy.js";
import { Editor } from "../parts/editor.js";
import { NewModel } from "./models/new_model.js";

const PAUSE_MS = 250;
const DRAFT = "cellar.cell";

const EXAMPLES = {
  "Elman network": "h = tanh(Wi @ x + Wh @ h + b)",
  GRU: "r = sigmoid(Wi_r @ x + Wh_r @ h + b_r)\nz = sigmoid(Wi_z @ x + Wh_z @ h + b_z)\nn = tanh(Wi_n @ x + r * (Wh_n @ h) + b_n)\nh = (1 - z) * n + z * h",
  LSTM: "i = sigmoid(Wi_i @ x + Wh_i @ h + b_i)\nf = sigmoid(Wi_f @ x + Wh_f @ h + b_f)\ng = tanh(Wi_g @ x + Wh_g @ h + b_g)\no = sigmoid(Wi_o @ x + Wh_o @ h + b_o)\nc = f * c + i * g\nh = o * tanh(c)",
  "Leaky integrator": "a = sigmoid(b_a)\nh = (1 - a) * h + a * tanh(Wi @ x + Wh @ h + b)",
};

const draft = () => {
  try {
    return JSON.parse(sessionStorage.getItem(DRAFT));
  } catch {
    return null;
  }
};

/** Read further sizes as they are written: `proj=4, k=2`. */
function sizesOf({ inputs, hidden, others }) {
  const sizes = { in: Number(inputs), hidden: Number(hidden) };
  for (const item of others.split(/[\s,]+/).filter(Boolean)) {
    const [, name, value] = /^(\w+)=(\d+)$/.exec(item) || [];
    if (!name) throw new Error(`Other sizes: “${item}” is not of the form name=number, as in proj=4.`);
    sizes[name] = Number(value);
  }
  return sizes;
}

/** Check a cell whenever it has changed and no key was pressed for a moment. */
function useChecked(cell) {
  const [found, setFound] = useState({ answer: null, error: null, isOld: true });
  useEffect(() => {
    setFound((last) => ({ ...last, isOld: true }));
    const stopped = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const body = { equations: cell.equations, sizes: sizesOf(cell) };
        const answer = await (await check(await open("POST", "/v1/cells", { body, signal: stopped.signal }))).json();
        setFound({ answer, error: null, isOld: false });
      } catch (error) {
        if (!stopped.signal.aborted) setFound((last) => ({ answer: last.answer, error, isOld: false }));
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stopped.abort();
    };
  }, [cell]);
  return found;
}

const Shapes = ({ answer, isValid }) => html`
  <div>
    ${!isValid && html`<p class="help">Of the last valid text:</p>`}
    <${Facts} items=${[
      ["Output", plural(answer.output.size, "number")],
      ["Operations", `${answer.operations} of 64`],
      ["Work of a step", `${integer(answer.flops)} flops`],
      ["Parameters", integer(answer.parameters.reduce((sum, each) => sum + each.shape.reduce((product, size) => product * size, 1), 0))],
    ]} />
    <table><thead><tr><th scope="col">Name</th><th scope="col">Kind</th><th scope="col">Shape</th></tr></thead>
      <tbody>
        ${answer.states.map((each) => html`<tr key=${`s${each.name}`}><th scope="row"><code>${each.name}</code></th><td><${Badge} kind="busy">state<//></td><td>${each.size}</td></tr>`)}
        ${answer.parameters.map((each) => html`<tr key=${`p${each.name}`}><th scope="row"><code>${each.name}</code></th><td><${Badge}>parameter<//></td><td>${shape(each.shape)}</td></tr>`)}
      </tbody></table>
    <details><summary>As the service reads it</summary><pre class="code">${answer.canonical}</pre></details>
  </div>`;

function Outcome({ error, isOld, answer }) {
  const isFault = error instanceof Problem && error.document.line;
  return html`
    <div id="cell-outcome" role="status" aria-live="polite">
      ${error && isFault && html`
        <div class="failure"><p><b>Line ${error.document.line}, column ${error.document.column}:</b> ${error.document.detail}</p>
          <pre class="code caret">${error.document.excerpt}</pre>
          ${error.document.expected && html`<p class="failure-place">Expected ${error.document.expected}.</p>`}</div>`}
      ${error && !isFault && html`<${Failure} error=${error} />`}
      ${!error && answer && html`<p class="valid">${isOld ? "Checking…" : "The cell is valid."}</p>`}
    </div>`;
}

export function Cells() {
  const [cell, setCell] = useState(draft() || { equations: EXAMPLES["Elman network"], inputs: "3", hidden: "5", others: "" });
  const [loaded, setLoaded] = useState(null);
  const [isNew, setNew] = useState(false);
  const editor = useRef(null);
  const { answer, error, isOld } = useChecked(cell);
  const set = (name, value) => setCell((last) => ({ ...last, [name]: value }));
  useEffect(() => sessionStorage.setItem(DRAFT, JSON.stringify(cell)), [cell]);
  useEffect(() => {
    const model = parameters().get("model");
    if (!model) return;
    read(path`/v1/models/${model}`).then(
      ({ network }) => {
        const layer = network.layers.find((each) => each.cell?.equations);
        const others = Object.entries(layer.cell.sizes || {}).map(([name, size]) => `${name}=${size}`).join(", ");
        setCell({ equations: layer.cell.equations, inputs: String(network.in_size), hidden: String(layer.hidden_size), others });
      },
      (fault) => setLoaded(fault),
    );
  }, []);
  const request = () => ({ method: "POST", path: "/v1/cells", body: { equations: cell.equations, sizes: sizesOf(cell) } });
  const isValid = !error && answer !== null;
  const size = (name, label) => html`
    <${Field} label=${label} control=${(attributes) => html`<input ...${attributes} type="number" min="1" max="16384" value=${cell[name]} onInput=${(event) => set(name, event.target.value)} />`} />`;
  const own = () => {
    const { in: inputs, hidden, ...sizes } = sizesOf(cell);
    return { cell: { equations: cell.equations, ...(Object.keys(sizes).length && { sizes }) }, sizes: { in: inputs, hidden } };
  };
  return html`
    <${Title} actions=${html`<${CopyAs} request=${request} /><${Button} kind="main" disabled=${!isValid || isOld} onClick=${() => setNew(true)}>Create a model<//>`}>Cell editor<//>
    ${isNew && html`<${NewModel} ...${own()} onClose=${() => setNew(false)} onDone=${(model) => go(["models", model.name])} />`}
    <${Failure} error=${loaded} />
    <div class="columns uneven">
      <${Card} title="Equations" actions=${html`
        <label class="check">Example <select onChange=${(event) => { if (EXAMPLES[event.target.value]) set("equations", EXAMPLES[event.target.value]); event.target.value = ""; editor.current?.focus(); }}>
          <option value="">choose</option>${Object.keys(EXAMPLES).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`}>
        <${Editor} label="Equations of the cell" text=${cell.equations} onText=${(text) => set("equations", text)} fault=${error instanceof Problem && !isOld ? error.document : null} describedBy="cell-outcome" reference=${editor} />
        <${Outcome} error=${error instanceof ConnectionLost ? null : error} isOld=${isOld} answer=${answer} />
        <div class="bar">${size("inputs", "Inputs (in)")}${size("hidden", "Hidden units (hidden)")}
          <${Field} label="Other sizes" control=${(attributes) => html`<input ...${attributes} placeholder="proj=4" value=${cell.others} onInput=${(event) => set("others", event.target.value)} />`} /></div>
        <p class="help">Each line is <code>name = expression</code>. <code>x</code> is the input. A name that is read before it is assigned is a state: it has the value of the previous step.
          A name that is never assigned and begins with a capital letter or <code>b_</code> is a parameter, which training learns. <code>@</code> multiplies a matrix by a vector.</p>
      <//>
      <${Card} title="What follows from them">
        ${answer ? html`<${Shapes} answer=${answer} isValid=${isValid} />` : html`<p class="soft">Shapes appear when the cell is valid.</p>`}
      <//>
    </div>`;
}
