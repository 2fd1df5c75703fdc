// The dialog that creates a model.

import { html } from "../../parts/basics.js";
import { RequestDialog } from "../../parts/dialog.js";
import { Choice, Input, useForm, whole } from "../../parts/form.js";

export const CELLS = [
  "gru", "lstm", "rnn", "gru_torch", "gru_v3", "leaky", "lru", "lstm_peephole", "mgu", "mingru", "minlstm",
];
const ACTIVATIONS = ["identity", "sigmoid", "tanh", "relu", "softplus"];

/** `cell` is an own cell with `equations`, or nothing if one is to be chosen. */
export function NewModel({ cell, sizes = {}, onDone, onClose }) {
  const form = useForm({ name: "", cell: "gru", in_size: sizes.in ?? 1, hidden: sizes.hidden ?? 16, out_size: sizes.in ?? 1, activation: "identity", seed: 0 });
  const request = () => {
    const { values } = form;
    if (!values.name.trim()) throw new Error("Name: enter a name of letters, digits, and . _ -");
    const recurrent = { type: "recurrent", cell: cell || values.cell, hidden_size: whole(values.hidden, "Hidden units") };
    const dense = { type: "dense", out_size: whole(values.out_size, "Outputs"), activation: values.activation };
    const network = { in_size: whole(values.in_size, "Inputs"), layers: [recurrent, dense] };
    return { method: "POST", path: "/v1/models", body: { name: values.name.trim(), network, seed: whole(values.seed, "Seed", 0, 2 ** 31) } };
  };
  return html`
    <${RequestDialog} title=${cell ? "New model with this cell" : "New model"} verb="Create model" done="The model was created." request=${request} onDone=${onDone} onClose=${onClose}>
      <p>A recurrent layer keeps the state, and a dense layer makes the outputs from it. Other networks are created over the <a href="docs/">API</a>.</p>
      <div class="form">
        <${Input} form=${form} name="name" label="Name" help="Letters, digits, and . _ -" />
        ${!cell && html`<${Choice} form=${form} name="cell" label="Cell" help="How the state follows from the input." of=${CELLS} />`}
        <${Input} form=${form} name="in_size" label="Inputs" type="number" min="1" help="Numbers in one step." />
        <${Input} form=${form} name="hidden" label="Hidden units" type="number" min="1" help="Numbers in a state." />
        <${Input} form=${form} name="out_size" label="Outputs" type="number" min="1" help="Numbers in one answer." />
        <${Choice} form=${form} name="activation" label="Activation of the outputs" of=${ACTIVATIONS} />
        <${Input} form=${form} name="seed" label="Seed" type="number" min="0" help="The weights are drawn from it: the same seed gives the same weights." />
      </div>
    <//>`;
}
