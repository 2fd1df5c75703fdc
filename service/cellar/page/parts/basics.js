// The smallest parts of the page.

import htm from "../vendor/htm.js";
import { h } from "../vendor/preact.js";
import { useEffect, useId, useRef, useState } from "../vendor/hooks.js";
import { ConnectionLost, Problem } from "../core/api.js";

export const html = htm.bind(h);

/** Text in which words between backticks are code, as descriptions of the API have it. */
export const Prose = ({ text }) =>
  (text || "").split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));

export const Button = ({ kind = "", busy = false, children, ...rest }) => html`
  <button type="button" class=${`button ${kind}`} aria-busy=${busy} disabled=${busy || rest.disabled} ...${rest}>${children}</button>`;

/** A part of a view with a heading; `actions` stand at its right. */
export function Card({ title, actions, children, kind = "", level = 2 }) {
  const id = useId();
  return html`
    <section class=${`card ${kind}`} aria-labelledby=${title && id}>
      ${title && html`<header class="card-head"><${`h${level}`} id=${id}>${title}<//><div class="row">${actions}</div></header>`}
      ${children}
    </section>`;
}

/** What an empty place says: what will be here, and what to do next. */
export const Empty = ({ title, children }) => html`<div class="empty"><p class="empty-title">${title}</p><div>${children}</div></div>`;

export const Badge = ({ kind = "", children }) => html`<span class=${`badge ${kind}`}>${children}</span>`;

export const Loading = ({ what = "Loading" }) => html`<p class="loading" role="status">${what}…</p>`;

/** An error in the place where it happened, with the parts of its problem document that help to mend it. */
export function Failure({ error, id }) {
  if (!error) return null;
  const { pointer, expected, actual } = error instanceof Problem ? error.document : {};
  return html`
    <div class=${`failure ${error instanceof ConnectionLost ? "quiet" : ""}`} role="alert" id=${id}>
      <p>${error.message}</p>
      ${pointer && expected && html`
        <p class="failure-place"><code>${pointer}</code>: expected ${String(expected)}${actual !== undefined && html`, got ${String(actual)}`}</p>`}
    </div>`;
}

/** The heading of a view. It takes the focus when the view is opened, so that screen readers read it. */
export function Title({ children, actions, above }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${heading.current.textContent} · Cellar`;
    heading.current.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, []);
  return html`
    <div class="title">
      <div>${above && html`<p class="above">${above}</p>`}<h1 tabindex="-1" ref=${heading}>${children}</h1></div>
      <div class="row">${actions}</div>
    </div>`;
}

/** Name and value pairs. */
export const Facts = ({ items }) => html`
  <dl class="facts">${items.filter(Boolean).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/** A large figure with its name. */
export const Figure = ({ name, value, unit, note }) => html`
  <div class="figure"><p class="figure-name">${name}</p><p class="figure-value">${value}${unit && html` <small>${unit}</small>`}</p>
    ${note && html`<p class="figure-note">${note}</p>`}</div>`;

/** A labelled field; `help` explains it and `error` is its fault. `control` makes the element with the given attributes. */
export function Field({ label, help, error, control, wide = false }) {
  const id = useId();
  const described = [help && `${id}-help`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return html`
    <div class=${`field ${wide ? "wide" : ""}`}>
      <label for=${id}>${label}</label>
      ${control({ id, "aria-describedby": described, "aria-invalid": error ? "true" : undefined })}
      ${help && html`<p class="help" id=${`${id}-help`}><${Prose} text=${help} /></p>`}
      ${error && html`<p class="field-error" id=${`${id}-error`}>${error}</p>`}
    </div>`;
}

/** A text that screen readers read when it changes. */
export function Announcer() {
  const [text, setText] = useState("");
  useEffect(() => {
    const show = (event) => setText(event.detail);
    addEventListener("announce", show);
    return () => removeEventListener("announce", show);
  }, []);
  useEffect(() => {
    const timer = text && setTimeout(() => setText(""), 6000);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<div class=${`toast ${text ? "shown" : ""}`} role="status" aria-live="polite">${text}</div>`;
}

/** Tell the user that something has been done. */
export const announce = (text) => dispatchEvent(new CustomEvent("announce", { detail: text }));
