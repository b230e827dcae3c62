//! What a line takes.

use divan::{Bencher, black_box};
use gatewayz_logging::{Endpoint, LineEncoder, LineSettings, RequestLine, write_escaped, write_timestamp};

const NOW_NANOS: u64 = 1_790_000_000_123_456_789;

fn main() {
    divan::main();
}

fn encoder() -> LineEncoder {
    LineEncoder::new(&LineSettings {
        service: "bench".to_owned(),
        environment: "local".to_owned(),
        line_max_bytes: 16 * 1024,
    })
}

#[divan::bench]
fn request_line(bencher: Bencher<'_, '_>) {
    let encoder = encoder();
    let prepared = encoder.prepare_request("GET", 200, Some("/api/users/{id}"));
    let endpoint = Endpoint::new("/api/users/1");
    let request = RequestLine {
        unix_nanos: NOW_NANOS,
        duration_nanos: 42_000,
        endpoint: &endpoint,
        trace_id: b"4bf92f3577b34da6a3ce929d0e0e4736",
        span_id: b"00f067aa0ba902b7",
        exception: None,
        fields: None,
    };
    let mut line = Vec::with_capacity(1024);

    bencher.bench_local(|| {
        line.clear();
        encoder.write_request(&prepared, black_box(&request), &mut line);
        line.len()
    });
}

#[divan::bench]
fn timestamp(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(64);

    bencher.bench_local(|| {
        out.clear();
        write_timestamp(black_box(NOW_NANOS), &mut out);
        out.len()
    });
}

#[divan::bench(args = ["/api/users/1", "a \"quoted\" text\nwith two lines"])]
fn escape(bencher: Bencher<'_, '_>, text: &str) {
    let mut out = Vec::with_capacity(64);

    bencher.bench_local(|| {
        out.clear();
        write_escaped(black_box(text), 512, &mut out)
    });
}
