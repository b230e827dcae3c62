"""What the service counts, while the client still has its connections."""

import time
import urllib.request


def expect_cancelled(base_url, model, within=1.0):
    """Waits until one call of the model is counted as cancelled."""
    series = f'model_inference_requests_total{{provider="{model}",model="{model}",status="cancelled"}} '
    end = time.monotonic() + within
    while True:
        with urllib.request.urlopen(base_url.removesuffix("/v1") + "/metrics") as answer:
            lines = answer.read().decode().splitlines()
        counts = [line.removeprefix(series) for line in lines if line.startswith(series)]
        if counts == ["1"]:
            return
        assert time.monotonic() < end, f"{model}: {counts} cancelled"
        time.sleep(0.01)
