// Hooks that views share.

import { useCallback, useEffect, useRef, useState } from "../vendor/hooks.js";
import { ConnectionLost, session } from "./api.js";

const RETRY_MS = 1000;

/**
 * Read something now, again every `everyMs` milliseconds while the tab is visible, and when `reload()` is called.
 * The last good data stay beside an error. One reading at a time; a change of `inputs` begins again. While the service
 * does not answer, which the page says above all views, it is read again and again.
 */
export function usePoll(load, everyMs, inputs = []) {
  const [found, setFound] = useState({ data: null, error: null });
  const again = useRef(() => {});
  useEffect(() => {
    const ended = new AbortController();
    let timer = null;
    let isRunning = false;
    let isWanted = false;
    setFound({ data: null, error: null });
    const run = async () => {
      if (isRunning) {
        isWanted = true;
        return;
      }
      clearTimeout(timer);
      isRunning = true;
      isWanted = false;
      let isLost = false;
      try {
        const data = await load(ended.signal);
        if (!ended.signal.aborted) setFound({ data, error: null });
      } catch (error) {
        isLost = error instanceof ConnectionLost;
        if (!ended.signal.aborted && !isLost) setFound((last) => ({ ...last, error }));
      }
      isRunning = false;
      if (ended.signal.aborted) return;
      if (isWanted) run();
      else if (everyMs || isLost) timer = setTimeout(() => (document.hidden ? null : run()), isLost ? RETRY_MS : everyMs);
    };
    const seen = () => document.hidden || run();
    document.addEventListener("visibilitychange", seen);
    again.current = run;
    run();
    return () => {
      ended.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, inputs);
  return { ...found, reload: useCallback(() => again.current(), []) };
}

/** Run an action of the user: whether it runs, its last error, and its start. */
export function useAction(action) {
  const [state, setState] = useState({ isRunning: false, error: null });
  const latest = useRef(action);
  latest.current = action;
  const run = useCallback(async (...values) => {
    setState({ isRunning: true, error: null });
    try {
      const found = await latest.current(...values);
      setState({ isRunning: false, error: null });
      return found;
    } catch (error) {
      setState({ isRunning: false, error });
      return undefined;
    }
  }, []);
  return { ...state, run, clear: () => setState({ isRunning: false, error: null }) };
}

/** Whether the connection to the service is lost, and whether there is a key, again after each change. */
export function useSession(name, value) {
  const [found, setFound] = useState(value());
  useEffect(() => {
    const change = () => setFound(value());
    session.addEventListener(name, change);
    return () => session.removeEventListener(name, change);
  }, []);
  return found;
}
