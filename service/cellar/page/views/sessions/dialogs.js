// Dialogs of one session: reset, fork, delete.

import { path } from "../../core/api.js";
import { html } from "../../parts/basics.js";
import { RequestDialog } from "../../parts/dialog.js";
import { Input, useForm, whole } from "../../parts/form.js";

export function Reset({ session, ...rest }) {
  const form = useForm({ rows: "" });
  const request = () => {
    const rows = form.values.rows.trim();
    const body = rows ? { rows: rows.split(/[\s,]+/).map((row) => whole(row, "Rows", 0, session.batch_size - 1)) } : {};
    return { method: "POST", path: path`/v1/sessions/${session.session}/reset`, body };
  };
  return html`
    <${RequestDialog} title="Reset the session?" verb="Reset" done="The session was reset." request=${request} once ...${rest}>
      <p>The state becomes the initial state of the model, at step 0.
        ${session.history > 0 ? " You can go back to the present state afterwards." : " The present state is lost: take a snapshot first if you may need it."}</p>
      ${session.batch_size > 1 && html`<div class="form"><${Input} form=${form} name="rows" label="Rows" help="Numbers from 0, separated by commas. Empty: all rows." /></div>`}
    <//>`;
}

export function Fork({ session, ...rest }) {
  const form = useForm({ name: "" });
  const request = () => ({
    method: "POST",
    path: path`/v1/sessions/${session.session}/fork`,
    body: form.values.name ? { names: [form.values.name] } : { count: 1 },
  });
  return html`
    <${RequestDialog} title="Fork the session" verb="Fork" done="The session was forked." request=${request} once ...${rest}>
      <p>A new session begins with the present state, and continues on its own.</p>
      <div class="form"><${Input} form=${form} name="name" label="Name" help="Any text. Without one, a name is generated." /></div>
    <//>`;
}

export function DeleteSession({ session, ...rest }) {
  const request = () => ({ method: "DELETE", path: path`/v1/sessions/${session.session}` });
  return html`
    <${RequestDialog} title="Delete the session?" verb="Delete" done="The session was deleted." request=${request} isDangerous ...${rest}>
      <p>Its state, snapshots, log, history and events are deleted. Sessions that were forked from it stay.</p>
    <//>`;
}
