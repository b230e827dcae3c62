//! The gatewayz-api service.

pub mod settings;
