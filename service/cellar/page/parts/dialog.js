// A dialog with a form, on the browser's own dialog element: it keeps the focus and closes with Escape.

import { useEffect, useId, useRef } from "../vendor/hooks.js";
import { change } from "../core/api.js";
import { useAction } from "../core/hooks.js";
import { announce, Button, Failure, html } from "./basics.js";
import { CopyAs } from "./copy.js";

/**
 * A form that sends one request. `request()` returns it as it is filled in, or throws an Error with the reason why it
 * cannot be sent; `onDone` takes the answer. `verb` is the text of its button, `done` what is announced.
 */
export function RequestDialog({ title, verb, done, request, onDone, onClose, children, isDangerous = false, once = false }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    dialog.current.showModal();
    const field = dialog.current.querySelector("input, select, textarea");
    field?.focus();
  }, []);
  const send = useAction(async () => {
    const answer = await change({ once, ...request() });
    announce(done);
    dialog.current?.close();
    onDone?.(answer);
  });
  const submit = (event) => {
    event.preventDefault();
    if (!send.isRunning) send.run();
  };
  return html`
    <dialog ref=${dialog} aria-labelledby=${id} onClose=${onClose}>
      <form onSubmit=${submit} novalidate>
        <h2 id=${id}>${title}</h2>
        ${children}
        <${Failure} error=${send.error} />
        <div class="dialog-end">
          <${CopyAs} request=${request} />
          <span class="space"></span>
          <${Button} onClick=${() => dialog.current.close()}>Cancel<//>
          <${Button} type="submit" kind=${isDangerous ? "danger" : "main"} busy=${send.isRunning}>${verb}<//>
        </div>
      </form>
    </dialog>`;
}
