// A text area for equations, with the place of a fault marked in the text.

import { useRef } from "../vendor/hooks.js";
import { html } from "./basics.js";

const TOKEN = /(#.*)|\b(param|state|scalar|output)\b|\b([A-Za-z_]\w*)(?=\()|(\d+(?:\.\d+)?(?:e-?\d+)?)|([@=+\-*/])/g;
const KINDS = ["comment", "keyword", "function", "digits", "operator"];

/** Divide a line into pieces of text and highlighted tokens. */
function tokens(line) {
  const pieces = [];
  let end = 0;
  for (const match of line.matchAll(TOKEN)) {
    const kind = KINDS[match.slice(1).findIndex((group) => group !== undefined)];
    pieces.push(line.slice(end, match.index), html`<span class=${`token-${kind}`}>${match[0]}</span>`);
    end = match.index + match[0].length;
  }
  return [...pieces, line.slice(end)];
}

/** A line with its fault: the character at the column is marked, a blank if the line ends before it. */
function marked(line, column) {
  const letters = [...line];
  const before = letters.slice(0, column - 1).join("");
  const word = /^\w+/.exec(letters.slice(column - 1).join(""))?.[0] ?? letters[column - 1] ?? " ";
  return [before, html`<mark>${word}</mark>`, line.slice(before.length + word.length)];
}

export function Editor({ label, text, onText, fault, describedBy, reference }) {
  const back = useRef(null);
  const lines = text.split("\n");
  const scroll = (event) => {
    back.current.scrollTop = event.target.scrollTop;
    back.current.scrollLeft = event.target.scrollLeft;
  };
  return html`
    <div class="editor">
      <pre class="editor-numbers" aria-hidden="true">${lines.map((_, index) => html`<span class=${fault?.line === index + 1 ? "wrong" : ""}>${index + 1}</span>`)}</pre>
      <div class="editor-text">
        <pre ref=${back} aria-hidden="true">${lines.map((line, index) => html`<span key=${index}>${fault?.line === index + 1 ? marked(line, fault.column) : tokens(line)}${"\n"}</span>`)}</pre>
        <textarea ref=${reference} aria-label=${label} aria-describedby=${describedBy} aria-invalid=${fault ? "true" : undefined} spellcheck="false" autocapitalize="off" autocomplete="off"
          wrap="off" rows=${Math.max(8, lines.length + 1)} value=${text} onInput=${(event) => onText(event.target.value)} onScroll=${scroll}></textarea>
      </div>
    </div>`;
}
