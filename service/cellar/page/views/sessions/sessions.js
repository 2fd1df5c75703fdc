// All sessions of the tenant, the last changed first.

import { useMemo, useState } from "../../vendor/hooks.js";
import { read } from "../../core/api.js";
import { ago, integer, plural } from "../../core/format.js";
import { usePoll } from "../../core/hooks.js";
import { go, link } from "../../core/router.js";
import { Badge, Button, Card, Empty, Failure, html, Loading, Title } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { NewSession } from "./new_session.js";

const SHOWN = 100;
const MOST = 20_000;
const OFTEN = 2000;

/** When a session was last changed, in milliseconds: its lifetime begins again with every change. Unknown if pinned. */
export const changed = (session) => (session.expires ? Date.parse(session.expires) - session.ttl_s * 1000 : null);

/** Read the sessions that a filter selects, MOST of them at the most. */
const load = (prefix, model) => async (signal) => {
  const query = new URLSearchParams({ limit: 1000, ...(prefix && { prefix }), ...(model && { model }) });
  const sessions = [];
  let cursor = "";
  do {
    if (cursor) query.set("cursor", cursor);
    const answer = await read(`/v1/sessions?${query}`, signal);
    sessions.push(...answer.sessions);
    cursor = answer.cursor;
  } while (cursor && sessions.length < MOST);
  sessions.sort((one, other) => (changed(other) ?? Date.parse(other.created)) - (changed(one) ?? Date.parse(one.created)));
  return { sessions, hasMore: cursor !== "" };
};

function Line({ session }) {
  const last = changed(session);
  return html`
    <tr>
      <th scope="row" class="name"><a href=${link(["sessions", session.session])}>${session.session}</a></th>
      <td><a href=${link(["models", session.model])}>${session.model}</a>${session.follows && html` <${Badge}>follows ${session.follows.split("@")[1]}<//>`}</td>
      <td class="number">${integer(session.step)}</td>
      <td>${last === null ? html`<${Badge}>pinned<//>` : ago(last)}</td>
      <td class="soft">${[session.batch_size > 1 && plural(session.batch_size, "row"), session.events && "events", session.log && "log", session.history && "history"].filter(Boolean).join(", ")}</td>
    </tr>`;
}

function Table({ sessions, shown }) {
  return html`
    <div class="wide-table" tabindex="0" role="group" aria-label="Sessions"><table>
      <thead><tr><th scope="col">Session</th><th scope="col">Model</th><th scope="col" class="number">Step</th><th scope="col">Last change</th><th scope="col">Keeps</th></tr></thead>
      <tbody>${sessions.slice(0, shown).map((session) => html`<${Line} key=${session.session} session=${session} />`)}</tbody>
    </table></div>`;
}

/** A form whose values take effect when it is sent, so that each letter does not read the list again. */
function Filters({ onFilter }) {
  const [prefix, setPrefix] = useState("");
  const [model, setModel] = useState("");
  const submit = (event) => {
    event.preventDefault();
    onFilter({ prefix, model: model.trim() });
  };
  return html`
    <form class="bar" onSubmit=${submit}>
      <label>Name begins with <input type="search" value=${prefix} onInput=${(event) => setPrefix(event.target.value)} /></label>
      <label>Model <input type="search" value=${model} onInput=${(event) => setModel(event.target.value)} /></label>
      <${Button} type="submit">Filter<//>
    </form>`;
}

export function Sessions() {
  const [filter, setFilter] = useState({ prefix: "", model: "" });
  const [isNew, setNew] = useState(false);
  const [shown, setShown] = useState(SHOWN);
  const [period, setPeriod] = useState(3000);
  const loading = useMemo(() => load(filter.prefix, filter.model), [filter]);
  const { data, error, reload } = usePoll(async (signal) => {
    const found = await loading(signal);
    setPeriod(found.sessions.length > OFTEN ? 0 : 3000);
    return found;
  }, period, [loading, period]);
  const isFiltered = filter.prefix || filter.model;
  return html`
    <${Title} actions=${html`<${CopyAs} request=${{ method: "GET", path: "/v1/sessions" }} />
      <${Button} onClick=${reload}>Refresh<//><${Button} kind="main" onClick=${() => setNew(true)}>New session<//>`}>Sessions<//>
    ${isNew && html`<${NewSession} onClose=${() => setNew(false)} onDone=${(made) => go(["sessions", made.session])} />`}
    <${Card}>
      <${Filters} onFilter=${(found) => { setFilter(found); setShown(SHOWN); }} />
      <${Failure} error=${error} />
      ${!data && !error && html`<${Loading} what="Reading the sessions" />`}
      ${data && html`<p class="soft" role="status">${plural(data.sessions.length, "session")}${data.hasMore && " were read, and there are more: filter by name or model"}${period === 0 && "; a list of this length is read again when you choose Refresh"}</p>`}
      ${data && !data.sessions.length && (isFiltered
        ? html`<${Empty} title="No session matches.">Change the filter: it compares the beginning of names, and whole names of models.<//>`
        : html`<${Empty} title="There is no session yet.">Open one with New session, or from a <a href="#/models">model</a>.<//>`)}
      ${data && data.sessions.length > 0 && html`<${Table} sessions=${data.sessions} shown=${shown} />`}
      ${data && data.sessions.length > shown && html`<p><${Button} onClick=${() => setShown(shown + SHOWN)}>Show more<//></p>`}
    <//>`;
}
