// The API keys of the tenant: list, create, revoke. A key with the scope `admin` may do so.

import { useState } from "../vendor/hooks.js";
import { path, read } from "../core/api.js";
import { ago, instant, plural } from "../core/format.js";
import { usePoll } from "../core/hooks.js";
import { announce, Badge, Button, Card, Empty, Failure, html, Loading, Title } from "../parts/basics.js";
import { CopyAs, toClipboard } from "../parts/copy.js";
import { RequestDialog } from "../parts/dialog.js";
import { Input, useForm, whole } from "../parts/form.js";

const ALL = { method: "GET", path: "/v1/keys" };
const SCOPES = {
  read: "see models, sessions, jobs and limits",
  step: "open sessions, step and change them",
  train: "create models and training jobs",
  admin: "all of these, and manage keys",
};
const DAY_S = 86_400;

const ended = (key) => key.revoked || (key.expires && new Date(key.expires) <= new Date());

function NewKey({ onDone, onClose }) {
  const form = useForm({ name: "", days: "", read: true });
  const request = () => {
    const { values } = form;
    if (!values.name.trim()) throw new Error("Name: say what the key is for.");
    const scopes = Object.keys(SCOPES).filter((scope) => values[scope]);
    if (!scopes.length) throw new Error("Scopes: choose at least one.");
    const body = { name: values.name.trim(), scopes };
    if (values.days.trim()) body.expires_in_s = DAY_S * whole(values.days, "Days", 1, 36_500);
    return { method: "POST", path: "/v1/keys", body };
  };
  return html`
    <${RequestDialog} title="New key" verb="Create key" done="The key was created." request=${request} onDone=${onDone} onClose=${onClose}>
      <div class="form">
        <${Input} form=${form} name="name" label="Name" help="What the key is for, for example “line 4”." />
        <fieldset><legend>Scopes</legend>${Object.entries(SCOPES).map(([scope, text]) => html`
          <label key=${scope} class="block"><input type="checkbox" checked=${Boolean(form.values[scope])} onChange=${(event) => form.set(scope, event.target.checked)} /> <b>${scope}</b>: ${text}</label>`)}</fieldset>
        <${Input} form=${form} name="days" label="Days" help="After these days the key ends. Empty: it does not end." />
      </div>
    <//>`;
}

/** The text of a key that was just created, which no later answer has. */
function Made({ made, onClose }) {
  const copy = async () => {
    await toClipboard(made.key);
    announce("The key was copied.");
  };
  return html`
    <${Card} title="The new key">
      <p>Copy it now: it is not stored, and cannot be shown again.</p>
      <p><code>${made.key}</code></p>
      <div class="row"><${Button} kind="main" onClick=${copy}>Copy the key<//><${Button} onClick=${onClose}>Done<//></div>
    <//>`;
}

function Revoke({ chosen, onDone, onClose }) {
  const request = () => ({ method: "DELETE", path: path`/v1/keys/${chosen.id}` });
  return html`
    <${RequestDialog} title=${`Revoke ${chosen.name}?`} verb="Revoke" done="The key was revoked." request=${request} onDone=${onDone} onClose=${onClose} isDangerous>
      <p>Requests with it are refused within a second, and its open streams are closed. It cannot be made valid again.</p>
    <//>`;
}

const State = ({ each }) => html`
  ${each.revoked ? html`<${Badge}>revoked ${ago(each.revoked)}<//>` : ended(each) ? html`<${Badge}>ended<//>` : html`<${Badge} kind="busy">valid<//>`}`;

function Table({ keys, onRevoke }) {
  return html`
    <div class="wide-table" tabindex="0" role="group" aria-label="Keys"><table>
      <thead><tr><th scope="col">Name</th><th scope="col">Id</th><th scope="col">Scopes</th><th scope="col">State</th><th scope="col">Ends</th><th scope="col">Created</th><th scope="col"><span class="away">Actions</span></th></tr></thead>
      <tbody>${keys.map((each) => html`
        <tr key=${each.id}>
          <th scope="row">${each.name}</th><td><code>${each.id}</code></td><td>${each.scopes.join(", ")}</td>
          <td><${State} each=${each} /></td><td>${each.expires ? instant(each.expires) : "never"}</td><td>${instant(each.created)}</td>
          <td>${!ended(each) && html`<${Button} kind="small" aria-label=${`Revoke ${each.name}`} onClick=${() => onRevoke(each)}>Revoke<//>`}</td>
        </tr>`)}</tbody>
    </table></div>`;
}

export function Keys() {
  const { data, error, reload } = usePoll((signal) => read(ALL.path, signal), 10_000);
  const [isNew, setNew] = useState(false);
  const [made, setMade] = useState(null);
  const [revoked, setRevoked] = useState(null);
  if (error?.status === 403) {
    return html`<${Title}>Keys<//><${Empty} title="Your key may not manage keys.">A key with the scope <code>admin</code> can.<//>`;
  }
  return html`
    <${Title} actions=${html`<${CopyAs} request=${ALL} /><${Button} kind="main" onClick=${() => setNew(true)}>New key<//>`}>Keys<//>
    ${isNew && html`<${NewKey} onClose=${() => setNew(false)} onDone=${(answer) => { setMade(answer); reload(); }} />`}
    ${revoked && html`<${Revoke} chosen=${revoked} onClose=${() => setRevoked(null)} onDone=${reload} />`}
    <${Failure} error=${error} />
    ${!data && !error && html`<${Loading} />`}
    ${made && html`<${Made} made=${made} onClose=${() => setMade(null)} />`}
    ${data && html`<${Card} title="All keys" actions=${html`<span class="soft">${plural(data.keys.length, "key")}</span>`}>
      <${Table} keys=${[...data.keys].reverse()} onRevoke=${setRevoked} /><//>`}`;
}
