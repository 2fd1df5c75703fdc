// Taking steps by hand.

import { useEffect, useState } from "../../vendor/hooks.js";
import { change, path } from "../../core/api.js";
import { number, plural } from "../../core/format.js";
import { readingsOf } from "../../core/forecasting.js";
import { useAction } from "../../core/hooks.js";
import { announce, Button, Card, Failure, Field, html } from "../../parts/basics.js";
import { CopyAs } from "../../parts/copy.js";
import { Output, TakeReadings } from "./readings.js";

/** Read numbers that are separated by blanks or commas, or JSON. Returns what the request takes. */
export function parseInput(text, size, rows) {
  let numbers;
  if (text.trim().startsWith("[")) {
    try {
      numbers = JSON.parse(text).flat(2);
    } catch {
      throw new Error("Input: this begins like JSON and is not complete. Example: [1, 0.5].");
    }
  } else {
    numbers = text.trim() === "" ? [] : text.trim().split(/[\s,;]+/).map(Number);
  }
  const wrong = numbers.findIndex((each) => typeof each !== "number" || !Number.isFinite(each));
  if (wrong >= 0) throw new Error(`Input: number ${wrong + 1} is not a number. Separate numbers by blanks or commas, with a point for decimals.`);
  if (numbers.length !== size * rows) {
    throw new Error(`Input: expected ${plural(size * rows, "number")}${rows > 1 ? ` (${size} for each of ${rows} rows)` : ""}, got ${numbers.length}.`);
  }
  return rows === 1 ? numbers : Array.from({ length: rows }, (_, row) => numbers.slice(row * size, (row + 1) * size));
}

const random = (count) => Array.from({ length: count }, () => number(Math.random() * 2 - 1, 3)).join(", ");

export function TakeStep({ session, model, error, points, onStep }) {
  if (!model) return html`<${Card} title="Take a step"><${Failure} error=${error} /><//>`;
  if (model.whole_sequences) return html`<${Card} title="Take a step"><p>This model reads whole sequences from both ends, so it takes no single steps. Send them to <code>/sequence</code>.</p><//>`;
  return readingsOf(model)
    ? html`<${TakeReadings} session=${session} model=${model} points=${points} onStep=${onStep} />`
    : html`<${TakeNumbers} session=${session} model=${model} onStep=${onStep} />`;
}

function TakeNumbers({ session, model, onStep }) {
  const [text, setText] = useState(null);
  const [last, setLast] = useState(null);
  const count = model.in_size * session.batch_size;
  useEffect(() => {
    if (text === null) setText(Array(Math.min(count, 4096)).fill(0).join(", "));
  }, [model]);
  const request = () => ({
    method: "POST",
    path: path`/v1/sessions/${session.session}/step`,
    body: { input: parseInput(text, model.in_size, session.batch_size) },
  });
  const step = useAction(async () => {
    const sent = request();
    const answer = await change({ ...sent, once: true });
    setLast(answer);
    announce(`Step ${answer.step} was taken.`);
    onStep(sent.body.input, answer);
  });
  const submit = (event) => {
    event.preventDefault();
    if (!step.isRunning) step.run();
  };
  const help = `${plural(model.in_size, "number")}${session.batch_size > 1 ? ` for each of ${session.batch_size} rows` : ""}${count > 1 ? ", separated by commas or blanks" : ""}. Enter takes the step.`;
  return html`
    <${Card} title="Take a step" actions=${html`<${CopyAs} request=${request} />`}>
      <form onSubmit=${submit}>
        <${Field} label="Input" wide help=${help} control=${(attributes) => html`
          <textarea ...${attributes} rows=${count > 12 ? 4 : 1} spellcheck="false" value=${text ?? ""} onInput=${(event) => setText(event.target.value)}
            onKeyDown=${(event) => event.key === "Enter" && !event.shiftKey && submit(event)}></textarea>`} />
        <${Failure} error=${step.error} />
        <div class="row"><${Button} type="submit" kind="main" busy=${step.isRunning}>Step<//>
          <${Button} onClick=${() => setText(random(count))}>Random<//>
          <${Button} onClick=${() => setText(Array(count).fill(0).join(", "))}>Zeros<//></div>
      </form>
      ${last && html`<${Output} answer=${last} />`}
    <//>`;
}
