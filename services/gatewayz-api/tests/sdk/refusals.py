"""The synchronous client raises its own class for each refusal. Arguments: base URL, key."""

import sys

from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI, RateLimitError

BASE_URL, KEY = sys.argv[1:]
MESSAGES = [{"role": "user", "content": "hello"}]


def refusal(expected, call):
    try:
        answer = call()
    except expected as error:
        assert error.request_id and error.message and error.type, error
        return error
    raise AssertionError(f"not refused: {answer}")


def chat(client, **body):
    return client.chat.completions.create(**{"model": "echo", "messages": MESSAGES} | body)


client = OpenAI(base_url=BASE_URL, api_key=KEY)

stranger = client.with_options(api_key="no-key-of-this-service")
for call in [lambda: chat(stranger), lambda: chat(stranger, stream=True), stranger.models.list]:
    error = refusal(AuthenticationError, call)
    assert (error.status_code, error.code) == (401, "invalid_api_key"), error

for call in [
    lambda: chat(client, model="no-such-model"),
    lambda: chat(client, model="no-such-model", stream=True),
    lambda: client.models.retrieve("no/such-model"),
]:
    error = refusal(NotFoundError, call)
    assert (error.code, error.param) == ("model_not_found", "model"), error
assert refusal(NotFoundError, client.files.list).code == "unknown_url"

for body, param in [
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"model": 7}, "model"),
    ({"stream_options": 7, "stream": True}, "stream_options"),
]:
    error = refusal(BadRequestError, lambda: chat(client, **body))
    assert (error.type, error.param) == ("invalid_request_error", param), error

hasty = client.with_options(max_retries=0)
limit = None
for _ in range(200):
    try:
        hasty.models.list()
    except RateLimitError as error:
        limit = error
        break
assert limit is not None, "the limit was never reached"
assert limit.code == "rate_limit_exceeded" and limit.request_id, limit
assert limit.response.headers["retry-after"] == "1", limit.response.headers
assert limit.response.headers["x-ratelimit-remaining-requests"] == "0", limit.response.headers

# A call may come just when the next one is allowed, and then needs no second try.
for _ in range(10):
    response = client.chat.completions.with_raw_response.create(model="echo", messages=MESSAGES)
    if response.retries_taken:
        break
assert response.retries_taken == 1, "the client did not wait as long as it was told"
assert response.parse().choices[0].message.content == "hello"
