// What the service counts, while the client still has its connections.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

/** Waits until one call of the model is counted as cancelled. */
export async function expectCancelled(baseURL, model, withinMs = 1000) {
  const series = `model_inference_requests_total{provider="${model}",model="${model}",status="cancelled"} `;
  const end = performance.now() + withinMs;
  for (;;) {
    const page = await (await fetch(new URL("/metrics", baseURL))).text();
    const line = page.split("\n").find((line) => line.startsWith(series));
    if (line === `${series}1`) return;
    assert.ok(performance.now() < end, `${model}: ${line}`);
    await setTimeout(10);
  }
}
