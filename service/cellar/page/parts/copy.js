// "Copy as": an action of the page as a command or a program.

import { useEffect, useId, useRef, useState } from "../vendor/hooks.js";
import { LANGUAGES } from "../core/snippets.js";
import { announce, html } from "./basics.js";

/** Put text on the clipboard, also where the page is not served over HTTPS and has no clipboard of its own. */
export async function toClipboard(text) {
  if (navigator.clipboard) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch {
      // the browser does not allow it: the way of old browsers may still work
    }
  }
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "away" });
  (document.querySelector("dialog[open]") || document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A menu that copies a request as curl, Python or TypeScript. `request` is the request, or a function that returns it. */
export function CopyAs({ request, label = "Copy as" }) {
  const [isOpen, setOpen] = useState(false);
  const [error, setError] = useState("");
  const root = useRef(null);
  const id = useId();
  useEffect(() => {
    if (!isOpen) return undefined;
    root.current.querySelector("[role=menuitem]").focus();
    const leave = (event) => root.current?.contains(event.target) || setOpen(false);
    addEventListener("pointerdown", leave);
    return () => removeEventListener("pointerdown", leave);
  }, [isOpen]);
  const close = () => {
    setOpen(false);
    root.current.querySelector("button").focus();
  };
  const copy = async (name) => {
    try {
      const text = LANGUAGES[name](typeof request === "function" ? request() : request);
      await toClipboard(text);
      setError("");
      announce(`Copied as ${name}.`);
    } catch (fault) {
      setError(fault.message);
    }
    close();
  };
  const keys = (event) => {
    if (!isOpen) return;
    const items = [...root.current.querySelectorAll("[role=menuitem]")];
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      event.preventDefault();
      items[(items.indexOf(document.activeElement) + move + items.length) % items.length].focus();
    }
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
    if (event.key === "Tab") setOpen(false);
  };
  return html`
    <div class="menu" ref=${root} onKeyDown=${keys}>
      <button type="button" class="button plain" aria-haspopup="menu" aria-expanded=${isOpen} aria-controls=${isOpen ? id : undefined} onClick=${() => setOpen(!isOpen)}>
        ${label} <span aria-hidden="true">▾</span></button>
      ${isOpen && html`
        <div role="menu" id=${id} aria-label=${label} class="menu-list">
          ${Object.keys(LANGUAGES).map((name) => html`<button key=${name} type="button" role="menuitem" tabindex="-1" onClick=${() => copy(name)}>${name}</button>`)}
        </div>`}
      ${error && html`<span class="field-error" role="alert">${error}</span>`}
    </div>`;
}
