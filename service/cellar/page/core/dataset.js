// Training data from text: a series whose next values are forecast, or inputs and targets.

const isNumber = (text) => text.trim() !== "" && Number.isFinite(Number(text));

/** Read lines of numbers, which are separated by commas, semicolons or blanks. A first line of names is left out. */
export function table(text, name) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => line.split(/[\s,;]+/).filter(Boolean));
  if (lines.length && !lines[0].some(isNumber)) lines.shift();
  if (!lines.length) throw new Error(`${name}: there are no numbers. Enter one line for each step.`);
  lines.forEach((line, index) => {
    const wrong = line.find((each) => !isNumber(each));
    if (wrong !== undefined) throw new Error(`${name}: “${wrong.slice(0, 40)}” in line ${index + 1} is not a number.`);
    if (line.length !== lines[0].length) throw new Error(`${name}: line ${index + 1} has ${line.length} numbers, and the first has ${lines[0].length}.`);
  });
  return lines.map((line) => line.map(Number));
}

/** The `data` of a job that forecasts a series `ahead` steps. A single line of many numbers is one feature. */
export function forecast(text, ahead) {
  let rows = table(text, "Series");
  if (rows.length === 1) rows = rows[0].map((value) => [value]);
  if (!Number.isInteger(ahead) || ahead < 1) throw new Error("Steps ahead: enter a whole number from 1.");
  if (rows.length <= ahead + 1) throw new Error(`Series: ${rows.length} steps are too few to forecast ${ahead} ahead.`);
  return { layout: "TF", inputs: rows.slice(0, -ahead), targets: rows.slice(ahead) };
}

/** The `data` of a job from two texts: JSON arrays with the given layout, or lines of numbers, one for each step. */
export function pairs(inputs, targets, layout) {
  const isJson = inputs.trim().startsWith("[");
  if (!isJson) return { layout: "TF", inputs: table(inputs, "Inputs"), targets: table(targets, "Targets") };
  const parse = (text, name) => {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`${name}: this is not complete JSON (${error.message}).`);
    }
  };
  return { layout, inputs: parse(inputs, "Inputs"), targets: parse(targets, "Targets") };
}

/** A sine with a slower one upon it: something to try the form with. */
export const example = () =>
  Array.from({ length: 400 }, (_, step) => (Math.sin(step / 6) * 0.6 + Math.sin(step / 23) * 0.4).toFixed(4)).join("\n");
