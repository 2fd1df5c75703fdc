// The controls of a form whose fields come from the API document.

import { Field, html } from "./basics.js";

/** Fields with their explanations. `values` are by path (`optimiser.learning_rate`), `faultAt(path)` is an error or nothing. */
export function SchemaFields({ fields, values, onChange, faultAt, prefix = "" }) {
  return fields.map((field) => {
    const place = prefix + field.name;
    const rest = { field, place, values, onChange, faultAt };
    if (field.kind === "object") {
      return html`<fieldset key=${place}><legend>${field.title}</legend><p class="help">${field.help}</p>
        <div class="form"><${SchemaFields} fields=${field.fields} prefix=${`${place}.`} values=${values} onChange=${onChange} faultAt=${faultAt} /></div></fieldset>`;
    }
    if (field.kind === "variant") return html`<${Variant} key=${place} ...${rest} />`;
    return html`<${Single} key=${place} ...${rest} />`;
  });
}

function Single({ field, place, values, onChange, faultAt }) {
  const value = values[place] ?? "";
  const change = (event) => onChange(place, event.target.value);
  return html`<${Field} label=${field.title} help=${field.help} error=${faultAt(place)} control=${(attributes) => field.kind === "choice"
    ? html`<select ...${attributes} onChange=${change}><option value="" selected=${value === ""}>default</option>
        ${field.choices.map((each) => html`<option key=${each} value=${each} selected=${each === value}>${each}</option>`)}</select>`
    : html`<input ...${attributes} type="number" step=${field.kind === "whole" ? 1 : "any"} min=${field.least} max=${field.most} value=${value} placeholder="default" onInput=${change} />`} />`;
}

function Variant({ field, place, values, onChange, faultAt }) {
  const chosen = field.variants[values[place]];
  const single = { ...field, kind: "choice", help: chosen?.help || field.help };
  if (!chosen?.fields.length) return html`<${Single} field=${single} place=${place} values=${values} onChange=${onChange} faultAt=${faultAt} />`;
  return html`
    <fieldset><legend>${field.title}: ${values[place]}</legend>
      <div class="form"><${Single} field=${single} place=${place} values=${values} onChange=${onChange} faultAt=${faultAt} />
        <${SchemaFields} fields=${chosen.fields} prefix=${`${place}.`} values=${values} onChange=${onChange} faultAt=${faultAt} /></div></fieldset>`;
}
