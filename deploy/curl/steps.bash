# Sourced by the scripts of this directory: says what is checked and stops at the first surprise.

set -euo pipefail

# The published key; the service accepts it with ENVIRONMENT=local alone.
admin_header='Authorization: Bearer gw_live_wTfpLJ5VB28qMXpOAhr7Uw'
service=http://localhost:8000

# An HTTP error fails a step and shows its body; nothing waits for ever.
curl() {
  command curl --fail-with-body --silent --show-error --max-time 30 "$@"
}

step() {
  printf '\n== %s\n' "$*"
}

# Reads everything on stdin; fails unless a line of it matches the extended regular expression.
expect() {
  local text
  text=$(cat)
  if ! grep --quiet --extended-regexp -- "$1" <<<"$text"; then
    printf 'FAILED: expected a line like\n  %s\ngot\n%s\n' "$1" "$(sed --quiet 1,20p <<<"$text")" >&2
    return 1
  fi
  printf 'ok: %s\n' "$1"
}

# Repeats a command each second, for at most a minute, until it succeeds; shows what the last try said.
eventually() {
  local said
  for _ in {1..60}; do
    if said=$("$@" 2>&1); then
      printf '%s\n' "$said"
      return
    fi
    sleep 1
  done
  printf 'FAILED after a minute: %s\n%s\n' "$*" "$said" >&2
  return 1
}

# Value of a text member of a JSON object on stdin.
member() {
  sed --quiet --regexp-extended "s/.*\"$1\":\"([^\"]*)\".*/\1/p"
}

# How many requests of the demonstration route the metrics have, 0 before the first.
counted_users() {
  local page
  page=$(curl "$service/metrics") || return
  sed --quiet --regexp-extended \
    's|^fastapi_requests_total\{.*method="GET",path="/api/users/\{id\}",status_code="200"\} ([0-9]+)$|\1|p' \
    <<<"$page" | grep . || echo 0
}

# Fails unless the demonstration route was counted this often since the counter stood at the first argument.
expect_counted() {
  local before=$1 wanted=$2 now
  now=$(counted_users) || return
  if ((now - before < wanted)); then
    printf 'FAILED: expected %d more requests in fastapi_requests_total, got %d\n' "$wanted" "$((now - before))" >&2
    return 1
  fi
  printf 'ok: %d more requests are counted\n' "$((now - before))"
}

# The stack of docker-compose.yml is asked only when the caller says that it runs.
stack_runs() {
  [[ ${STACK:-} == 1 ]] || {
    printf '\nPrometheus, Loki, Tempo and Grafana are not asked; set STACK=1 when they run.\n'
    return 1
  }
}
