//! What answers that mean harm cost in memory. Alone in its process, whose memory it reads.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{read_to_string, write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatewayz_delivery::{Batch, Sink};
use gatewayz_testkit::otlp::{Answer, Receiver};
use gatewayz_tracing::otlp::{OtlpSettings, OtlpSink, Protocol};

const GROWTH_MAX_KIB: u64 = 2 * 1024;

/// A figure of `/proc/self/status` in KiB.
fn kib(name: &str) -> u64 {
    let status = read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn send(protocol: Protocol, receiver: &Receiver, answer: &Answer) {
    receiver.answer_next(vec![answer.clone()]);
    let endpoint = match protocol {
        Protocol::Grpc => receiver.grpc_endpoint(),
        Protocol::HttpProtobuf => format!("{}/v1/traces", receiver.http_endpoint()),
    };
    let mut sink = OtlpSink::new(&OtlpSettings {
        protocol,
        endpoint: endpoint.parse().unwrap(),
        headers: Vec::new(),
        gzip: false,
        resource: Vec::new(),
    })
    .unwrap();
    let batch = Arc::new(Batch::from_records([b"\x12\0".as_slice()]));
    sink.send(&batch, Instant::now() + Duration::from_secs(2));
}

#[test]
fn an_answer_of_a_gibibyte_costs_no_more_memory_than_what_is_read_of_it() {
    let receiver = Receiver::start();
    let answers = [
        Answer::EndlessBody(200),
        Answer::EndlessBody(400),
        Answer::GzipBomb(200),
        Answer::Drip(200),
    ];
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        for answer in &answers {
            // The first time also pays for what stays: the bomb, the allocator's arenas.
            send(protocol, &receiver, answer);
            write("/proc/self/clear_refs", "5").unwrap();
            let before = kib("VmRSS");

            send(protocol, &receiver, answer);

            let growth = kib("VmHWM").saturating_sub(before);
            assert!(
                growth <= GROWTH_MAX_KIB,
                "{answer:?} over {protocol:?}: {growth} KiB"
            );
        }
    }
}
