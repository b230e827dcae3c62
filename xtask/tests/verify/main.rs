//! `cargo xtask verify` and `load` against fakes on real sockets: green when all is well, a named cross otherwise.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod backends;
mod fake;
mod load;
mod stack;

use std::process::Command;

use stack::{Planted, Stack};

/// What one run printed.
struct Report {
    succeeded: bool,
    text: String,
}

impl Report {
    /// Titles that have a cross, in their order.
    fn crosses(&self) -> Vec<&str> {
        let crossed = self.text.lines().filter_map(|line| line.strip_prefix("✗ "));
        crossed.filter_map(|line| line.split(": ").next()).collect()
    }
}

/// Longest wait of a run that finds everything.
const PATIENT: &str = "60";
/// The same where something never comes; what does come is there after half a second.
const SHORT: &str = "3";

/// Runs the program on this stack.
fn verify(stack: &Stack, timeout: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Report {
    let arguments = [&["--timeout", timeout], stack.arguments().as_slice(), arguments].concat();
    run(&arguments, variables)
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Report {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("verify")
        .args(arguments)
        .env_remove("ADMIN_API_KEY")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Report {
        succeeded: output.status.success(),
        text: format!("{stdout}{stderr}"),
    }
}

/// Exactly these lines have a cross, and the reason is told.
#[track_caller]
fn check(planted: Planted, crosses: &[&str], reason: &str) {
    let stack = Stack::start(Some(planted));

    let report = verify(&stack, SHORT, &[], &[]);

    assert_eq!(report.crosses(), crosses, "{}", report.text);
    assert!(report.text.contains(reason), "{}", report.text);
    assert!(!report.succeeded);
}

const SCRAPING: &str = "Prometheus scraping backend metrics";
const INGESTING: &str = "Loki ingesting structured logs";
const RECEIVING: &str = "Tempo receiving traces";
const DATASOURCES: &str = "Grafana datasources connected";
const DASHBOARD: &str = "FastAPI Dashboard loads";
const PANELS: &str = "All 8 panels display data";
const UPDATES: &str = "Metrics update every 15 seconds";
const STREAMS: &str = "Logger stream shows real-time logs";
const CORRELATION: &str = "Trace-log correlation working";
const OTHERS: &str = "Other dashboards display data";
const HEALTH: &str = "Health tells the truth";

#[test]
fn a_good_stack_gets_every_tick() {
    let stack = Stack::start(None);

    let report = verify(&stack, PATIENT, &[], &[]);

    assert_eq!(report.crosses(), [""; 0], "{}", report.text);
    assert_eq!(report.text.lines().last(), Some("9 of 9 ticks"));
    assert!(report.succeeded);
}

#[test]
fn a_service_that_is_down_is_told_and_the_backends_are_checked_all_the_same() {
    check(
        Planted::ServiceDown,
        &[
            "Service",
            SCRAPING,
            INGESTING,
            RECEIVING,
            PANELS,
            UPDATES,
            STREAMS,
            CORRELATION,
            OTHERS,
            HEALTH,
        ],
        "✗ Service: Service is not reachable at http://127.0.0.1:",
    );
}

#[test]
fn a_loki_that_is_down_crosses_what_needs_it_alone() {
    check(
        Planted::LokiDown,
        &[
            "Loki",
            INGESTING,
            DATASOURCES,
            PANELS,
            STREAMS,
            CORRELATION,
            HEALTH,
        ],
        "start it (docker compose up -d --wait), or say where it is with --loki",
    );
}

#[test]
fn a_tempo_that_does_not_answer_is_told_as_slow() {
    check(
        Planted::TempoHangs,
        &["Tempo", RECEIVING, DATASOURCES, CORRELATION, OTHERS, HEALTH],
        "✗ Tempo: Tempo did not answer /api/status/buildinfo within 3 s",
    );
}

#[test]
fn an_old_prometheus_is_told_and_still_asked() {
    check(
        Planted::OldPrometheus,
        &["Prometheus"],
        "✗ Prometheus: wrong version 2.20.1; at least 2.42 is needed",
    );
}

#[test]
fn refused_credentials_name_the_option_that_sets_them() {
    check(
        Planted::LokiWantsCredentials,
        &["Loki", INGESTING, PANELS, STREAMS, CORRELATION, HEALTH],
        "Loki refuses the credentials: 401 to /loki/api/v1/status/buildinfo; set --loki-auth-env",
    );
}

#[test]
fn credentials_from_a_variable_open_a_backend_and_are_not_shown() {
    let stack = Stack::start(Some(Planted::LokiWantsCredentials));

    let report = verify(
        &stack,
        PATIENT,
        &["--loki-auth-env", "LOKI_LOGIN"],
        &[("LOKI_LOGIN", stack::LOKI_LOGIN)],
    );

    assert!(report.succeeded, "{}", report.text);
    assert!(!report.text.contains(stack::LOKI_LOGIN));
}

#[test]
fn a_wrong_admin_key_is_told() {
    let stack = Stack::start(None);

    let report = verify(&stack, PATIENT, &[], &[("ADMIN_API_KEY", "not-the-key")]);

    assert_eq!(report.crosses(), [HEALTH], "{}", report.text);
    assert!(report.text.contains("set --admin-key-env"));
    assert!(!report.text.contains("not-the-key"));
}

#[test]
fn a_clock_that_is_off_is_told_with_its_direction() {
    check(Planted::TempoClockBehind, &["Tempo"], "s behind this machine's");
}

#[test]
fn something_else_on_the_port_is_told() {
    check(
        Planted::SomethingElseIsGrafana,
        &["Grafana", DATASOURCES, DASHBOARD],
        "Grafana answered /api/health with what is not its JSON",
    );
}

#[test]
fn an_empty_prometheus_is_told() {
    check(
        Planted::EmptyPrometheus,
        &[SCRAPING, PANELS, UPDATES, CORRELATION, OTHERS],
        "Prometheus has no targets at all; is prom.yml loaded?",
    );
}

#[test]
fn a_target_that_is_down_is_told_with_prometheus_own_reason() {
    check(
        Planted::TargetDown,
        &[SCRAPING, PANELS, UPDATES, CORRELATION, OTHERS],
        "is down: data does not end with # EOF",
    );
}

#[test]
fn a_slow_scrape_is_a_cross_of_the_update_alone() {
    check(
        Planted::ScrapedEveryMinute,
        &[UPDATES],
        "the target is scraped every 1m, not every 15s",
    );
}

#[test]
fn counters_that_stand_still_are_told() {
    check(
        Planted::CountersStandStill,
        &[UPDATES],
        "requests are made, but fastapi_requests_total does not move",
    );
}

#[test]
fn a_panel_without_data_is_named() {
    check(Planted::NoCpu, &[PANELS], "no data for cpu_usage");
}

#[test]
fn a_panel_of_nothing_but_nan_has_no_data() {
    check(
        Planted::NanAverage,
        &[PANELS],
        "no data for average_response_time",
    );
}

#[test]
fn a_panel_of_another_dashboard_without_data_is_named() {
    check(
        Planted::NoInference,
        &[OTHERS],
        "2 of 3 queries return data; no data for model_inference_rate",
    );
}

#[test]
fn a_query_that_is_refused_is_named_with_the_reason() {
    check(
        Planted::QueryRefused,
        &[PANELS],
        "memory_usage is refused (parse error: unexpected end of input)",
    );
}

#[test]
fn missing_exemplars_name_the_flag() {
    check(
        Planted::NoExemplars,
        &[CORRELATION],
        "Prometheus has no exemplars; does it run with --enable-feature=exemplar-storage?",
    );
}

#[test]
fn lines_that_are_not_json_are_told() {
    check(
        Planted::PrettyLines,
        &[INGESTING, STREAMS, CORRELATION, HEALTH],
        "the lines are not JSON objects; is LOG_FORMAT json?",
    );
}

#[test]
fn lines_that_do_not_arrive_make_health_a_lie() {
    check(
        Planted::LinesLost,
        &[INGESTING, PANELS, STREAMS, CORRELATION, HEALTH],
        "it calls loki healthy, but no line with trace_id",
    );
}

#[test]
fn spans_that_do_not_arrive_make_health_a_lie() {
    check(
        Planted::SpansLost,
        &[RECEIVING, CORRELATION, HEALTH],
        "it calls tempo healthy, but no trace",
    );
}

#[test]
fn a_trace_that_only_searches_miss_is_told_as_such() {
    check(
        Planted::SearchFindsNothing,
        &[RECEIVING],
        "a trace is there by id, but searches find nothing for service_traces, by_operation",
    );
}

#[test]
fn a_line_of_another_span_is_no_correlation() {
    check(Planted::OtherSpanIds, &[CORRELATION], "the trace has no span");
}

#[test]
fn degraded_health_is_told_with_its_part() {
    check(
        Planted::LokiDegraded,
        &[HEALTH],
        "/api/instrumentation/health says degraded: loki is degraded: auth",
    );
}

#[test]
fn a_missing_data_source_is_named() {
    check(
        Planted::NoTempoSource,
        &[DATASOURCES, DASHBOARD],
        "there is no data source of type tempo",
    );
}

#[test]
fn a_data_source_with_a_wrong_url_is_named() {
    check(
        Planted::LokiSourceBroken,
        &[DATASOURCES],
        "loki (loki) does not answer: Grafana answered 502",
    );
}

#[test]
fn a_missing_panel_is_named() {
    check(
        Planted::PanelMissing,
        &[DASHBOARD],
        "FastAPI Dashboard lacks the panel Memory Usage",
    );
}

#[test]
fn a_url_with_credentials_is_refused_before_anything_is_asked() {
    let report = run(&["--tempo", "http://user:secret@127.0.0.1:1"], &[]);

    assert!(!report.succeeded);
    assert!(
        report
            .text
            .contains("read the URL of Tempo: give credentials in a variable, with --tempo-auth-env")
    );
    assert!(!report.text.contains("secret"));
}
