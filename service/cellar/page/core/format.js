// Numbers, sizes and times as texts.

const whole = new Intl.NumberFormat("en");
const instants = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

export const integer = (value) => (value === null || value === undefined ? "–" : whole.format(Math.round(value)));

/** A number with at most `digits` significant digits. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const step = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(value, 1)) / 10)));
  return `${number(value / 1024 ** step, 3)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

export const plural = (count, noun) => `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;

/** A span of seconds in its largest whole unit: "3 minutes". */
export function duration(seconds) {
  const [size, name] = UNITS.find(([unit]) => seconds >= unit) || UNITS[3];
  return plural(Math.max(0, Math.floor(seconds / size)), name);
}

export function ago(time, now = Date.now()) {
  const seconds = (now - new Date(time).getTime()) / 1000;
  return seconds < 1 ? "just now" : `${duration(seconds)} ago`;
}

export const instant = (time) => (time ? instants.format(new Date(time)) : "–");

/** A shape as "8 × 3". */
export const shape = (sizes) => (sizes.length ? sizes.join(" × ") : "one number");
