// The client throws its own class for each refusal. Arguments: base URL, key.

import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const messages = [{ role: "user", content: "hello" }];

// Statuses as they came, those that the client tries again included.
const statuses = [];
const counting = async (...request) => {
  const response = await fetch(...request);
  statuses.push(response.status);
  return response;
};
const client = new OpenAI({ baseURL, apiKey, fetch: counting });
const chat = (client, body) => client.chat.completions.create({ model: "echo", messages, ...body });

async function refusal(expected, call) {
  const error = await call().then(assert.fail, (error) => error);
  assert.ok(error instanceof expected, error);
  assert.ok(error.requestID && error.message && error.type);
  return error;
}

const stranger = client.withOptions({ apiKey: "no-key-of-this-service" });
for (const call of [() => chat(stranger), () => chat(stranger, { stream: true }), () => stranger.models.list()]) {
  const error = await refusal(OpenAI.AuthenticationError, call);
  assert.deepEqual([error.status, error.code], [401, "invalid_api_key"]);
}

for (const call of [
  () => chat(client, { model: "no-such-model" }),
  () => chat(client, { model: "no-such-model", stream: true }),
  () => client.models.retrieve("no/such-model"),
]) {
  const error = await refusal(OpenAI.NotFoundError, call);
  assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
}
assert.equal((await refusal(OpenAI.NotFoundError, () => client.files.list())).code, "unknown_url");

for (const [body, param] of [
  [{ messages: [] }, "messages"],
  [{ messages: "hello" }, "messages"],
  [{ model: 7 }, "model"],
  [{ stream: true, stream_options: 7 }, "stream_options"],
]) {
  const error = await refusal(OpenAI.BadRequestError, () => chat(client, body));
  assert.deepEqual([error.type, error.param], ["invalid_request_error", param]);
}

const hasty = client.withOptions({ maxRetries: 0 });
const answers = await Promise.allSettled(Array.from({ length: 80 }, () => chat(hasty)));
const refused = answers.filter(({ status }) => status === "rejected");
assert.ok(refused.length > 0 && refused.length < answers.length, `${refused.length} refused`);
for (const { reason } of refused) {
  assert.ok(reason instanceof OpenAI.RateLimitError, reason);
  assert.equal(reason.code, "rate_limit_exceeded");
  assert.equal(reason.headers.get("retry-after"), "1");
}

// A call may come just when the next one is allowed, and then needs no second try.
for (let calls = 0; calls < 10; calls += 1) {
  statuses.length = 0;
  assert.equal((await chat(client)).choices[0].message.content, "hello");
  if (statuses.length > 1) break;
}
assert.deepEqual(statuses, [429, 200], "the client did not wait as long as it was told");
