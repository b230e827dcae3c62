//! The signals agree, with spans exported over OTLP/HTTP.

mod agree;
mod serving;

#[test]
fn every_request_leaves_one_sample_one_line_and_one_span_over_http() {
    agree::check(gatewayz_tracing::otlp::Protocol::HttpProtobuf);
}
