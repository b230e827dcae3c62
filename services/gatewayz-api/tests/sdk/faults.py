"""The synchronous client over providers that fail; each model has the name of its fault. Arguments: base URL, key."""

import sys

from openai import APIError, APITimeoutError, BadRequestError, InternalServerError, OpenAI, RateLimitError

from metrics import expect_cancelled

BASE_URL, KEY = sys.argv[1:]
MESSAGES = [{"role": "user", "content": "hello"}]

# Two further tries of its own, as by default.
client = OpenAI(base_url=BASE_URL, api_key=KEY)


def failure(expected, model, **options):
    try:
        answer = client.with_options(**options).chat.completions.create(model=model, messages=MESSAGES)
    except expected as error:
        return error
    raise AssertionError(f"no error: {answer}")


error = failure(InternalServerError, "broken")
assert (error.status_code, error.code) == (502, "upstream_error") and error.request_id, error

error = failure(RateLimitError, "limited")
assert error.code == "rate_limit_exceeded", error
assert error.response.headers["retry-after"] == "30", error.response.headers

error = failure(BadRequestError, "picky")
assert (error.code, error.param) == ("too_warm", "temperature"), error
assert "warmer than 2" in error.message, error

text = ""
try:
    for chunk in client.chat.completions.create(model="truncated", messages=MESSAGES, stream=True):
        text += chunk.choices[0].delta.content or ""
except APIError as error:
    assert error.code == "upstream_stream_truncated", error
    assert text == "Grüße", text
else:
    raise AssertionError(f"a whole answer: {text}")

failure(APITimeoutError, "silent", timeout=0.5, max_retries=0)
expect_cancelled(BASE_URL, "silent")

stream = client.chat.completions.create(model="endless", messages=MESSAGES, stream=True)
assert next(stream).choices[0].delta.content == "on "
stream.close()
expect_cancelled(BASE_URL, "endless")
