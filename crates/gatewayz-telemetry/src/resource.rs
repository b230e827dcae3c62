//! The resource: who made the spans, in one list that is exported and shown.

use std::collections::BTreeMap;

use crate::settings::TelemetrySettings;

/// The attributes as they are exported, in the order of their names, each name once.
///
/// Of two given attributes of one name the last stays. A given attribute stays instead of the service's own, except
/// its name, which has a setting of its own.
pub(crate) fn resource(settings: &TelemetrySettings) -> Vec<(String, String)> {
    let own = [
        ("service.version", settings.service_version.clone()),
        ("service.instance.id", uuid()),
        ("deployment.environment.name", settings.environment.clone()),
    ];
    let name = ("service.name".to_owned(), settings.service_name.clone());
    let given = settings.traces.resource.iter().cloned();
    let attributes: BTreeMap<String, String> = own
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .chain(given)
        .chain([name])
        .collect();
    attributes.into_iter().collect()
}

/// A random UUID (version 4), as the semantic conventions recommend for `service.instance.id`.
fn uuid() -> String {
    let mut bytes = gatewayz_tracing::id::new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut hex = Vec::with_capacity(36);
    for (part, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if part > 0 {
            hex.push(b'-');
        }
        gatewayz_tracing::id::write_hex(bytes.get(range).unwrap_or_default(), &mut hex);
    }
    String::from_utf8_lossy(&hex).into_owned()
}
