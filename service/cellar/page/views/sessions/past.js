// Time travel: the earlier states to which a session can go back.

import { useEffect, useState } from "../../vendor/hooks.js";
import { change, path, read } from "../../core/api.js";
import { useAction, usePoll } from "../../core/hooks.js";
import { announce, Button, Card, Empty, Failure, html, Loading } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";

/** The number of steps in ranges [first, last], and the step at a place among them. */
const count = (ranges) => ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);

function stepAt(ranges, place) {
  let left = place;
  for (const [first, last] of ranges) {
    if (left <= last - first) return first + left;
    left -= last - first + 1;
  }
  return ranges.length ? ranges[ranges.length - 1][1] : 0;
}

function Travel({ session, history, onDone }) {
  const all = count(history.reachable);
  const [place, setPlace] = useState(null);
  const [undo, setUndo] = useState(null);
  const chosen = stepAt(history.reachable, Math.min(place ?? all - 1, all - 1));
  const target = path`/v1/sessions/${session.session}/rewind`;
  const going = (body) => ({ method: "POST", path: target, body });
  const rewind = useAction(async (body) => {
    const before = session.position;
    await change({ ...going(body), once: true });
    setUndo(body.to ? null : before);
    setPlace(null);
    announce(body.to ? "The rewind was undone." : `The session is back at step ${body.step}.`);
    onDone();
  });
  return html`
    ${all > 1
      ? html`
        <label class="travel">Step <output>${chosen}</output>
          <input type="range" min="0" max=${all - 1} value=${place ?? all - 1} aria-valuetext=${`step ${chosen}`} onInput=${(event) => setPlace(Number(event.target.value))} /></label>
        <p class="help">Between ${history.reachable[0][0]} and ${history.reachable[history.reachable.length - 1][1]}. Going back begins a new epoch at step 0, with the state that followed this step.</p>`
      : html`<p class="help">In the present epoch there is no earlier step to go back to yet.</p>`}
    <${Failure} error=${rewind.error} />
    <div class="row">
      <${Button} kind="main" busy=${rewind.isRunning} disabled=${all < 2 || chosen === session.step} onClick=${() => rewind.run({ step: chosen })}>Go back<//>
      <${CopyAs} request=${() => going({ step: chosen })} />
      ${undo && html`<${Button} onClick=${() => rewind.run({ to: undo })}>Undo<//><${CopyAs} request=${going({ to: undo })} label="Copy undo" />`}
    </div>
    ${history.states.length > 0 && html`
      <details><summary>${history.states.length} kept states, also of earlier epochs</summary>
        <ul class="lines">${history.states.slice(-50).reverse().map((state) => html`
          <li key=${state.position}>Step ${state.step} <code class="soft">${state.position.split(".")[0]}</code>
            <${Button} kind="small" aria-label=${`Go back to step ${state.step} of epoch ${state.position.split(".")[0]}`} onClick=${() => rewind.run({ to: state.position })}>Go back<//>
            <${CopyAs} request=${going({ to: state.position })} label="Copy go back" /></li>`)}</ul></details>`}`;
}

export function Past({ session, onDone }) {
  const isKept = session.history > 0 || session.log > 0;
  const { data, error, reload } = usePoll(
    (signal) => (isKept ? read(path`/v1/sessions/${session.session}/history`, signal) : null), 0, [session.session, isKept]);
  useEffect(() => {
    if (data && data.position !== session.position) reload();
  }, [session.position]);
  return html`
    <${Card} title="Time travel">
      <${Failure} error=${error} />
      ${!isKept && html`<${Empty} title="This session keeps no earlier states.">Open sessions with “Earlier states to keep” or “Inputs to keep” to go back in time. A snapshot keeps the present state.<//>`}
      ${isKept && !data && !error && html`<${Loading} />`}
      ${isKept && data && html`<${Travel} session=${session} history=${data} onDone=${onDone} />`}
    <//>`;
}
