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

const dates = Object.fromEntries(
  Object.entries({
    year: { year: "numeric" },
    month: { year: "numeric", month: "short" },
    day: { day: "numeric", month: "short" },
    minute: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
    second: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
    whole: { dateStyle: "medium", timeStyle: "short" },
  }).map(([name, parts]) => [name, new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...parts })]),
);
const FORMS = [[31_536_000, "year"], [2_419_200, "month"], [86_400, "day"], [60, "minute"], [0, "second"]];

/** Unix seconds as a date in UTC, as precise as marks need that are `everyS` apart. */
export const date = (seconds, everyS) => dates[FORMS.find(([least]) => everyS >= least)[1]].format(seconds * 1000);

/** Unix seconds, or a time as text, in UTC. */
export const utc = (time) => (time === null || time === undefined ? "–" : dates.whole.format(typeof time === "number" ? time * 1000 : new Date(time)));

/** A share as per cent: 0.813 is "81.3%". */
export const percent = (share) => (share === null || share === undefined ? "–" : `${number(share * 100, 3)}%`);
