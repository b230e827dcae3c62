"""The synchronous client gets what the provider sent. Arguments: base URL, key."""

import sys
from array import array

from openai import OpenAI

BASE_URL, KEY = sys.argv[1:]
TEXT = "Grüße vom Säntis 🏔 im  Nebel"
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": TEXT}]
WORDS = len(TEXT.split())

client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)

for model in ["echo", "vendor/echo"]:
    completion = client.chat.completions.create(model=model, messages=MESSAGES)
    assert completion.choices[0].message.content == TEXT, completion
    assert completion.choices[0].finish_reason == "stop", completion
    assert completion.usage.prompt_tokens == WORDS + 2, completion
    assert completion.usage.completion_tokens == WORDS, completion
    assert completion._request_id, completion

stream = client.chat.completions.create(model="echo", messages=MESSAGES, stream=True)
assert stream.response.headers["x-request-id"]
chunks = list(stream)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT, chunks
assert len(chunks) > WORDS, "the text came in one piece"
assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]
assert all(chunk.usage is None for chunk in chunks), chunks

*chunks, last = client.chat.completions.create(
    model="echo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT, chunks
assert all(chunk.usage is None for chunk in chunks), chunks
assert last.choices == [] and last.usage == completion.usage, last

with client.chat.completions.with_streaming_response.create(
    model="echo", messages=MESSAGES, stream=True
) as response:
    lines = [line for line in response.iter_lines() if line]
assert response.headers["content-type"].startswith("text/event-stream"), response.headers
assert lines[-1] == "data: [DONE]" and lines.count(lines[-1]) == 1, lines

with client.chat.completions.stream(model="echo", messages=MESSAGES) as helper:
    assert helper.get_final_completion().choices[0].message.content == TEXT

inputs = ["one two", "three"]
default = client.embeddings.create(model="vendor/embed", input=inputs)
floats = client.embeddings.create(model="vendor/embed", input=inputs, encoding_format="float")
text = client.embeddings.create(model="vendor/embed", input=inputs, encoding_format="base64")
assert isinstance(text.data[0].embedding, str), text
assert [item.index for item in default.data] == [0, 1], default
for one, other in zip(default.data, floats.data, strict=True):
    assert len(one.embedding) > 1
    assert array("f", one.embedding) == array("f", other.embedding), (one, other)
assert default.usage.prompt_tokens == 3 and default._request_id, default

models = client.models.list()
assert [model.id for model in models] == ["echo", "vendor/echo", "vendor/embed"], models
assert models._request_id, models
for id in ["echo", "vendor/echo"]:
    model = client.models.retrieve(id)
    assert model.id == id and model.object == "model" and model._request_id, model
