//! Names that are not in the schema: typos, unsupported standards, and what Kubernetes injects.

use crate::Schema;

const LONGEST_COMPARED: usize = 64;
const SHORTEST_GUESSED: usize = 8;

/// What is odd about an unknown name, or `None` for a variable that is somebody else's.
pub(crate) fn concern(schema: &Schema, name: &str) -> Option<String> {
    if schema.unsupported.contains(&name) {
        return Some("is not supported and has no effect".to_owned());
    }
    let nearest = nearest(schema, name);
    let prefixed = schema.prefixes.iter().any(|prefix| name.starts_with(prefix));
    match nearest {
        Some((known, distance)) if prefixed || (distance <= 1 && name.len() >= SHORTEST_GUESSED) => {
            Some(format!("is unknown and has no effect, did you mean {known}?"))
        }
        Some(_) | None if prefixed => Some("is unknown and has no effect".to_owned()),
        Some(_) | None => None,
    }
}

/// The name to suggest instead of an unknown one.
pub(crate) fn suggestion(schema: &Schema, name: &str) -> Option<&'static str> {
    nearest(schema, name).map(|(known, _)| known)
}

/// True for the variables that Kubernetes and Docker links set for a service named like ours.
///
/// A service `loki` brings `LOKI_PORT=tcp://10.0.0.7:3100`, `LOKI_SERVICE_HOST`,
/// `LOKI_SERVICE_PORT_HTTP`, `LOKI_PORT_3100_TCP_ADDR` and so on.
pub(crate) fn is_service_link(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let is_port_member = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|protocol| rest.contains(protocol))
    });
    (name.ends_with("_PORT") && is_address)
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || is_port_member
}

/// A name from outside, safe to print: escaped and at most 64 characters.
pub(crate) fn printable(name: &str) -> String {
    let mut characters = name.chars();
    let mut printable: String = characters
        .by_ref()
        .take(LONGEST_COMPARED)
        .flat_map(char::escape_debug)
        .collect();
    if characters.next().is_some() {
        printable.push('…');
    }
    printable
}

fn nearest(schema: &Schema, name: &str) -> Option<(&'static str, usize)> {
    if name.len() > LONGEST_COMPARED {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let allowed = if upper.len() >= SHORTEST_GUESSED { 2 } else { 1 };
    schema
        .settings()
        .map(|setting| (setting.name, distance(upper.as_bytes(), setting.name.as_bytes())))
        .filter(|(_, distance)| *distance <= allowed)
        .min_by_key(|(_, distance)| *distance)
}

/// Insertions, deletions, substitutions and swaps of neighbours between two names.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before_last = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, left_byte) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right_byte) in right.iter().enumerate() {
            let substituted = last[column] + usize::from(left_byte != right_byte);
            let mut best = substituted.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && left[row - 1] == *right_byte && *left_byte == right[column - 1];
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, is_service_link, printable};

    #[test]
    fn a_swap_of_neighbours_is_one_step() {
        assert_eq!(distance(b"LOKI_PUSH_URL", b"LOKI_PUHS_URL"), 1);
        assert_eq!(distance(b"PORT", b"PORTS"), 1);
        assert_eq!(distance(b"", b"PORT"), 4);
    }

    #[test]
    fn kubernetes_service_links_are_recognized() {
        for (name, value) in [
            ("TEMPO_PORT", "tcp://10.0.0.7:4317"),
            ("TEMPO_SERVICE_HOST", "10.0.0.7"),
            ("TEMPO_SERVICE_PORT", "4317"),
            ("TEMPO_SERVICE_PORT_OTLP_GRPC", "4317"),
            ("LOKI_PORT_3100_TCP", "tcp://10.0.0.7:3100"),
            ("LOKI_PORT_3100_TCP_ADDR", "10.0.0.7"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        assert!(!is_service_link("TEMPO_PORT", "4317"));
        assert!(!is_service_link("PORT", "tcp://10.0.0.7:80"));
    }

    #[test]
    fn a_name_from_outside_cannot_write_control_characters() {
        assert_eq!(printable("A\u{1b}[31m\n"), "A\\u{1b}[31m\\n");
        assert_eq!(printable(&"N".repeat(100)).chars().count(), 65);
    }
}
