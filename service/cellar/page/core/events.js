// Server-sent events, read with fetch: a header carries the API key, which never stands in a URL.

import { check, ConnectionLost, open, pause, Problem } from "./api.js";

const LONGEST_WAIT_MS = 10_000;
const LAST = ["expired", "deleted", "end"];

/** Divide the text of a stream into events. Returns the events, and the text of an event that is not complete. */
export function parse(text) {
  const blocks = text.replaceAll("\r\n", "\n").split("\n\n");
  const rest = blocks.pop();
  const events = [];
  for (const block of blocks) {
    const event = { kind: "message", id: null, data: [] };
    for (const line of block.split("\n")) {
      const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) || [];
      if (name === "event") event.kind = value;
      if (name === "id") event.id = value;
      if (name === "data") event.data.push(value);
    }
    if (event.data.length) events.push({ ...event, data: JSON.parse(event.data.join("\n")) });
  }
  return [events, rest];
}

/**
 * Watch a path and connect again whenever the connection is lost; nothing is missed that the service still keeps.
 * `onEvent` takes each event, `onEnd` the Problem with which the service refuses to continue, or `null`, and `onLive`
 * whether the stream is open. Returns a function that ends it.
 */
export function watch(target, onEvent, onEnd, onLive = () => {}) {
  const stopped = new AbortController();
  const live = (isLive) => stopped.signal.aborted || onLive(isLive);
  follow(target, stopped.signal, onEvent, live).then(
    () => stopped.signal.aborted || onEnd(null),
    (error) => stopped.signal.aborted || onEnd(error),
  );
  return () => stopped.abort();
}

async function follow(target, signal, onEvent, onLive) {
  let last = null;
  let wait = 500;
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
      const answer = await check(await open("GET", target, { headers, signal }));
      if (answer.status === 204) return;
      wait = 500;
      onLive(true);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        let events;
        [events, rest] = parse(rest + value);
        for (const event of events) {
          last = event.id ?? last;
          onEvent(event);
          if (LAST.includes(event.kind)) return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500) throw error;
      if (!(error instanceof Problem || error instanceof ConnectionLost || error instanceof TypeError)) throw error;
    }
    onLive(false);
    await pause(wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}
