// A request of the page as a program of the user: curl, Python, TypeScript. The key is a variable of the environment.
// A request has a JSON `body`, or a `file` with its name and media type.

import { apiKey, BASE } from "./api.js";

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const address = (request) => new URL(request.path.slice(1), BASE).href;

/** Write a JSON value as Python. Texts are written as in JSON, which Python reads in the same way. */
export function python(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = indent + "    ";
  const isFlat = Object.values(value).every((item) => item === null || typeof item !== "object");
  const items = Array.isArray(value)
    ? value.map((item) => python(item, inner))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, inner)}`);
  const [first, last] = Array.isArray(value) ? "[]" : "{}";
  if (isFlat) return first + items.join(", ") + last;
  return `${first}\n${items.map((item) => `${inner}${item},\n`).join("")}${indent}${last}`;
}

export function curl(request) {
  const parts = ["curl"];
  if (request.method !== (request.body === undefined ? "GET" : "POST")) parts.push(`-X ${request.method}`);
  parts.push(quoted(address(request)));
  if (apiKey()) parts.push('-H "Authorization: Bearer $CELLAR_API_KEY"');
  if (request.body !== undefined) parts.push(`--json ${quoted(JSON.stringify(request.body))}`);
  if (request.file) parts.push(`-H ${quoted(`Content-Type: ${request.file.type}`)} -T ${quoted(request.file.name)}`);
  return parts.join(" ");
}

export function pythonProgram(request) {
  const values = [JSON.stringify(address(request))];
  const headers = [];
  if (apiKey()) headers.push(`"Authorization": "Bearer " + os.environ["CELLAR_API_KEY"]`);
  if (request.file) headers.push(`"Content-Type": ${JSON.stringify(request.file.type)}`);
  if (headers.length) values.push(`headers={${headers.join(", ")}}`);
  if (request.file) values.push(`content=open(${JSON.stringify(request.file.name)}, "rb")`);
  if (request.body !== undefined) values.push(`json=${python(request.body, "    ")}`);
  values.push(request.file ? "timeout=3600" : "timeout=60");
  return `${apiKey() ? "import os\n\n" : ""}import httpx

answer = httpx.${request.method.toLowerCase()}(
${values.map((value) => `    ${value},\n`).join("")})
answer.raise_for_status()
print(answer.text)
`;
}

export function typescript(request) {
  const headers = {};
  if (apiKey()) headers.Authorization = "\0";
  if (request.body !== undefined) headers["Content-Type"] = "application/json";
  if (request.file) headers["Content-Type"] = request.file.type;
  const lines = [`  method: ${JSON.stringify(request.method)},`];
  if (Object.keys(headers).length) {
    const text = JSON.stringify(headers, null, 2).replaceAll("\n", "\n  ");
    lines.push(`  headers: ${text.replace('"\\u0000"', "`Bearer ${process.env.CELLAR_API_KEY}`")},`);
  }
  if (request.body !== undefined) {
    lines.push(`  body: JSON.stringify(${JSON.stringify(request.body, null, 2).replaceAll("\n", "\n  ")}),`);
  }
  if (request.file) lines.push(`  body: await openAsBlob(${JSON.stringify(request.file.name)}),`);
  return `${request.file ? `import { openAsBlob } from "node:fs";\n\n` : ""}const answer = await fetch(${JSON.stringify(address(request))}, {
${lines.join("\n")}
});
if (!answer.ok) throw new Error(await answer.text());
console.log(await answer.text());
`;
}

export const LANGUAGES = { curl, Python: pythonProgram, TypeScript: typescript };
