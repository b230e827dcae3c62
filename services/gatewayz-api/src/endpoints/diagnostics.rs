//! Test endpoints: they make real records, wait for their delivery, and report what became of them.

mod delivery;
mod loopback;
mod rate_limit;

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::web::{self, Data};
use actix_web::{HttpResponse, ResponseError};
use gatewayz_admin_auth::AdminIdentity;
use gatewayz_inference::metrics::REQUESTS;
use gatewayz_metrics::Family;
use gatewayz_tracing::context_of;
use gatewayz_tracing::w3c::TraceContext;
use serde_json::{Value, json};
use tracing::{Instrument, Level, Span};

use self::delivery::{Reading, Settled, Signal, Verdict};
use self::rate_limit::RateLimit;
use super::instrumentation::{answer, current_ids, shown_url};
use crate::problem::Problem;
use crate::state::{State, milliseconds, timestamp};

/// How long the request of a self-test may wait for the network.
const LOOPBACK_TIMEOUT: Duration = Duration::from_secs(2);
/// Value of `provider` and `cache` on what a self-test makes.
const SELF_TEST: &str = "selftest";

/// Each test writes to the real destinations, so that a loop must not fill them.
static TESTS: RateLimit = RateLimit::new(10, Duration::from_secs(60));

/// Makes a span with a child and waits for their delivery.
///
/// # Errors
/// 429 after ten tests within a minute.
pub async fn test_trace(_admin: AdminIdentity, state: Data<State>) -> Result<HttpResponse, TestRefused> {
    admit()?;
    let endpoint = state
        .settings
        .traces
        .export
        .as_ref()
        .map(|export| &export.endpoint);
    let reading = Reading::of(Signal::Traces, &state.telemetry);
    let made = make_spans();
    let (trace_id, span_id) = ids(made.as_ref());
    let settled = if made.is_some_and(|context| context.flags.is_sampled()) {
        let telemetry = state.telemetry.clone();
        web::block(move || reading.settle(&telemetry))
            .await
            .map_err(|_| TestRefused::Stopping)?
    } else {
        Settled::disabled("This trace is not sampled, so that nothing was exported.")
    };
    Ok(answer(&json!({
        "status": settled.verdict,
        "trace_id": trace_id,
        "span_id": span_id,
        "flush_result": settled.verdict == Verdict::Success,
        "error": settled.error,
        "endpoint": shown_url(endpoint),
        "message": settled.message,
        "timestamp": timestamp(),
    })))
}

/// Writes one line per level and waits for their delivery.
///
/// # Errors
/// 429 after ten tests within a minute.
pub async fn test_log(_admin: AdminIdentity, state: Data<State>) -> Result<HttpResponse, TestRefused> {
    admit()?;
    let push_url = state.settings.loki.push.as_ref().map(|push| &push.url);
    let (trace_id, span_id) = current_ids();
    let readings = [Signal::Stdout, Signal::Loki].map(|signal| Reading::of(signal, &state.telemetry));
    let (written, disabled) = write_lines();
    let telemetry = state.telemetry.clone();
    let settled = web::block(move || delivery::settle_all(readings, &telemetry)).await;
    let [stdout, loki] = settled.map_err(|_| TestRefused::Stopping)?;
    let verdict = Verdict::of_all([stdout.verdict, loki.verdict]);
    let error = [&stdout, &loki]
        .into_iter()
        .find_map(|settled| settled.error.clone());
    Ok(answer(&json!({
        "status": verdict,
        "trace_id": trace_id,
        "span_id": span_id,
        "flush_result": verdict == Verdict::Success,
        "error": error,
        "endpoint": shown_url(push_url),
        "message": match verdict {
            Verdict::Success => "The lines are delivered.",
            Verdict::Failed => "Not every line is delivered; see sinks.",
            Verdict::Disabled => "No line was made; the levels in force leave all of them out.",
        },
        "levels_written": written,
        "levels_disabled": disabled,
        "sinks": { "stdout": stdout, "loki": loki },
        "timestamp": timestamp(),
    })))
}

/// Sends one request to this service and reports what its metric, its line and its spans became.
///
/// # Errors
/// 429 after ten tests within a minute.
pub async fn test_metrics(state: Data<State>) -> Result<HttpResponse, TestRefused> {
    admit()?;
    let started = Instant::now();
    let span = tracing::info_span!(
        "self_test",
        otel.name = "GET",
        otel.kind = "client",
        provider = SELF_TEST,
        cache = SELF_TEST,
        test = true,
    );
    let context = context_of(&span);
    let (trace_id, span_id) = ids(context.as_ref());
    let inference = test_inference(&state).instrument(span.clone()).await;
    let shared = state.into_inner();
    let tested = web::block(move || self_test(&shared, span))
        .await
        .map_err(|_| TestRefused::Stopping)?;
    let SelfTest {
        prometheus,
        stdout,
        loki,
        tempo,
    } = tested;
    let verdicts = [&prometheus, &inference, &stdout, &loki, &tempo].map(|settled| settled.verdict);
    let verdict = Verdict::of_all(verdicts);
    Ok(answer(&json!({
        "status": verdict,
        "message": match verdict {
            Verdict::Success => "One request went through the whole path; what is not disabled has it.",
            Verdict::Failed => "One request went through, and not every signal of it arrived; see verification.",
            Verdict::Disabled => "Nothing could be verified; see verification.",
        },
        "trace_id": trace_id,
        "span_id": span_id,
        "duration_ms": milliseconds(started.elapsed()),
        "timestamp": timestamp(),
        "verification": { "prometheus": prometheus, "inference": inference, "loki": loki, "tempo": tempo, "stdout": stdout },
    })))
}

/// Why a test was not made.
#[derive(Debug, thiserror::Error)]
pub enum TestRefused {
    /// There were ten within a minute.
    #[error("test again in {wait:?}")]
    TooMany {
        /// When the next one may come.
        wait: Duration,
    },
    /// The process ends.
    #[error("test while the service is stopping")]
    Stopping,
}

impl ResponseError for TestRefused {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let detail = match self {
            Self::TooMany { .. } => "Ten tests a minute are enough; see Retry-After.",
            Self::Stopping => "The service is stopping.",
        };
        let mut response = Problem::new(self.status_code(), detail).response();
        if let Self::TooMany { wait } = self {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

fn admit() -> Result<(), TestRefused> {
    TESTS
        .admit(Instant::now())
        .map_err(|wait| TestRefused::TooMany { wait })
}

/// Both spans are closed when this returns, so that they can be flushed.
fn make_spans() -> Option<TraceContext> {
    let parent = tracing::info_span!("test_trace_export", test = true, "test.type" = "diagnostic");
    let context = context_of(&parent);
    parent.in_scope(|| {
        let child = tracing::info_span!("test_trace_export_child", test = true, "test.type" = "diagnostic");
        child.in_scope(|| {});
    });
    context
}

/// Writes a line at each level; tells the levels in force that allow it, and those that do not.
fn write_lines() -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut written, mut disabled) = (Vec::new(), Vec::new());
    macro_rules! write_line {
        ($level:ident) => {{
            let enabled = tracing::event_enabled!(Level::$level);
            let levels = if enabled { &mut written } else { &mut disabled };
            levels.push(Level::$level.as_str());
            tracing::event!(Level::$level, test = true, "Test line at level {}", Level::$level);
        }};
    }
    write_line!(ERROR);
    write_line!(WARN);
    write_line!(INFO);
    write_line!(DEBUG);
    write_line!(TRACE);
    (written, disabled)
}

struct SelfTest {
    prometheus: Settled,
    stdout: Settled,
    loki: Settled,
    tempo: Settled,
}

/// Blocks. `span` is closed before the flush; the request's own span ends with its answer.
fn self_test(state: &State, span: Span) -> SelfTest {
    let telemetry = &state.telemetry;
    let readings =
        [Signal::Stdout, Signal::Loki, Signal::Traces].map(|signal| Reading::of(signal, telemetry));
    let context = context_of(&span);
    let sampled = context.as_ref().is_some_and(|context| context.flags.is_sampled());
    let prometheus = span.in_scope(|| {
        tracing::info!(
            provider = SELF_TEST,
            cache = SELF_TEST,
            test = true,
            "Self-test request"
        );
        count_request(state, context.as_ref())
    });
    drop(span);
    let [stdout, loki, mut tempo] = delivery::settle_all(readings, telemetry);
    if tempo.verdict == Verdict::Success && !sampled {
        tempo = Settled::disabled("This trace is not sampled, so that nothing of it was exported.");
    }
    SelfTest {
        prometheus,
        stdout,
        loki,
        tempo,
    }
}

/// Two calls of the built-in provider through the whole path of inference; the second comes from the cache.
async fn test_inference(state: &State) -> Settled {
    let Some(gateway) = &state.gateway else {
        return Settled::disabled("There is no catalog; set CATALOG_FILE.");
    };
    let before = counter_value(state, &REQUESTS, &[SELF_TEST, SELF_TEST, "success"]);
    let outcomes = match gateway.self_test(None).await {
        Ok(outcomes) => outcomes,
        Err(error) => return Settled::failed("The call was not answered.", Some(error.to_string())),
    };
    let after = counter_value(state, &REQUESTS, &[SELF_TEST, SELF_TEST, "success"]);
    let caches: Vec<&str> = outcomes.iter().map(|outcome| outcome.cache.as_str()).collect();
    let counted = format!(
        "model_inference_requests_total{{provider=\"{SELF_TEST}\", model=\"{SELF_TEST}\", status=\"success\"}} was \
         {before} and is {after} after {} calls; cache: {}.",
        outcomes.len(),
        caches.join(", ")
    );
    if after >= before + outcomes.len() as u64 && caches == ["miss", "hit"] {
        Settled::success(counted)
    } else {
        Settled::failed(counted, None)
    }
}

/// Sends the request and looks at the counter that is read for the metrics page.
fn count_request(state: &State, context: Option<&TraceContext>) -> Settled {
    let (Some(bound), Some(context)) = (state.bound_address(), context) else {
        return Settled::disabled("The service does not know its own address.");
    };
    let labels = [state.settings.service.app_name.as_str(), "GET", "/health", "200"];
    let before = counter_value(state, &gatewayz_telemetry::REQUESTS, &labels);
    let status_code = match loopback::get_health(bound, context, LOOPBACK_TIMEOUT) {
        Ok(status_code) => status_code,
        Err(error) => {
            return Settled::failed("The request was not answered.", Some(error.kind().to_string()));
        }
    };
    let after = counter_value(state, &gatewayz_telemetry::REQUESTS, &labels);
    let series = "fastapi_requests_total{method=\"GET\", path=\"/health\", status_code=\"200\"}";
    let counted = format!("{series} was {before} and is {after} after one request, answered {status_code}.");
    if status_code == 200 && after > before {
        Settled::success(counted)
    } else {
        Settled::failed(counted, None)
    }
}

/// What the metrics page would show; 0 for a series that is not there yet.
fn counter_value(state: &State, family: &'static Family, labels: &[&str]) -> u64 {
    let counter = state.telemetry.registry().counter(family, labels);
    counter.map_or(0, |counter| counter.value())
}

/// `null` where there is no span.
fn ids(context: Option<&TraceContext>) -> (Value, Value) {
    match context {
        Some(context) => (
            context.trace_id.to_string().into(),
            context.span_id.to_string().into(),
        ),
        None => (Value::Null, Value::Null),
    }
}
