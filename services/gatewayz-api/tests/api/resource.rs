//! The resource of the spans: what arrives is what `tempo/status` shows.

use std::collections::BTreeMap;

use gatewayz_testkit::otlp::Receiver;
use serde_json::Value;

use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, spawn};

#[track_caller]
fn shown(api: &Api) -> Value {
    let answer = api.admin("GET", "/api/instrumentation/tempo/status", b"");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Attributes as shown, once they are found equal to those of a span that arrived.
#[track_caller]
fn exported(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let receiver = Receiver::start();
    let endpoint = receiver.grpc_endpoint();
    let defaults = [
        ("ADMIN_API_KEY", PUBLISHED_KEY),
        ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ];
    let environment: Vec<_> = defaults.iter().chain(variables).copied().collect();
    let api = spawn(&environment);

    let shown = shown(&api);
    receiver.wait_for(1, DEADLINE).unwrap();

    let span = receiver.spans().remove(0);
    let received: Vec<(&str, &str)> = span
        .resource_attributes
        .iter()
        .map(|(key, _)| (key.as_str(), span.resource_string(key).unwrap()))
        .collect();
    let listed: Vec<(&str, &str)> = shown["resource_attributes"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
        .collect();
    assert_eq!(listed, received);
    assert_eq!(
        shown["service_name"],
        shown["resource_attributes"]["service.name"]
    );
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    received.into_iter().map(owned).collect()
}

#[test]
fn the_resource_that_is_shown_is_the_one_that_spans_carry() {
    let given = "service.name=other,team=first,team=last,service.version=9.9";

    let attributes = exported(&[("SERVICE_NAME", "shop"), ("OTEL_RESOURCE_ATTRIBUTES", given)]);

    assert_eq!(attributes["service.name"], "shop");
    assert_eq!(attributes["team"], "last");
    assert_eq!(attributes["service.version"], "9.9");
    assert_eq!(attributes["deployment.environment.name"], "local");
    assert_eq!(attributes["service.instance.id"].len(), 36);
    assert_eq!(attributes.len(), 5);
}

#[test]
fn a_name_and_an_instance_that_only_the_attributes_give_are_used() {
    let given = "service.name=shop,service.instance.id=pod-1";

    let attributes = exported(&[("OTEL_RESOURCE_ATTRIBUTES", given)]);

    assert_eq!(attributes["service.name"], "shop");
    assert_eq!(attributes["service.instance.id"], "pod-1");
}

#[test]
fn the_resource_is_shown_before_there_is_an_export() {
    let api = spawn(&[
        ("ADMIN_API_KEY", PUBLISHED_KEY),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=platform"),
    ]);

    let attributes = &shown(&api)["resource_attributes"];

    assert_eq!(attributes["team"], "platform");
    assert_eq!(attributes["service.instance.id"].as_str().unwrap().len(), 36);
}
