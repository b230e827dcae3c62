// The client over providers that fail; each model has the name of its fault. Arguments: base URL, key.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { expectCancelled } from "./metrics.mjs";

const [baseURL, apiKey] = process.argv.slice(2);
const messages = [{ role: "user", content: "hello" }];

// Two further tries of its own, as by default.
const client = new OpenAI({ baseURL, apiKey });
const chat = (model, options) => client.chat.completions.create({ model, messages }, options);
const stream = (model) => client.chat.completions.create({ model, messages, stream: true });

async function failure(expected, promise) {
  const error = await promise.then(assert.fail, (error) => error);
  assert.ok(error instanceof expected, error);
  return error;
}

const broken = await failure(OpenAI.InternalServerError, chat("broken"));
assert.deepEqual([broken.status, broken.code], [502, "upstream_error"]);
assert.ok(broken.requestID);

const limited = await failure(OpenAI.RateLimitError, chat("limited"));
assert.equal(limited.code, "rate_limit_exceeded");
assert.equal(limited.headers.get("retry-after"), "30");

const picky = await failure(OpenAI.BadRequestError, chat("picky"));
assert.deepEqual([picky.code, picky.param], ["too_warm", "temperature"]);

let text = "";
const truncated = await failure(
  OpenAI.APIError,
  (async () => {
    for await (const chunk of await stream("truncated")) text += chunk.choices[0].delta.content ?? "";
  })(),
);
assert.equal(truncated.code, "upstream_stream_truncated");
assert.equal(text, "Grüße");

await failure(OpenAI.APIConnectionTimeoutError, chat("silent", { timeout: 500, maxRetries: 0 }));
await expectCancelled(baseURL, "silent");

const endless = await stream("endless");
for await (const chunk of endless) {
  assert.equal(chunk.choices[0].delta.content, "on ");
  break;
}
await expectCancelled(baseURL, "endless");
