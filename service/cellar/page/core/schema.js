// Fields of forms, as the API document describes them: names, explanations, choices and limits.

import { read } from "./api.js";

let document_ = null;

/** Read the API document, once. */
export function apiDocument() {
  document_ ??= read("/openapi.json").catch((error) => {
    document_ = null;
    throw error;
  });
  return document_;
}

const title = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/** Return the fields of a schema, without those in `except`. Members that are arrays are no fields. */
export function fieldsOf(api, name, except = []) {
  const schema = api.components.schemas[name];
  return Object.entries(schema.properties)
    .filter(([member]) => !except.includes(member))
    .map(([member, part]) => fieldOf(api, member, part, (schema.required || []).includes(member)))
    .filter(Boolean);
}

/** A field has a `kind`: choice, whole, number, variant (an object whose `type` decides its other members) or object. */
function fieldOf(api, name, part, isRequired) {
  const field = { name, title: title(name), help: part.description, isRequired };
  const parts = (part.anyOf || [part]).filter((each) => each.type !== "null");
  const variant = parts.find((each) => each.discriminator);
  if (variant) return { ...field, kind: "variant", ...variants(api, variant.discriminator.mapping) };
  const [one] = parts;
  if (one.$ref) {
    const target = one.$ref.split("/").pop();
    const described = { ...field, help: field.help || api.components.schemas[target].description.split("\n")[0] };
    return { ...described, kind: "object", fields: fieldsOf(api, target) };
  }
  if (one.enum) return { ...field, kind: "choice", choices: one.enum };
  const kind = { integer: "whole", number: "number" }[one.type];
  return kind && { ...field, kind, least: one.minimum ?? one.exclusiveMinimum, most: one.maximum ?? one.exclusiveMaximum };
}

function variants(api, mapping) {
  const found = Object.entries(mapping).map(([type, reference]) => {
    const name = reference.split("/").pop();
    return [type, { help: api.components.schemas[name].description, fields: fieldsOf(api, name, ["type"]) }];
  });
  return { choices: Object.keys(mapping), variants: Object.fromEntries(found) };
}

/** Return the object that the values of a form make; fields without a value are left out. Values are by path: `a.b`. */
export function build(fields, values, prefix = "") {
  const body = {};
  for (const field of fields) {
    const place = prefix + field.name;
    const text = values[place] ?? "";
    if (field.kind === "object") {
      const inner = build(field.fields, values, `${place}.`);
      if (Object.keys(inner).length) body[field.name] = inner;
    } else if (text === "") continue;
    else if (field.kind === "variant") body[field.name] = { type: text, ...build(field.variants[text].fields, values, `${place}.`) };
    else if (field.kind === "choice") body[field.name] = text;
    else {
      if (Number.isNaN(Number(text))) throw new Error(`${field.title}: ${text} is not a number.`);
      body[field.name] = Number(text);
    }
  }
  return body;
}
