// Requests to the service: API key, problem documents, repetition after a lost connection.

export const BASE = new URL(".", location.href.split("#")[0]);
export const NEEDS_KEY = document.querySelector('meta[name="cellar-authentication"]').content === "keys";

const STORED = "cellar.key";
const REPEAT_AFTER_MS = [300, 1000, 3000];

/** An error that the service answered, as its problem document says it. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The service answered ${status}.`);
    Object.assign(this, { status, document, pointer: document.pointer });
    this.slug = (document.type || "").split(":").pop();
  }
}

/** The service did not answer. */
export class ConnectionLost extends Error {
  constructor() {
    super("The service does not answer. The page tries again by itself.");
  }
}

/** What the whole page needs to know: whether the key works, and whether the service answers. */
export const session = Object.assign(new EventTarget(), { isLost: false, why: "" });

const notify = (name) => session.dispatchEvent(new Event(name));

export const apiKey = () => sessionStorage.getItem(STORED);

/** Keep a key until the tab is closed. `null` signs out, and `why` is shown on the page that asks for a key. */
export function setKey(key, why = "") {
  session.why = why;
  if (key === null) sessionStorage.removeItem(STORED);
  else sessionStorage.setItem(STORED, key);
  notify("key");
}

function setLost(isLost) {
  if (session.isLost === isLost) return;
  session.isLost = isLost;
  notify("connection");
}

/** Build a path from a template whose values are encoded, so that names may hold slashes and any other character. */
export const path = (texts, ...values) =>
  texts.reduce((whole, text, index) => whole + encodeURIComponent(values[index - 1]) + text);

/** Random text that identifies a request when it is repeated. */
export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Send a request and return the Response, whatever its status. Throws ConnectionLost. */
export async function open(method, target, { body, headers = {}, signal, key = apiKey() } = {}) {
  const all = { ...headers };
  if (key) all.Authorization = `Bearer ${key}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  try {
    const answer = await fetch(new URL(target.slice(1), BASE), {
      method, headers: all, signal, cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    setLost(false);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setLost(true);
    throw new ConnectionLost();
  }
}

/** Throw the Problem of an answer that is an error. */
export async function check(answer) {
  if (answer.ok) return answer;
  const document = await answer.json().catch(() => ({}));
  const problem = new Problem(answer.status, document);
  if (answer.status === 401 && NEEDS_KEY && apiKey()) setKey(null, "The API key no longer works: it has ended or was revoked.");
  throw problem;
}

/** Read a resource as JSON. */
export async function read(target, signal) {
  return (await check(await open("GET", target, { signal }))).json();
}

/**
 * Change something and return the JSON answer, `null` if there is none. With `once` the request carries an
 * Idempotency-Key, and is repeated after a lost connection: it is applied once.
 */
export async function change({ method, path: target, body, once = false }) {
  const headers = once ? { "Idempotency-Key": randomId() } : {};
  for (const wait of once ? REPEAT_AFTER_MS : []) {
    try {
      return await result(await open(method, target, { body, headers }));
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      await pause(wait);
    }
  }
  return result(await open(method, target, { body, headers }));
}

async function result(answer) {
  await check(answer);
  return answer.status === 204 ? null : answer.json();
}

/**
 * Send a file as the body of a POST request and return the JSON answer. `onProgress` takes the share that was sent, from 0
 * to 1. A file is sent by XMLHttpRequest, because fetch does not say how much it has sent.
 */
export function upload(target, file, type, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest();
    sender.open("POST", new URL(target.slice(1), BASE));
    sender.setRequestHeader("Content-Type", type);
    if (apiKey()) sender.setRequestHeader("Authorization", `Bearer ${apiKey()}`);
    sender.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    sender.onload = () => {
      setLost(false);
      const answer = new Response(sender.responseText, { status: sender.status });
      result(answer).then(resolve, reject);
    };
    sender.onerror = () => reject(new Error("The file was not sent completely: the connection was lost, or the service refused it. Nothing was kept; try again."));
    sender.onabort = () => reject(new Error("The upload was stopped. Nothing was kept."));
    signal?.addEventListener("abort", () => sender.abort());
    sender.send(file);
  });
}

/** Save the answer to a GET request as a file. */
export async function download(target, name) {
  const answer = await check(await open("GET", target));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(await answer.blob()), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}
