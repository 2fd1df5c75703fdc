// A client on the types that openapi-typescript makes of the document: it must pass `tsc --strict` and work.
import createClient from "openapi-fetch";

import type { components, paths } from "./generated/api.js";

declare const process: { argv: string[] };

type Schemas = components["schemas"];

/** Outputs of a row; null are those of a row that takes no part. */
type Outputs = (number | null)[];

const url = process.argv[2];
if (url === undefined) throw new Error("expected the address of the service");
const client = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: url });

type Answer<Data> = { data?: Data | undefined; error?: Schemas["Problem"] | undefined; response: Response };

function taken<Data>(answer: Answer<Data>): Data {
  if (answer.error) throw new Error(`${answer.error.type}: ${answer.error.detail}`);
  if (answer.data === undefined) throw new Error(`nothing came with ${answer.response.status}`);
  return answer.data;
}

function expect(what: string, holds: boolean): void {
  if (!holds) throw new Error(`expected ${what}`);
}

const network: Schemas["NetworkSpec"] = {
  in_size: 2,
  layers: [
    { type: "recurrent", cell: "gru", hidden_size: 3 },
    { type: "dense", out_size: 1 },
  ],
};
const model: Schemas["ModelAnswer"] = taken(
  await client.POST("/v1/models", { body: { name: "typescript", network, seed: 7 } }),
);
const session: Schemas["SessionAnswer"] = taken(
  await client.POST("/v1/sessions", { body: { session: "site/1/{temp} é", model: model.model } }),
);
const params = { path: { session: session.session } };

const step = taken(await client.POST("/v1/sessions/{session}/step", { params, body: { input: [0.5, -1] } }));
const output: Outputs | Outputs[] | null = step.output;
expect("one output", output?.length === 1);
const position: string = step.position;

const rows = taken(
  await client.POST("/v1/sessions/{session}/sequence", {
    params,
    body: { inputs: [[1, 0], [0, 1]], layout: "TF", position },
  }),
);
const outputs: Outputs | Outputs[] | Outputs[][] | null = rows.outputs;
expect("two outputs", outputs?.length === 2);
expect("three steps", rows.step === 3);

const state = taken(await client.GET("/v1/sessions/{session}/state", { params }));
const written = taken(
  await client.PUT("/v1/sessions/{session}/state", { params, body: { layers: state.layers } }),
);
expect("a new epoch", written.step === 0);

// The same routes with npy files: bytes are typed, and do not make the JSON above unknown.
const file: Blob = taken(
  await client.GET("/v1/sessions/{session}/state", {
    params,
    headers: { Accept: "application/x-npy" },
    parseAs: "blob",
  }),
);
expect("an npy file", (await file.text()).includes("NUMPY"));

const job: Schemas["JobAnswer"] = taken(
  await client.POST("/v1/jobs", {
    body: {
      model: model.model,
      data: { inputs: [[0, 1], [1, 0]], targets: [[1], [0]], layout: "TF" },
      loss: "huber",
      optimiser: { type: "adam", learning_rate: 0.01 },
      epochs: 1,
    },
  }),
);
const page = taken(await client.GET("/v1/jobs", { params: { query: { limit: 1, cursor: "" } } }));
expect("the newest job", page.jobs[0]?.job === job.job && typeof page.cursor === "string");
taken(await client.POST("/v1/jobs/{job}/cancel", { params: { path: { job: job.job } } }));

const refused = await client.POST("/v1/sessions/{session}/step", { params, body: { input: [1] } });
expect("a problem", refused.error?.type === "urn:cellar:problem:shape_mismatch" && refused.error.pointer === "/input");

// @ts-expect-error a step has an input
const wrong: Schemas["StepRequest"] = { reset: true };
expect("a body", wrong.input === undefined);

// A client that is not told which media types it reads must tell objects from the bytes of npy files.
const plain = createClient<paths>({ baseUrl: url });
const answer = await plain.POST("/v1/sessions/{session}/step", { params, body: { input: [0.5, -1], reset: true } });
if (answer.error) throw new Error(answer.error.detail);
const first: number | null | Outputs | undefined = typeof answer.data === "string" ? undefined : answer.data.output?.[0];
expect("a number", typeof first === "number");

await client.DELETE("/v1/sessions/{session}", { params });
console.log("the client in TypeScript works");
