//! The signals agree, with spans exported over OTLP/gRPC.

mod agree;
mod serving;

#[test]
fn every_request_leaves_one_sample_one_line_and_one_span_over_grpc() {
    agree::check(gatewayz_tracing::otlp::Protocol::Grpc);
}
