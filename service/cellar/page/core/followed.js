// A resource that is followed by its server-sent events, and polled while these cannot be read.

import { useCallback, useEffect, useRef, useState } from "../vendor/hooks.js";
import { ConnectionLost, read } from "./api.js";
import { watch } from "./events.js";

const POLL_MS = 2000;
const LEAST_MS = 300;

/**
 * Read a resource, and follow `${target}/events` as long as `isOpen(data)`. `apply(data, event)` returns the data after an
 * event, or `null` if they must be read again. Returns `data`, `error`, `isLive` (whether the stream is open) and `reload()`.
 */
export function useFollowed(target, isOpen, apply) {
  const [state, setState] = useState({ data: null, error: null, isLive: false });
  const again = useRef(() => {});
  useEffect(() => {
    const ended = new AbortController();
    let data = null;
    let timer = null;
    let stop = null;
    let isLive = false;
    const put = (changes) => ended.signal.aborted || setState((last) => ({ ...last, ...changes }));

    const wait = (ms) => {
      clearTimeout(timer);
      if (!ended.signal.aborted) timer = setTimeout(look, ms);
    };
    const quit = () => {
      stop?.();
      stop = null;
      isLive = false;
      put({ isLive });
    };
    const onEvent = (event) => {
      const next = event.kind === "end" || event.kind === "deleted" ? null : apply(data, event);
      if (!next) return wait(event.kind === "end" ? 0 : LEAST_MS);
      data = next;
      return put({ data });
    };
    const onLive = (is) => {
      isLive = is;
      put({ isLive });
      wait(is ? 0 : POLL_MS);
    };

    async function look() {
      clearTimeout(timer);
      try {
        data = await read(target, ended.signal);
        put({ data, error: null });
        if (!isOpen(data)) return quit();
        stop ??= watch(`${target}/events`, onEvent, () => { quit(); wait(POLL_MS); }, onLive);
      } catch (error) {
        if (ended.signal.aborted) return undefined;
        if (!(error instanceof ConnectionLost)) put({ error });
        if (error.status === 404) return quit();
      }
      return isLive || wait(POLL_MS);
    }

    again.current = look;
    look();
    return () => {
      ended.abort();
      clearTimeout(timer);
      stop?.();
    };
  }, [target]);
  return { ...state, reload: useCallback(() => again.current(), []) };
}
