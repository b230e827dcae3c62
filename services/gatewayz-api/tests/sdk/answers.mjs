// The client gets what the provider sent. Arguments: base URL, key.

import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const TEXT = "Grüße vom Säntis 🏔 im  Nebel";
const WORDS = TEXT.split(/\s+/).length;
const STREAMS = 20;

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = (text) => [{ role: "user", content: text }];
const join = (chunks) => chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");


async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

let completion;
for (const model of ["echo", "vendor/echo"]) {
  completion = await client.chat.completions.create({ model, messages: messages(TEXT) });
  assert.equal(completion.choices[0].message.content, TEXT);
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.equal(completion.usage.completion_tokens, WORDS);
  assert.ok(completion._request_id);
}

const { data: stream, request_id: streamId } = await client.chat.completions
  .create({ model: "echo", messages: messages(TEXT), stream: true })
  .withResponse();
assert.ok(streamId);
const plain = await all(stream);
assert.equal(join(plain), TEXT);
assert.ok(plain.length > WORDS, "the text came in one piece");
assert.equal(plain.at(-1).choices[0].finish_reason, "stop");
assert.ok(plain.every((chunk) => !chunk.usage));

const chunks = await all(
  await client.chat.completions.create({
    model: "echo",
    messages: messages(TEXT),
    stream: true,
    stream_options: { include_usage: true },
  }),
);
const last = chunks.pop();
assert.equal(join(chunks), TEXT);
assert.ok(chunks.every((chunk) => chunk.usage === null));
assert.deepEqual(last.choices, []);
assert.deepEqual(last.usage, completion.usage);

const texts = Array.from({ length: STREAMS }, (_, number) => `${TEXT} number ${number}`);
const concurrent = texts.map(async (text) => {
  const stream = await client.chat.completions.create({ model: "echo", messages: messages(text), stream: true });
  return join(await all(stream));
});
assert.deepEqual(await Promise.all(concurrent), texts);

const response = await client.chat.completions
  .create({ model: "echo", messages: messages(TEXT), stream: true })
  .asResponse();
assert.match(response.headers.get("content-type"), /^text\/event-stream/);
const lines = (await response.text()).split("\n").filter((line) => line);
assert.equal(lines.indexOf("data: [DONE]"), lines.length - 1);

const helper = client.chat.completions.stream({ model: "echo", messages: messages(TEXT) });
assert.equal(await helper.finalContent(), TEXT);

const input = ["one two", "three"];
const standard = await client.embeddings.create({ model: "vendor/embed", input });
const floats = await client.embeddings.create({ model: "vendor/embed", input, encoding_format: "float" });
const text = await client.embeddings.create({ model: "vendor/embed", input, encoding_format: "base64" });
assert.equal(typeof text.data[0].embedding, "string");
assert.equal(standard.data.length, input.length);
standard.data.forEach(({ embedding }, index) => {
  assert.ok(embedding.length > 1);
  assert.deepEqual(Float32Array.from(embedding), Float32Array.from(floats.data[index].embedding));
});
assert.ok(standard._request_id);

const { data: models, request_id: listId } = await client.models.list().withResponse();
assert.deepEqual(
  models.data.map((model) => model.id),
  ["echo", "vendor/echo", "vendor/embed"],
);
assert.ok(listId);
for (const id of ["echo", "vendor/echo"]) {
  const model = await client.models.retrieve(id);
  assert.equal(model.id, id);
  assert.ok(model._request_id);
}
