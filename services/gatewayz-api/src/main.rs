//! The gatewayz-api service.

fn main() {}
