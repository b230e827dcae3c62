//! URLs in output and in safety checks.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

/// Domains that never leave a private network: RFC 6761, 6762, 8375, ICANN's `internal`, and Kubernetes.
const PRIVATE_DOMAINS: &[&str] = &[".localhost", ".local", ".internal", ".home.arpa", ".svc"];

/// The URL without user name, password, query and fragment, fit for logs and endpoints.
pub fn redacted_url(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Fails only for URLs without a host, which carry no user name.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.into()
}

/// True when the host is a loopback, private or link-local address, a name of
/// one label such as `loki`, or in a domain reserved for private networks.
///
/// Plain `http` with credentials is acceptable only to such a host.
pub fn is_private_host(url: &Url) -> bool {
    match url.host() {
        None => false,
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            !name.contains('.') || PRIVATE_DOMAINS.iter().any(|domain| name.ends_with(domain))
        }
        Some(Host::Ipv4(address)) => is_private_address(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_private_address(IpAddr::V6(address)),
    }
}

fn is_private_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared(address)
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// The shared address space 100.64.0.0/10 of RFC 6598, used inside clouds and overlay networks.
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::{Url, is_private_host, redacted_url};

    #[test]
    fn a_shown_url_has_no_credentials_query_or_fragment() {
        let url = Url::parse("https://user:pass@host:3100/loki/api/v1/push?token=secret#part").unwrap();

        assert_eq!(redacted_url(&url), "https://host:3100/loki/api/v1/push");
    }

    #[test]
    fn only_hosts_that_stay_inside_are_private() {
        for private in [
            "http://loki:3100",
            "http://localhost",
            "http://127.0.0.1",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://100.64.0.1",
            "http://[::1]",
            "http://[fd00::1]",
            "http://[::ffff:10.0.0.1]",
            "http://tempo.railway.internal:4318",
            "http://loki.monitoring.svc.cluster.local",
            "http://loki.monitoring.svc",
        ] {
            assert!(is_private_host(&Url::parse(private).unwrap()), "{private}");
        }
        for public in [
            "http://example.com",
            "http://8.8.8.8",
            "http://172.32.0.1",
            "http://100.128.0.1",
            "http://[2001:db8::1]",
            "http://[::ffff:8.8.8.8]",
            "http://local.example",
            "http://10.0.0.1.example.com",
        ] {
            assert!(!is_private_host(&Url::parse(public).unwrap()), "{public}");
        }
    }
}
