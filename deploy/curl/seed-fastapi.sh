#!/usr/bin/env bash
# Every command of the FastAPI instrumentation guide, in the form that works, against a started service:
#
#   cargo run -p gatewayz-api          # in another terminal, at the top of the checkout
#   bash deploy/curl/seed-fastapi.sh
#   STACK=1 bash deploy/curl/seed-fastapi.sh     # with Prometheus and Tempo on their ports, too

source "$(dirname "${BASH_SOURCE[0]}")/steps.bash"

step 'The service answers'
curl http://localhost:8000/health | expect '^\{"status":"ok"\}$'

step 'Test Prometheus Metrics: the counter is on the page'
curl http://localhost:8000/metrics | grep fastapi_requests_total

step 'Test JSON Logs: one request, one line on the stdout of the service'
before=$(counted_users)
curl http://localhost:8000/api/users/1 | expect '^\{"id":1,"name":"John"\}$'
eventually expect_counted "$before" 1
printf '%s\n' 'the log has: {"timestamp":...,"level":"INFO","service":"gatewayz-api","endpoint":"/api/users/1","method":"GET","status_code":200,"duration_ms":...,"trace_id":...,"span_id":...,"message":"Request completed",...}'

# The guide shows path="/api/users/1": the label is the template, or each user would be a series of its own.
step 'Test Prometheus Metrics: the request is in it'
curl http://localhost:8000/metrics | grep fastapi_requests_total |
  expect '^fastapi_requests_total\{app_name="gatewayz",method="GET",path="/api/users/\{id\}",status_code="200"\} [0-9]+$'

step 'Both metrics of the guide are there, the histogram under its old name and its new one'
curl http://localhost:8000/metrics |
  expect '^fastapi_request_duration_seconds_bucket\{.*path="/api/users/\{id\}",status_code="200",le="0.25"\} [0-9]+$'
curl http://localhost:8000/metrics |
  expect '^fastapi_requests_duration_seconds_count\{.*path="/api/users/\{id\}",status_code="200"\} [0-9]+$'

step 'The process metrics of the CPU and memory panels are there'
curl http://localhost:8000/metrics | expect '^process_cpu_seconds_total [0-9.]+$'
curl http://localhost:8000/metrics | expect '^process_resident_memory_bytes [0-9]+$'

step 'Test Traces: make requests'
before=$(counted_users)
for i in {1..10}; do curl http://localhost:8000/api/users/1; done > /dev/null
eventually expect_counted "$before" 10

# `curl http://localhost:4317` cannot tell: that port speaks gRPC. The service says whether its spans arrive.
step 'No traces appearing: ask the service to export a trace and to report it'
answer=$(curl -X POST -H "$admin_header" http://localhost:8000/api/instrumentation/test-trace)
expect '"status":"(success|disabled)"' <<<"$answer"

step 'No metrics appearing: make requests to generate metrics'
before=$(counted_users)
for i in {1..100}; do curl http://localhost:8000/api/users/1; done > /dev/null
eventually expect_counted "$before" 100

if stack_runs; then
  step 'Prometheus is scraping: http://localhost:9090/targets for people'
  prometheus_is_scraping() {
    curl http://localhost:9090/api/v1/targets | expect '"scrapePool":"fastapi_backend"[^{}]*"health":"up"'
  }
  eventually prometheus_is_scraping

  step 'Loki has the lines of the service'
  loki_has_lines() {
    curl -G http://localhost:3100/loki/api/v1/query_range --data-urlencode 'query={service="gatewayz-api"}' |
      expect '"endpoint'
  }
  eventually loki_has_lines

  step 'Tempo is reachable, and the trace was delivered'
  curl http://localhost:3200/ready | expect '^ready$'
  expect '"status":"success"' <<<"$answer"

  # `curl http://localhost:3200/api/traces` is 404 without an id; a list is a search.
  step 'Check Tempo: the trace of the test, and the traces of the service'
  trace_id=$(member trace_id <<<"$answer")
  tempo_has_trace() {
    curl "http://localhost:3200/api/v2/traces/$trace_id" | expect 'gatewayz-api'
  }
  eventually tempo_has_trace
  tempo_finds_traces() {
    curl -G http://localhost:3200/api/search --data-urlencode 'q={ resource.service.name = "gatewayz-api" }' |
      expect '"traceID"'
  }
  eventually tempo_finds_traces
fi

printf '\nEverything is as expected.\n'
