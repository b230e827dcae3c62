//! The same with the time that a real outage takes: `cargo xtask test --all`.

use std::time::{Duration, Instant};

use gatewayz_testkit::process::Output;
use gatewayz_testkit::proxy::{Fault, Proxy};
use gatewayz_testkit::{loki, otlp};

use super::books::{Books, lost};
use super::load::counted_requests;
use super::{assert_memory_bounded, spawn};
use crate::harness::{Api, DEADLINE, wait_for};

const BOUNDS: u64 = (8 + 10 + 16) << 20;

/// Everything is sent with the settings of a deployment.
struct Deployed {
    loki: loki::Receiver,
    otlp: otlp::Receiver,
    loki_proxy: Proxy,
    otlp_proxy: Proxy,
    api: Api,
}

impl Deployed {
    #[track_caller]
    fn start() -> Self {
        let (loki, otlp) = (loki::Receiver::start(), otlp::Receiver::start());
        let loki_proxy = Proxy::start(loki.address());
        let otlp_proxy = Proxy::start(otlp.grpc_address());
        let push_url = format!("http://{}", loki_proxy.address());
        let endpoint = format!("http://{}", otlp_proxy.address());
        let api = spawn(
            Output::Read,
            &[
                ("LOKI_ENABLED", "true"),
                ("LOKI_PUSH_URL", &push_url),
                ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
            ],
        );
        Self {
            loki,
            otlp,
            loki_proxy,
            otlp_proxy,
            api,
        }
    }

    fn fault(&self, fault: Fault) {
        self.loki_proxy.set(fault);
        self.otlp_proxy.set(fault);
    }

    #[track_caller]
    fn settled(&self) -> (Books, Books) {
        let read = || (Books::of_lines(&self.api, "loki"), Books::of_spans(&self.api));
        // A backoff of up to 30 s may have just begun when the outage ends.
        let settled = wait_for(Duration::from_secs(90), || {
            let (lines, spans) = read();
            let still = lines.queued == 0.0 && spans.queued == 0.0;
            (still && lines.balance() && spans.balance()).then_some((lines, spans))
        });
        settled.unwrap_or_else(|| panic!("the books do not balance: {:?}", read()))
    }
}

#[test]
#[ignore = "takes two minutes"]
fn an_outage_of_a_minute_under_load_costs_nothing() {
    for fault in [Fault::Refuse, Fault::Hang] {
        let deployed = Deployed::start();
        counted_requests(&deployed.api, 100, "/api/users/1", 200);
        deployed.settled();
        let memory = deployed.api.service.memory_bytes().unwrap();

        deployed.fault(fault);
        let over = Instant::now() + Duration::from_secs(45);
        let mut requests = 0;
        while Instant::now() < over {
            // 200 a second, which the queues hold for a minute.
            counted_requests(&deployed.api, 200, "/api/users/1", 200);
            requests += 200;
            std::thread::sleep(Duration::from_secs(1));
        }
        assert_memory_bounded(&deployed.api.service, memory, BOUNDS);
        deployed.fault(Fault::Pass);

        let (lines, spans) = deployed.settled();
        assert!(requests > 5_000, "{requests}");
        assert_eq!(
            lines.discarded(),
            lost(&deployed.api, "loki", "enqueue_failed", "self_notice"),
            "{lines:?}"
        );
        assert_eq!(deployed.loki.unique_count() as f64, lines.delivered);
        assert_eq!(
            (spans.discarded(), spans.delivered),
            (0.0, f64::from(requests + 100)),
            "{spans:?}"
        );
        assert_eq!(deployed.otlp.unique_span_count() as f64, spans.delivered);
    }
}

#[test]
#[ignore = "takes two minutes"]
fn an_outage_longer_than_the_queues_does_not_grow_the_process_and_counts_every_loss() {
    let deployed = Deployed::start();
    counted_requests(&deployed.api, 100, "/api/users/1", 200);
    deployed.settled();
    let memory = deployed.api.service.memory_bytes().unwrap();

    deployed.fault(Fault::Hang);
    let fill = Instant::now() + Duration::from_secs(60);
    while lost(&deployed.api, "loki", "enqueue_failed", "shed") == 0.0 {
        assert!(Instant::now() < fill, "the queue of Loki did not fill");
        counted_requests(&deployed.api, 5_000, "/api/users/1", 200);
    }
    let full = deployed.api.service.memory_bytes().unwrap();
    let over = Instant::now() + Duration::from_secs(45);
    while Instant::now() < over {
        counted_requests(&deployed.api, 2_000, "/api/users/1", 200);
    }
    counted_requests(&deployed.api, 100, "/nowhere", 404);

    assert_memory_bounded(&deployed.api.service, memory, BOUNDS);
    // What has filled up since is the queue of spans.
    let grown = deployed.api.service.memory_bytes().unwrap().saturating_sub(full);
    assert!(
        grown <= 17 << 20,
        "{grown} bytes more than when the first queue was full"
    );
    deployed.fault(Fault::Pass);
    let (lines, spans) = deployed.settled();
    assert_eq!(deployed.loki.unique_count() as f64, lines.delivered);
    assert_eq!(deployed.otlp.unique_span_count() as f64, spans.delivered);
    let warnings = || {
        let lines = deployed.loki.unique_lines();
        lines
            .iter()
            .filter(|line| line.text.contains("\"/nowhere\""))
            .count()
    };
    assert_eq!(
        wait_for(DEADLINE, || (warnings() == 100).then_some(())),
        Some(()),
        "{} of 100",
        warnings()
    );
}

#[test]
#[ignore = "takes half a minute"]
fn one_worker_serves_twenty_thousand_requests_while_everything_hangs() {
    let deployed = Deployed::start();
    deployed.fault(Fault::Hang);

    counted_requests(&deployed.api, 20_000, "/api/users/1", 200);

    assert_eq!(deployed.api.get("/ready").status, 200);
    deployed.fault(Fault::Pass);
    let (lines, spans) = deployed.settled();
    assert!(lines.balance() && spans.balance());
    assert_eq!(deployed.otlp.unique_span_count() as f64, spans.delivered);
}
