// What a session does, as it happens: outputs from its events, inputs from its log.

import { useCallback, useEffect, useRef, useState } from "../vendor/hooks.js";
import { ConnectionLost, path, read } from "./api.js";
import { watch } from "./events.js";

const KEPT = 600;
const MOST_KEPT_EVENTS = 1000;
const POLL_MS = 1000;
const STEPS = ["step", "sequence"];

/** The number of a change, the last part of the id of its event. */
const changeOf = (event) => Number(event.id.slice(event.id.lastIndexOf("-") + 1));

/** Steps by their place in time. A point has `place`, `step`, and `input` and `output` with a row of numbers for each row. */
class Points {
  constructor() {
    this.byKey = new Map();
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
    return points;
  }
}

/** Read the log from after a change to its end. Returns the number of the last change. */
async function readLog(name, after, points, signal) {
  let last = after;
  for (let next = after; next !== null; ) {
    const page = await read(path`/v1/sessions/${name}/log` + `?after=${next}&limit=1000`, signal);
    for (const entry of page.entries) {
      if (entry.inputs) points.add(entry.change, "input", entry.inputs, entry.step);
      last = Math.max(last, entry.change);
    }
    next = page.after;
  }
  return last;
}

/**
 * Follow a session. Returns its last answer `session`, the `points`, `ended` (why it cannot be followed any more) and
 * `refresh()`, to be called after a change that this page has made.
 */
export function useSessionFeed(name) {
  const [state, setState] = useState({ session: null, points: [], ended: null });
  const wake = useRef(() => {});
  const refresh = useCallback(() => wake.current(), []);
  useEffect(() => {
    const stopped = new AbortController();
    const points = new Points();
    const put = (changes) => stopped.signal.aborted || setState((last) => ({ ...last, ...changes }));
    let logged = -1;
    let timer = null;
    let isRunning = false;
    let isWanted = false;
    let stopWatching = () => {};

    const look = async () => {
      if (isRunning) {
        isWanted = true;
        return;
      }
      clearTimeout(timer);
      isRunning = true;
      isWanted = false;
      let session = null;
      try {
        session = await read(path`/v1/sessions/${name}`, stopped.signal);
        if (session.log) logged = await readLog(name, logged, points, stopped.signal);
        put({ session, points: points.list(), ended: null });
      } catch (error) {
        if (!(error instanceof ConnectionLost)) put({ ended: error });
      }
      isRunning = false;
      if (stopped.signal.aborted) return;
      if (isWanted) look();
      else timer = setTimeout(look, session?.events ? POLL_MS * 10 : POLL_MS);
    };

    const note = (event) => {
      const { outputs, step } = event.data;
      if (STEPS.includes(event.kind) && outputs) points.add(changeOf(event), "output", outputs, step);
      look();
    };

    wake.current = look;
    look().then(async () => {
      const session = await read(path`/v1/sessions/${name}`, stopped.signal).catch(() => null);
      if (!session?.events || stopped.signal.aborted) return;
      const kept = session.events <= MOST_KEPT_EVENTS ? "?kept=true" : "";
      stopWatching = watch(path`/v1/sessions/${name}/events` + kept, note, look);
    });
    return () => {
      stopped.abort();
      clearTimeout(timer);
      stopWatching();
    };
  }, [name]);
  return { ...state, refresh };
}
