//! How the service stops.

use std::time::{Duration, Instant};

use gatewayz_testkit::http::Client;
use gatewayz_testkit::otlp::{Answer, Receiver, SpanKind};
use gatewayz_testkit::process::Signal;
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};

use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, spawn, spawn_in, wait_for};

const LOG_LEVEL_BODY: &[u8] = br#"{"levels":"info"}"#;

/// Sends a request and all of its body but the last byte, and waits until the service has begun to serve it.
#[track_caller]
fn begin_request(api: &Api) -> Client {
    let mut client = api.client();
    let head = format!(
        "PUT /api/instrumentation/log-level HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {PUBLISHED_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        LOG_LEVEL_BODY.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.send(&LOG_LEVEL_BODY[..LOG_LEVEL_BODY.len() - 1]).unwrap();
    let labels = [("method", "PUT"), ("path", "/api/instrumentation/log-level")];
    let began = || (api.scrape().value("fastapi_requests_in_progress", &labels) == Some(1.0)).then_some(());
    assert_eq!(wait_for(DEADLINE, began), Some(()));
    client
}

#[track_caller]
fn finish_request(client: &mut Client) -> u16 {
    client.send(&LOG_LEVEL_BODY[LOG_LEVEL_BODY.len() - 1..]).unwrap();
    client.read_answer().unwrap().status
}

#[track_caller]
fn wait_until_closed_to_new_connections(api: &Api) {
    let refused = || Client::connect(api.address).is_err().then_some(());
    assert_eq!(wait_for(DEADLINE, refused), Some(()));
}

#[track_caller]
fn wait_until_unready(api: &Api) {
    let unready = || (api.get("/ready").status == 503).then_some(());
    assert_eq!(wait_for(DEADLINE, unready), Some(()));
}

#[test]
fn an_unready_service_goes_on_serving_until_the_prestop_is_over() {
    let api = spawn(&[("SHUTDOWN_PRESTOP", "60")]);
    assert_eq!(api.get("/ready").status, 200);

    api.service.signal(Signal::TERM).unwrap();
    wait_until_unready(&api);

    let ready = api.get("/ready");
    assert!(ready.text().contains("draining"), "{}", ready.text());
    for path in ["/health", "/live", "/metrics", "/api/users/1"] {
        assert_eq!(api.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_request_in_flight_is_finished_and_everything_is_delivered() {
    let receiver = Receiver::start();
    let endpoint = receiver.grpc_endpoint();
    let mut api = spawn(&[
        ("ADMIN_API_KEY", PUBLISHED_KEY),
        ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
        ("SHUTDOWN_PRESTOP", "0"),
        // Nothing is sent before the shutdown asks for it.
        ("OTEL_BSP_SCHEDULE_DELAY", "60000"),
    ]);
    const REQUESTS: usize = 200;
    let mut client = api.client();
    let mut trace_ids: Vec<String> = (0..REQUESTS)
        .map(|_| {
            client
                .get("/api/users/1", &[])
                .unwrap()
                .header("x-trace-id")
                .unwrap()
                .to_owned()
        })
        .collect();
    let mut in_flight = begin_request(&api);

    api.service.signal(Signal::TERM).unwrap();
    wait_until_closed_to_new_connections(&api);
    let status = finish_request(&mut in_flight);
    let exit = api.service.wait_exit(DEADLINE).unwrap();

    assert_eq!((status, exit.code()), (200, Some(0)));
    let lines = api.lines();
    let of_requests: Vec<_> = lines
        .iter()
        .filter(|line| line["target"] == "gatewayz::request")
        .collect();
    let others: Vec<_> = of_requests
        .iter()
        .filter(|line| line["endpoint"] != "/api/users/1")
        .collect();
    assert_eq!((of_requests.len(), others.len()), (REQUESTS + 1, 1), "{others:?}");
    let spans = receiver
        .spans()
        .into_iter()
        .filter(|span| span.kind == SpanKind::Server);
    let mut spans: Vec<String> = spans.map(|span| span.trace_id_hex()).collect();
    assert_eq!(spans.len(), REQUESTS + 1);
    let put = of_requests.iter().find(|line| line["method"] == "PUT").unwrap();
    assert_eq!(put["status_code"], 200);
    trace_ids.push(put["trace_id"].as_str().unwrap().to_owned());
    trace_ids.sort_unstable();
    spans.sort_unstable();
    assert_eq!(spans, trace_ids);
    assert!(
        !api.service.stderr().iter().any(|line| line.contains("lost")),
        "{:?}",
        api.service.stderr()
    );
}

#[test]
fn a_request_that_outlasts_the_drain_is_cut_and_counted() {
    let mut api = spawn(&[
        ("ADMIN_API_KEY", PUBLISHED_KEY),
        ("SHUTDOWN_PRESTOP", "0"),
        ("SHUTDOWN_DRAIN", "1"),
    ]);
    let mut in_flight = begin_request(&api);

    api.service.signal(Signal::TERM).unwrap();
    let started = Instant::now();
    let exit = api.service.wait_exit(DEADLINE).unwrap();

    assert_eq!(exit.code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    assert!(in_flight.is_closed_by_server());
    let lines = api.lines();
    let cut: Vec<_> = lines
        .iter()
        .filter(|line| line["method"] == "PUT" && line.get("status_code").is_some())
        .collect();
    assert_eq!(cut.len(), 1, "{:?} {lines:#?}", api.service.stderr());
    assert_eq!(cut[0]["status_code"], 499);
}

#[test]
fn a_call_that_outlasts_the_drain_is_answered_and_counted() {
    let provider = FaultyProvider::always(Script::of([Step::Hang]));
    let catalog = format!(
        "[[providers]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"{}\"\nprobe = false\n\
         [[models]]\nid = \"m\"\ncandidates = [{{ provider = \"p\", model = \"m\" }}]\n",
        provider.base_url()
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("catalog.toml"), catalog).unwrap();
    let mut api = spawn_in(
        directory.path(),
        &[
            ("CATALOG_FILE", "catalog.toml"),
            ("SHUTDOWN_PRESTOP", "0"),
            ("SHUTDOWN_DRAIN", "1.9"),
        ],
    );
    let mut client = api.client();
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(format!("{head}{body}").as_bytes()).unwrap();
    provider.wait_for("the call", |seen| seen.requests.first().map(|_| ()));

    api.service.signal(Signal::TERM).unwrap();
    let answer = client.read_answer().unwrap();
    let exit = api.service.wait_exit(DEADLINE).unwrap();

    assert_eq!((answer.status, exit.code()), (503, Some(0)));
    assert!(
        answer.text().contains("\"code\":\"server_shutting_down\""),
        "{}",
        answer.text()
    );
    let lines = api.lines();
    let line = lines.iter().find(|line| line["method"] == "POST").unwrap();
    assert_eq!(
        (&line["status_code"], &line["inference_error"], &line["trace_id"]),
        (
            &503.into(),
            &"server_shutting_down".into(),
            &answer.header("x-trace-id").unwrap().into()
        )
    );
}

#[test]
fn a_second_signal_hurries_and_shows_in_the_exit_code() {
    let cases = [
        (Signal::TERM, Signal::TERM, "60", 143),
        (Signal::TERM, Signal::INT, "60", 130),
        (Signal::INT, Signal::TERM, "0", 143),
    ];
    for (first, second, prestop, code) in cases {
        let mut api = spawn(&[
            ("ADMIN_API_KEY", PUBLISHED_KEY),
            ("SHUTDOWN_PRESTOP", prestop),
            ("SHUTDOWN_DRAIN", "60"),
        ]);
        let mut in_flight = begin_request(&api);
        api.service.signal(first).unwrap();
        if prestop == "0" {
            wait_until_closed_to_new_connections(&api);
        } else {
            wait_until_unready(&api);
        }

        api.service.signal(second).unwrap();
        let started = Instant::now();
        let exit = api.service.wait_exit(DEADLINE).unwrap();

        assert_eq!(exit.code(), Some(code), "{first:?}, then {second:?}");
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
        assert!(in_flight.is_closed_by_server());
    }
}

#[test]
fn interrupt_stops_like_terminate() {
    let mut api = spawn(&[("SHUTDOWN_PRESTOP", "0")]);

    api.service.signal(Signal::INT).unwrap();

    assert_eq!(api.service.wait_exit(DEADLINE).unwrap().code(), Some(0));
}

#[test]
fn a_receiver_that_hangs_delays_the_exit_no_longer_than_the_deadline_and_is_told() {
    for variable in ["TEMPO_OTLP_GRPC_ENDPOINT", "TEMPO_OTLP_HTTP_ENDPOINT"] {
        let receiver = Receiver::start();
        receiver.answer_next(vec![Answer::Hang; 100]);
        let endpoint = if variable.contains("GRPC") {
            receiver.grpc_endpoint()
        } else {
            receiver.http_endpoint()
        };
        let mut api = spawn(&[
            (variable, &endpoint),
            ("SHUTDOWN_PRESTOP", "0"),
            ("SHUTDOWN_DRAIN", "1"),
            ("SHUTDOWN_FLUSH", "1"),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ]);
        for _ in 0..5 {
            assert_eq!(api.get("/api/users/1").status, 200);
        }
        assert!(receiver.wait_for_requests(1, DEADLINE));

        api.service.signal(Signal::TERM).unwrap();
        let started = Instant::now();
        let exit = api.service.wait_exit(DEADLINE).unwrap();
        let took = started.elapsed();

        assert_eq!(exit.code(), Some(0), "{variable}");
        assert!(took < Duration::from_secs(4), "{variable}: {took:?}");
        let stderr = api.service.stderr();
        let told = stderr
            .iter()
            .find(|line| line.starts_with("otlp: "))
            .unwrap_or_else(|| panic!("{stderr:?}"));
        assert!(told.contains("0 of 5") && told.contains("5 shutdown"), "{told}");
        let lines = api.lines();
        let warned = lines
            .iter()
            .find(|line| line["level"] == "WARN" && line["exporter"] == "otlp")
            .unwrap();
        assert_eq!(warned["undelivered"], 5);
        assert_eq!(
            lines
                .iter()
                .filter(|line| line["target"] == "gatewayz::request")
                .count(),
            5
        );
    }
}

#[test]
fn a_receiver_that_is_not_there_delays_the_exit_no_longer_than_the_deadline_and_is_told() {
    let gone = Receiver::start();
    let endpoint = gone.http_endpoint();
    drop(gone);
    let mut api = spawn(&[
        ("TEMPO_OTLP_HTTP_ENDPOINT", &endpoint),
        ("LOKI_ENABLED", "true"),
        ("LOKI_PUSH_URL", &endpoint),
        ("SHUTDOWN_PRESTOP", "0"),
        ("SHUTDOWN_FLUSH", "1"),
    ]);
    for _ in 0..5 {
        assert_eq!(api.get("/api/users/1").status, 200);
    }

    api.service.signal(Signal::TERM).unwrap();
    let started = Instant::now();
    let exit = api.service.wait_exit(DEADLINE).unwrap();

    assert_eq!(exit.code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    let stderr = api.service.stderr();
    let told = |exporter: &str| {
        stderr
            .iter()
            .any(|line| line.starts_with(&format!("{exporter}: 0 of ")))
    };
    assert!(told("otlp") && told("loki"), "{stderr:?}");
    let lines = api.lines();
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["target"] == "gatewayz::request")
            .count(),
        5
    );
}
