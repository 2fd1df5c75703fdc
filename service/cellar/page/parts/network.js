// A drawing of a network: its layers as boxes from left to right, with the sizes of what flows between them.

import { integer, plural } from "../core/format.js";
import { html } from "./basics.js";

const ACTIVATED = (layer) => (layer.activation && layer.activation !== "identity" ? layer.activation : "");

/** The name of a layer, and what distinguishes it. */
export function describe(layer) {
  const size = layer.hidden_size ?? layer.out_size;
  const cell = typeof layer.cell === "string" ? layer.cell : layer.cell && "own cell";
  const texts = {
    recurrent: [cell, `${size} hidden`],
    dense: ["dense", plural(size ?? 0, "output")],
    dropout: ["dropout", `rate ${layer.rate}`],
    readings: ["readings", plural(layer.columns?.length ?? 0, "column")],
    embedding: ["embedding", `${layer.count} ids to ${layer.out_size}`],
    layer_norm: ["layer norm", ""],
    reverse: ["reverse", "in time"],
    bidirectional: ["both directions", ""],
    residual: ["residual", ""],
  };
  const [name, detail] = texts[layer.type] || [layer.type, ""];
  return { name, detail: [detail.trim(), ACTIVATED(layer)].filter(Boolean).join(", "), isRecurrent: layer.type === "recurrent" };
}

const nested = (layer) => layer.layers || (layer.layer ? [layer.layer] : []);

function parametersOf(model, index) {
  return model.parameters
    .filter((each) => each.name.split(".")[0] === String(index))
    .reduce((sum, each) => sum + each.shape.reduce((product, size) => product * size, 1), 0);
}

const Layer = ({ layer, count }) => {
  const { name, detail, isRecurrent } = describe(layer);
  const inner = nested(layer);
  return html`
    <div class=${`layer ${layer.type}`}>
      <p class="layer-name">${name}${isRecurrent && html` <span class="loop" title="keeps a state" aria-label="keeps a state">↻</span>`}</p>
      ${detail && html`<p class="layer-detail">${detail}</p>`}
      ${inner.length > 0 && html`<div class="network inner">${inner.map((each, index) => html`<${Layer} key=${index} layer=${each} />`)}</div>`}
      ${count > 0 && html`<p class="layer-detail">${integer(count)} parameters</p>`}
    </div>`;
};

/** The drawing of a model's network. A graph that is hosted as it is is one box. */
export function Network({ model }) {
  const layers = model.network?.layers || [];
  return html`
    <div class="network" role="group" aria-label="Network" tabindex="0">
      <div class="end"><b>${model.in_size}</b><span>${model.in_size === 1 ? "input" : "inputs"}</span></div>
      ${layers.map((layer, index) => html`<${Layer} key=${index} layer=${layer} count=${layers.some((each) => nested(each).length) ? 0 : parametersOf(model, index)} />`)}
      ${model.graph && html`<div class="layer"><p class="layer-name">ONNX graph</p><p class="layer-detail">hosted by ONNX Runtime</p></div>`}
      <div class="end"><b>${model.out_size}</b><span>${model.out_size === 1 ? "output" : "outputs"}</span></div>
    </div>`;
}
