// Addresses of views: the part of the URL after #, with names encoded.

import { useEffect, useState } from "../vendor/hooks.js";

const decode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Return the segments of the present address, decoded: `#/sessions/a%2Fb` is `["sessions", "a/b"]`. */
export function segments(hash = location.hash) {
  return hash.replace(/^#\/?/, "").split("?")[0].split("/").filter(Boolean).map(decode);
}

/** Return the parameters of the present address. */
export const parameters = () => new URLSearchParams(location.hash.split("?")[1] || "");

/** Return an address with these segments and parameters. */
export function link(parts, query = {}) {
  const text = new URLSearchParams(query).toString();
  return "#/" + parts.map(encodeURIComponent).join("/") + (text && `?${text}`);
}

export function go(parts, query) {
  location.hash = link(parts, query);
}

/** Return the present segments, again after each change of the address. */
export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const change = () => setHash(location.hash);
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return segments(hash);
}
