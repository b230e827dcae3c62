"""The asynchronous client gets what the provider sent, also many answers at once. Arguments: base URL, key."""

import asyncio
import sys
from array import array

from openai import AsyncOpenAI

BASE_URL, KEY = sys.argv[1:]
TEXT = "Grüße vom Säntis 🏔 im  Nebel"
STREAMS = 20


def messages(text):
    return [{"role": "user", "content": text}]


async def text_of(stream):
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None for chunk in chunks), chunks
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def chats(client):
    for model in ["echo", "vendor/echo"]:
        completion = await client.chat.completions.create(model=model, messages=messages(TEXT))
        assert completion.choices[0].message.content == TEXT, completion
        assert completion._request_id, completion

    texts = [f"{TEXT} number {number}" for number in range(STREAMS)]
    streams = await asyncio.gather(
        *(client.chat.completions.create(model="echo", messages=messages(text), stream=True) for text in texts)
    )
    assert all(stream.response.headers["x-request-id"] for stream in streams)
    assert await asyncio.gather(*map(text_of, streams)) == texts

    stream = await client.chat.completions.create(
        model="echo", messages=messages(TEXT), stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT, chunks
    assert all(chunk.usage is None for chunk in chunks), chunks
    assert last.choices == [] and last.usage == completion.usage, last

    async with client.chat.completions.with_streaming_response.create(
        model="echo", messages=messages(TEXT), stream=True
    ) as response:
        lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]" and lines.count(lines[-1]) == 1, lines


async def embeddings(client):
    inputs = ["one two", "three"]
    default = await client.embeddings.create(model="vendor/embed", input=inputs)
    floats = await client.embeddings.create(model="vendor/embed", input=inputs, encoding_format="float")
    for one, other in zip(default.data, floats.data, strict=True):
        assert len(one.embedding) > 1
        assert array("f", one.embedding) == array("f", other.embedding), (one, other)
    assert default._request_id, default


async def models(client):
    listed = await client.models.list()
    assert [model.id for model in listed.data] == ["echo", "vendor/echo", "vendor/embed"], listed
    for id in ["echo", "vendor/echo"]:
        model = await client.models.retrieve(id)
        assert model.id == id and model._request_id, model


async def main():
    async with AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0) as client:
        await chats(client)
        await embeddings(client)
        await models(client)


asyncio.run(main())
