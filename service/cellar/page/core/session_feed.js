// What a session does, as it happens: outputs from its events, inputs from its log.

import { useCallback, useEffect, useRef, useState } from "../vendor/hooks.js";
import { ConnectionLost, path, read } from "./api.js";
import { watch } from "./events.js";

const KEPT = 600;
const MOST_KEPT_EVENTS = 1000;
const POLL_MS = 1000;
const LEAST_MS = 200;
const PAGE = 1000;
const GONE = [404, 410];
const STEPS = ["step", "sequence"];

/** The number of a change, the last part of the id of its event. */
const changeOf = (event) => Number(event.id.slice(event.id.lastIndexOf("-") + 1));

/** The last steps, in order. A point has its `step`, and `input` and `output` with an array of numbers for each row. */
class Points {
  constructor() {
    this.byKey = new Map();
    this.changes = new Map();
    this.taken = new Map();
  }

  /** Note the position after a change. If this page has taken the step, its output is known from the answer. */
  note(change, position) {
    this.changes.set(position, change);
    const answer = this.taken.get(position);
    if (answer) this.add(change, "output", [answer.rows], answer.step);
  }

  /** Note a step that this page has taken: events have no output that is too large to keep. */
  take(answer, rows) {
    this.taken.set(answer.position, { step: answer.step, rows });
    if (this.changes.has(answer.position)) this.note(this.changes.get(answer.position), answer.position);
  }

  /** Add what is known of the steps of a change. */
  add(change, name, values, lastStep) {
    values.forEach((rows, index) => {
      const key = change * 1e6 + index;
      const point = this.byKey.get(key) || { key, step: lastStep - values.length + index + 1, input: null, output: null };
      point[name] = rows;
      this.byKey.set(key, point);
    });
  }

  list() {
    const points = [...this.byKey.values()].sort((one, other) => one.key - other.key).slice(-KEPT);
    this.byKey = new Map(points.map((point) => [point.key, point]));
    this.changes = new Map([...this.changes].slice(-KEPT));
    this.taken = new Map([...this.taken].slice(-KEPT));
    return points;
  }
}

/** Return a change after which the log has at most PAGE entries, or about as many: a log may have a million. */
async function nearEnd(name, signal) {
  const after = async (change) => (await read(path`/v1/sessions/${name}/log` + `?after=${change}&limit=1`, signal)).entries[0];
  const first = (await after(-1))?.change ?? 0;
  let low = first - 1;
  let width = PAGE;
  while (await after(low + width)) {
    low += width;
    width *= 2;
  }
  let high = low + width;
  while (high - low > PAGE) {
    const middle = Math.floor((low + high) / 2);
    if (await after(middle)) low = middle;
    else high = middle;
  }
  return Math.max(first - 1, high - PAGE);
}

/** Read the log from after a change to its end. Returns the number of the last change. */
async function readLog(name, after, points, signal) {
  let last = after;
  for (let next = after; next !== null; ) {
    const page = await read(path`/v1/sessions/${name}/log` + `?after=${next}&limit=${PAGE}`, signal);
    for (const entry of page.entries) {
      if (entry.inputs) points.add(entry.change, "input", entry.inputs, entry.step);
      points.note(entry.change, entry.position);
      last = Math.max(last, entry.change);
    }
    next = page.after;
  }
  return last;
}

/**
 * Follow a session. Returns its last answer `session`, the `points`, `ended` (why it cannot be followed any more),
 * `refresh()`, to be called after a change that this page has made, and `took(answer, rows)`, after a step.
 */
export function useSessionFeed(name) {
  const [state, setState] = useState({ session: null, points: [], ended: null });
  const wake = useRef(() => {});
  const seen = useRef(null);
  const refresh = useCallback(() => wake.current(), []);
  const took = useCallback((answer, rows) => {
    seen.current.take(answer, rows);
    wake.current();
  }, []);
  useEffect(() => {
    const stopped = new AbortController();
    const points = new Points();
    seen.current = points;
    const put = (changes) => stopped.signal.aborted || setState((last) => ({ ...last, ...changes }));
    let logged = null;
    let timer = null;
    let isRunning = false;
    let isWanted = false;
    let lookedAt = 0;
    let stopWatching = null;

    const look = async () => {
      clearTimeout(timer);
      isRunning = true;
      isWanted = false;
      let next = POLL_MS;
      try {
        const session = await read(path`/v1/sessions/${name}`, stopped.signal);
        if (session.log) logged = await readLog(name, logged ?? (await nearEnd(name, stopped.signal)), points, stopped.signal);
        put({ session, points: points.list(), ended: null });
        if (session.events) next = POLL_MS * 10;
        if (session.events && !stopWatching && !stopped.signal.aborted) {
          const kept = session.events <= MOST_KEPT_EVENTS ? "?kept=true" : "";
          stopWatching = watch(path`/v1/sessions/${name}/events` + kept, note, soon);
        }
      } catch (error) {
        if (!(error instanceof ConnectionLost)) put({ ended: error });
        if (GONE.includes(error.status)) next = null;
      }
      isRunning = false;
      lookedAt = Date.now();
      if (!stopped.signal.aborted && next) timer = setTimeout(look, isWanted ? LEAST_MS : next);
    };

    /** Look now, or LEAST_MS after the last time: a fast stream does not make the page ask without a pause. */
    const soon = () => {
      if (stopped.signal.aborted) return;
      isWanted = true;
      if (isRunning) return;
      clearTimeout(timer);
      timer = setTimeout(look, Math.max(0, lookedAt + LEAST_MS - Date.now()));
    };

    const note = (event) => {
      const { outputs, step, position } = event.data;
      if (STEPS.includes(event.kind) && outputs) points.add(changeOf(event), "output", outputs, step);
      if (position) points.note(changeOf(event), position);
      soon();
    };

    wake.current = soon;
    look();
    return () => {
      stopped.abort();
      clearTimeout(timer);
      stopWatching?.();
    };
  }, [name]);
  return { ...state, refresh, took };
}
