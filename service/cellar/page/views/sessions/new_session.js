// The dialog that opens a session.

import { read } from "../../core/api.js";
import { usePoll } from "../../core/hooks.js";
import { html } from "../../parts/basics.js";
import { RequestDialog } from "../../parts/dialog.js";
import { Input, useForm, whole } from "../../parts/form.js";

const KEPT = 1_000_000;

export function NewSession({ model = "", onDone, onClose }) {
  const form = useForm({ model, session: "", batch_size: 1, events: 200, log: 1000, history: 50 });
  const { data } = usePoll((signal) => read("/v1/models?limit=1000", signal), 0);
  const request = () => {
    const { values } = form;
    if (!values.model.trim()) throw new Error("Model: enter the name of a model, a version (co2@3) or an alias (co2@live).");
    const body = { model: values.model.trim() };
    if (values.session) body.session = values.session;
    if (Number(values.batch_size) !== 1) body.batch_size = whole(values.batch_size, "Rows", 1, 65536);
    for (const [name, most] of [["events", 100_000], ["log", KEPT], ["history", 256]]) {
      const count = whole(values[name], name, 0, most);
      if (count) body[name] = count;
    }
    return { method: "POST", path: "/v1/sessions", body };
  };
  return html`
    <${RequestDialog} title="New session" verb="Open session" done="The session was opened." request=${request} onDone=${onDone} onClose=${onClose}>
      <p>A session keeps the hidden state of one stream between its steps.</p>
      <div class="form">
        <${Input} form=${form} name="model" label="Model" list="session-models" help="A model, one version (co2@3) or an alias (co2@live), which the session then follows." />
        <datalist id="session-models">${(data?.models || []).map((each) => html`<option key=${each.name} value=${each.name} />`)}</datalist>
        <${Input} form=${form} name="session" label="Name" help="Any text. Without one, a name is generated." />
        <${Input} form=${form} name="batch_size" label="Rows" type="number" min="1" help="Independent sequences that step together." />
        <${Input} form=${form} name="events" label="Events to keep" type="number" min="0" help="Needed to watch outputs live. They cost memory in Redis." />
        <${Input} form=${form} name="log" label="Inputs to keep" type="number" min="0" help="The log: needed to plot inputs, to replay, and to go back between kept states." />
        <${Input} form=${form} name="history" label="Earlier states to keep" type="number" min="0" help="Needed to go back in time; at most 256. Steps of the session are then committed one by one." />
      </div>
    <//>`;
}
