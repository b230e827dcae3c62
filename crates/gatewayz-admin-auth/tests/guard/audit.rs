//! What an operator reads of admin calls.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::http::header::AUTHORIZATION;
use gatewayz_admin_auth::Published;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{KEY, KEY_ID, WRONG_KEY, attempts, bearer, call, guard, send};

#[derive(Debug)]
struct Line {
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "gatewayz::audit" {
            let mut line = Line {
                level: *event.metadata().level(),
                fields: BTreeMap::new(),
            };
            event.record(&mut line);
            self.0.lock().unwrap().push(line);
        }
    }
}

impl Lines {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[track_caller]
fn check(line: &Line, level: Level, expected: &[(&str, &str)]) {
    let mut fields = line.fields.clone();
    fields.remove("message");
    let expected: BTreeMap<&str, String> = expected
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();

    assert_eq!((line.level, fields), (level, expected));
}

#[actix_web::test]
async fn an_accepted_call_is_one_line_with_the_key_id() {
    let guard = guard(&[KEY], Published::Refused);
    let (lines, _capture) = Lines::capture();

    send(&guard, call("/admin/1?secret=x", Some(&bearer(KEY)))).await;

    let lines = lines.take();
    assert_eq!(lines.len(), 1);
    let expected = [
        ("event", "authz_admin"),
        ("outcome", "accepted"),
        ("reason", "valid_key"),
        ("key_id", KEY_ID),
        ("peer", "192.0.2.1"),
        ("admin_route", "/admin/{id}"),
    ];
    check(&lines[0], Level::INFO, &expected);
}

#[actix_web::test]
async fn each_refused_call_is_one_warning_without_a_key_id() {
    let guard = guard(&[KEY], Published::Refused);
    let (lines, _capture) = Lines::capture();

    send(&guard, call("/%61dmin/1", None)).await;
    send(&guard, call("/nowhere\"%0a", Some("Basic x"))).await;

    let lines = lines.take();
    assert_eq!(lines.len(), 2);
    let line = |reason, route| {
        [
            ("event", "authn_login_fail"),
            ("outcome", "refused"),
            ("reason", reason),
            ("peer", "192.0.2.1"),
            ("admin_route", route),
        ]
    };
    check(&lines[0], Level::WARN, &line("missing_key", "/admin/{id}"));
    check(&lines[1], Level::WARN, &line("malformed", "unmatched"));
}

#[actix_web::test]
async fn a_throttled_call_and_a_disabled_one_say_so() {
    let now = Arc::new(Mutex::new(Instant::now()));
    let clock = Arc::clone(&now);
    let throttled = guard(&[KEY], Published::Refused).with_clock(move || *clock.lock().unwrap());
    let (lines, _capture) = Lines::capture();
    for _ in 0..100 {
        *now.lock().unwrap() += Duration::from_millis(700);
        send(&throttled, call("/admin/1", Some(&bearer(WRONG_KEY)))).await;
    }

    let shown: Vec<(String, String)> = lines
        .take()
        .into_iter()
        .map(|mut line| {
            (
                line.fields.remove("event").unwrap(),
                line.fields.remove("outcome").unwrap(),
            )
        })
        .collect();
    send(&guard(&[], Published::Refused), call("/admin/1", None)).await;
    let disabled = lines.take();

    let pair = |event: &str, outcome: &str| (event.to_owned(), outcome.to_owned());
    assert_eq!(shown[0], pair("authn_login_fail", "refused"));
    assert!(
        shown.contains(&pair("authn_login_fail_max", "throttled")),
        "{shown:?}"
    );
    assert_eq!(disabled[0].fields["event"], "authn_login_fail");
    assert_eq!(disabled[0].fields["reason"], "not_configured");
}

#[actix_web::test]
async fn a_flood_of_failures_is_ten_lines_a_minute_and_the_count_of_the_rest() {
    let start = Instant::now();
    let now = Arc::new(Mutex::new(start));
    let clock = Arc::clone(&now);
    let guard = guard(&[KEY], Published::Refused).with_clock(move || *clock.lock().unwrap());
    let (lines, _capture) = Lines::capture();

    for _ in 0..500 {
        send(&guard, call("/admin/1", Some(&bearer(WRONG_KEY)))).await;
    }
    let flood = lines.take();
    *now.lock().unwrap() = start + Duration::from_secs(60);
    for _ in 0..41 {
        send(&guard, call("/admin/1", Some(&bearer(WRONG_KEY)))).await;
    }
    let next = lines.take();

    assert_eq!((flood.len(), next.len()), (10, 10));
    assert_eq!(next[0].fields["suppressed"], "490");
    assert!(!next[1].fields.contains_key("suppressed"));
    assert_eq!(guard.stats().audit_lines_suppressed(), 490 + 31);
    assert_eq!(attempts(&guard), 541);
}

#[actix_web::test]
async fn no_line_holds_a_key_or_anything_that_the_client_chose() {
    let guard = guard(&[KEY], Published::Refused);
    let (lines, _capture) = Lines::capture();

    send(&guard, call("/canary/1?canary", Some(&bearer(KEY)))).await;
    send(&guard, call("/canary/1", Some(&bearer(WRONG_KEY)))).await;
    send(
        &guard,
        call("/admin/canary", None).append_header((AUTHORIZATION, format!("Canary {KEY}"))),
    )
    .await;

    let lines = lines.take();
    let shown = format!("{lines:?}").to_lowercase();
    assert_eq!(lines.len(), 3);
    for secret in [KEY, WRONG_KEY, "canary"] {
        assert!(!shown.contains(&secret.to_lowercase()), "{shown}");
    }
}
