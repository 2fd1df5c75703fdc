// Fields of forms whose values are in one state.

import { useState } from "../vendor/hooks.js";
import { Field, html } from "./basics.js";

/** Read a whole number from a field, or throw an Error that says what is wrong. */
export function whole(text, name, least = 1, most = 16384) {
  const value = Number(text);
  if (String(text).trim() === "" || !Number.isInteger(value) || value < least || value > most) {
    throw new Error(`${name}: enter a whole number from ${least} to ${most}.`);
  }
  return value;
}

/** A field for a number or a short text in the state of a form. */
export const Input = ({ form, name, label, help, type = "text", ...rest }) => html`
  <${Field} label=${label} help=${help} control=${(attributes) => html`
    <input ...${attributes} type=${type} value=${form.values[name]} autocomplete="off" spellcheck="false" ...${rest} onInput=${(event) => form.set(name, event.target.value)} />`} />`;

/** A choice in the state of a form. */
export const Choice = ({ form, name, label, help, of }) => html`
  <${Field} label=${label} help=${help} control=${(attributes) => html`
    <select ...${attributes} onChange=${(event) => form.set(name, event.target.value)}>
      ${of.map((each) => html`<option key=${each} value=${each} selected=${each === form.values[name]}>${each}</option>`)}</select>`} />`;

/** The state of a form: its `values`, and `set(name, value)`. */
export function useForm(initial) {
  const [values, setValues] = useState(initial);
  return { values, set: (name, value) => setValues((last) => ({ ...last, [name]: value })) };
}
