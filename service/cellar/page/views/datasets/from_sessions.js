// The dialog that makes a dataset of what sessions have logged.

import { html } from "../../parts/basics.js";
import { RequestDialog } from "../../parts/dialog.js";
import { Input, useForm } from "../../parts/form.js";

export function FromSessions({ onDone, onClose }) {
  const form = useForm({ dataset: "", prefix: "", model: "" });
  const request = () => {
    const { dataset, prefix, model } = form.values;
    if (!dataset.trim()) throw new Error("Name: enter a name of letters, digits, and . _ -");
    const sessions = { ...(prefix && { prefix }), ...(model.trim() && { model: model.trim() }) };
    return { method: "POST", path: "/v1/datasets", body: { dataset: dataset.trim(), sessions } };
  };
  return html`
    <${RequestDialog} title="Dataset of sessions" verb="Make dataset" done="The dataset was made." request=${request} onDone=${onDone} onClose=${onClose}>
      <p>What sessions have logged becomes a dataset, a series for each. They must have been opened with “Inputs to keep”, and their models must have the same inputs.</p>
      <div class="form">
        <${Input} form=${form} name="dataset" label="Name" help="Letters, digits, and . _ -" />
        <${Input} form=${form} name="prefix" label="Sessions whose names begin with" help="Empty: all." />
        <${Input} form=${form} name="model" label="Model" help="A model, a version (co2@3) or an alias (co2@live). Empty: all." />
      </div>
    <//>`;
}
