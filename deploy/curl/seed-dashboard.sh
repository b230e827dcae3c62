#!/usr/bin/env bash
# Every command and endpoint of the dashboard integration guide, in the form that works, against a started service:
#
#   cargo run -p gatewayz-api          # in another terminal, at the top of the checkout
#   bash deploy/curl/seed-dashboard.sh
#   STACK=1 bash deploy/curl/seed-dashboard.sh   # with Prometheus, Loki, Tempo and Grafana on their ports, too

source "$(dirname "${BASH_SOURCE[0]}")/steps.bash"

step '1. Metrics endpoints'
curl http://localhost:8000/metrics | expect '^# TYPE fastapi_requests_total counter$'
curl http://localhost:8000/api/metrics/status | expect '"status":"healthy".*"app_name":"gatewayz".*"metrics_endpoint":"/metrics"'
curl http://localhost:8000/api/metrics/summary | expect '"name":"fastapi_requests_duration_seconds","type":"histogram"'
curl http://localhost:8000/api/metrics/grafana-queries | expect '"request_duration_p60"'
curl http://localhost:8000/api/metrics/health | expect '"prometheus":\{"status":"healthy"'

step '2. Instrumentation endpoints, open ones'
curl http://localhost:8000/api/instrumentation/health | expect '"status":"healthy"'
curl http://localhost:8000/api/instrumentation/trace-context |
  expect '"trace_id":"[0-9a-f]{32}","span_id":"[0-9a-f]{16}","service_name":"gatewayz-api"'

step '2. Instrumentation endpoints, with the admin key'
curl -H "$admin_header" http://localhost:8000/api/instrumentation/loki/status | expect '"service_name":"gatewayz-api"'
curl -H "$admin_header" http://localhost:8000/api/instrumentation/tempo/status | expect '"service.name":"gatewayz-api"'
curl -H "$admin_header" http://localhost:8000/api/instrumentation/config | expect '"ADMIN_API_KEY":"\*\*\*"'
curl -H "$admin_header" http://localhost:8000/api/instrumentation/environment-variables | expect '"APP_NAME":"gatewayz"'

step '3. Generate Test Metrics'
curl -X POST http://localhost:8000/api/metrics/test | expect '"status":"success"'

step '3. Generate test trace'
trace=$(curl -X POST \
  -H "Authorization: Bearer gw_live_wTfpLJ5VB28qMXpOAhr7Uw" \
  http://localhost:8000/api/instrumentation/test-trace)
expect '"status":"(success|disabled)"' <<<"$trace"

step '3. Generate test log'
curl -X POST \
  -H "Authorization: Bearer gw_live_wTfpLJ5VB28qMXpOAhr7Uw" \
  http://localhost:8000/api/instrumentation/test-log |
  expect '"status":"success"'

step '4. Generate 100 requests'
before=$(counted_users)
for i in {1..100}; do
  curl http://localhost:8000/api/users/1
done > /dev/null
eventually expect_counted "$before" 100

step '4. Check metrics updated'
curl http://localhost:8000/metrics | grep fastapi_requests_total |
  expect '^fastapi_requests_total\{app_name="gatewayz",method="GET",path="/api/users/\{id\}",status_code="200"\} [0-9]+$'

# With `| head -20` curl reports that its reader left; sed reads the page to its end.
step 'Metrics Not Appearing: check metrics endpoint'
curl http://localhost:8000/metrics | sed -n 1,20p

step 'Grafana Panels Empty: generate traffic'
before=$(counted_users)
for i in {1..100}; do curl http://localhost:8000/api/users/1; done > /dev/null
eventually expect_counted "$before" 100

if stack_runs; then
  step '5. Verify Prometheus scraping'
  prometheus_is_scraping() {
    curl http://localhost:9090/api/v1/targets | expect '"scrapePool":"fastapi_backend"[^{}]*"health":"up"'
  }
  eventually prometheus_is_scraping
  prometheus_has_metrics() {
    curl 'http://localhost:9090/api/v1/query?query=fastapi_requests_total' | expect '"__name__":"fastapi_requests_total"'
  }
  eventually prometheus_has_metrics
  if command -v jq > /dev/null; then
    curl http://localhost:9090/api/v1/targets |
      jq '.data.activeTargets[] | select(.labels.job=="fastapi_backend")' |
      expect '"health": "up"'
  fi

  # Log lines come from query_range; /query answers metric queries alone. Braces are for curl to encode.
  step '6. Verify Loki ingestion'
  loki_has_lines() {
    curl -G http://localhost:3100/loki/api/v1/query_range --data-urlencode 'query={service="gatewayz-api"}' |
      expect '"endpoint'
  }
  eventually loki_has_lines

  # /label is an alias that Loki does not document.
  step 'Logs Not Appearing: the labels of Loki'
  curl http://localhost:3100/loki/api/v1/labels | expect '"service"'

  # Tempo has no list at /api/traces: a trace has an id, and a list is a search.
  step '7. Verify Tempo traces'
  expect '"status":"success"' <<<"$trace"
  trace_id=$(member trace_id <<<"$trace")
  tempo_has_trace() {
    curl "http://localhost:3200/api/v2/traces/$trace_id" | expect 'gatewayz-api'
  }
  eventually tempo_has_trace
  tempo_finds_traces() {
    curl -G http://localhost:3200/api/search --data-urlencode 'q={ resource.service.name = "gatewayz-api" }' |
      expect '"traceID"'
  }
  eventually tempo_finds_traces

  step '8. Access Grafana dashboard: http://localhost:3000 for people'
  curl http://localhost:3000/api/health | expect '"database": *"ok"'
  # No password is published; Grafana's own variable holds that of this machine.
  if [[ -n ${GF_SECURITY_ADMIN_PASSWORD:-} ]]; then
    curl -u "admin:$GF_SECURITY_ADMIN_PASSWORD" 'http://localhost:3000/api/search?query=FastAPI%20Dashboard' |
      expect '"title":"FastAPI Dashboard"'
  fi
fi

printf '\nEverything is as expected.\n'
