"""The asynchronous client over providers that fail; each model has the name of its fault. Arguments: base URL, key."""

import asyncio
import sys

from openai import APIError, APITimeoutError, AsyncOpenAI, BadRequestError, InternalServerError, RateLimitError

from metrics import expect_cancelled

BASE_URL, KEY = sys.argv[1:]
MESSAGES = [{"role": "user", "content": "hello"}]


async def failure(expected, client, model):
    try:
        answer = await client.chat.completions.create(model=model, messages=MESSAGES)
    except expected as error:
        return error
    raise AssertionError(f"no error: {answer}")


async def truncated(client):
    text = ""
    try:
        async for chunk in await client.chat.completions.create(model="truncated", messages=MESSAGES, stream=True):
            text += chunk.choices[0].delta.content or ""
    except APIError as error:
        assert error.code == "upstream_stream_truncated", error
        assert text == "Grüße", text
    else:
        raise AssertionError(f"a whole answer: {text}")


async def main():
    # Two further tries of its own, as by default.
    client = AsyncOpenAI(base_url=BASE_URL, api_key=KEY)

    error = await failure(InternalServerError, client, "broken")
    assert (error.status_code, error.code) == (502, "upstream_error") and error.request_id, error

    error = await failure(RateLimitError, client, "limited")
    assert error.code == "rate_limit_exceeded", error
    assert error.response.headers["retry-after"] == "30", error.response.headers

    error = await failure(BadRequestError, client, "picky")
    assert (error.code, error.param) == ("too_warm", "temperature"), error

    await truncated(client)

    await failure(APITimeoutError, client.with_options(timeout=0.5, max_retries=0), "silent")
    await asyncio.to_thread(expect_cancelled, BASE_URL, "silent")

    stream = await client.chat.completions.create(model="endless", messages=MESSAGES, stream=True)
    assert (await anext(stream)).choices[0].delta.content == "on "
    await stream.close()
    await asyncio.to_thread(expect_cancelled, BASE_URL, "endless")


asyncio.run(main())
