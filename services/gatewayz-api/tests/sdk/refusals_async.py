"""The asynchronous client raises its own class for each refusal. Arguments: base URL, key."""

import asyncio
import sys

from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError, RateLimitError

BASE_URL, KEY = sys.argv[1:]
MESSAGES = [{"role": "user", "content": "hello"}]


async def refusal(expected, call):
    try:
        answer = await call
    except expected as error:
        assert error.request_id and error.message and error.type, error
        return error
    raise AssertionError(f"not refused: {answer}")


def chat(client, **body):
    return client.chat.completions.create(**{"model": "echo", "messages": MESSAGES} | body)


async def main():
    client = AsyncOpenAI(base_url=BASE_URL, api_key=KEY)

    stranger = client.with_options(api_key="no-key-of-this-service")
    for call in [chat(stranger), chat(stranger, stream=True)]:
        error = await refusal(AuthenticationError, call)
        assert (error.status_code, error.code) == (401, "invalid_api_key"), error

    for call in [chat(client, model="no-such-model"), client.models.retrieve("no/such-model")]:
        error = await refusal(NotFoundError, call)
        assert (error.code, error.param) == ("model_not_found", "model"), error

    for body, param in [({"messages": []}, "messages"), ({"model": 7}, "model")]:
        error = await refusal(BadRequestError, chat(client, **body))
        assert (error.type, error.param) == ("invalid_request_error", param), error

    hasty = client.with_options(max_retries=0)
    answers = await asyncio.gather(*(chat(hasty) for _ in range(80)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert refused and len(refused) < len(answers), len(refused)
    for error in refused:
        assert isinstance(error, RateLimitError) and error.code == "rate_limit_exceeded", error
        assert error.response.headers["retry-after"] == "1", error.response.headers

    # A call may come just when the next one is allowed, and then needs no second try.
    for _ in range(10):
        response = await client.chat.completions.with_raw_response.create(model="echo", messages=MESSAGES)
        if response.retries_taken:
            break
    assert response.retries_taken == 1, "the client did not wait as long as it was told"


asyncio.run(main())
