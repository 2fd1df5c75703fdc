// Snapshots of a session: take, restore, delete.

import { useState } from "../../vendor/hooks.js";
import { change, path, read } from "../../core/api.js";
import { ago } from "../../core/format.js";
import { useAction, usePoll } from "../../core/hooks.js";
import { announce, Button, Card, Failure, Field, html } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";

export function Snapshots({ session, onDone }) {
  const name = session.session;
  const { data, error, reload } = usePoll((signal) => read(path`/v1/sessions/${name}/snapshots`, signal), 0, [name]);
  const [text, setText] = useState("");
  const snapshots = data?.snapshots ?? [];
  const suggested = `step-${session.step}`;
  const taking = () => ({ method: "POST", path: path`/v1/sessions/${name}/snapshots`, body: { snapshot: text || suggested } });
  const take = useAction(async () => {
    await change({ ...taking(), once: true });
    announce("The snapshot was taken.");
    setText("");
    reload();
  });
  const restoring = (snapshot) => ({ method: "POST", path: path`/v1/sessions/${name}/restore`, body: { snapshot } });
  const restore = useAction(async (snapshot) => {
    await change({ ...restoring(snapshot), once: true });
    announce(`The state of ${snapshot} was restored.`);
    onDone();
  });
  const removing = (snapshot) => ({ method: "DELETE", path: path`/v1/sessions/${name}/snapshots/${snapshot}` });
  const remove = useAction(async (snapshot) => {
    await change(removing(snapshot));
    announce(`${snapshot} was deleted.`);
    reload();
  });
  const submit = (event) => {
    event.preventDefault();
    take.run();
  };
  return html`
    <${Card} title="Snapshots" actions=${html`<${CopyAs} request=${taking} />`}>
      <form class="bar" onSubmit=${submit}>
        <${Field} label="Name of a new snapshot" control=${(attributes) => html`<input ...${attributes} placeholder=${suggested} value=${text} onInput=${(event) => setText(event.target.value)} />`} />
        <${Button} type="submit" busy=${take.isRunning}>Take snapshot<//>
      </form>
      <${Failure} error=${error || take.error || restore.error || remove.error} />
      ${data && !snapshots.length && html`<p class="help">A snapshot keeps the present state under a name, until the session ends.</p>`}
      <ul class="lines">${snapshots.map((each) => html`
        <li key=${each.snapshot}><b>${each.snapshot}</b> <span class="soft">step ${each.step}, ${ago(each.taken)}</span><span class="space"></span>
          <${Button} kind="small" aria-label=${`Restore ${each.snapshot}`} onClick=${() => restore.run(each.snapshot)}>Restore<//>
          <${CopyAs} request=${restoring(each.snapshot)} label="Copy restore" />
          <${Button} kind="small" aria-label=${`Delete ${each.snapshot}`} onClick=${() => remove.run(each.snapshot)}>Delete<//>
          <${CopyAs} request=${removing(each.snapshot)} label="Copy delete" /></li>`)}</ul>
    <//>`;
}
