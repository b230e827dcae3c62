//! TLS that all clients share.

use std::sync::OnceLock;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::ConfigVerifierExt;

/// Chooses the process's TLS implementation, unless it has chosen one already.
pub fn install_crypto_provider() {
    let _ = ring::default_provider().install_default();
}

/// Trusts what the system trusts, and offers HTTP/1.1. `None` when the system's certificates cannot be read; the next
/// call tries again.
pub(super) fn shared() -> Option<ClientConfig> {
    // Reading the certificates takes most of the time that a client takes to be made.
    static SHARED: OnceLock<ClientConfig> = OnceLock::new();
    install_crypto_provider();
    if let Some(config) = SHARED.get() {
        return Some(config.clone());
    }
    let mut config = ClientConfig::with_platform_verifier().ok()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(SHARED.get_or_init(|| config).clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_systems_certificates_are_read_once() {
        let made_by = |config: &ClientConfig| Arc::as_ptr(&config.key_log).cast::<()>();
        let (first, second) = (shared().unwrap(), shared().unwrap());

        assert_eq!(made_by(&first), made_by(&second));
        assert_eq!(first.alpn_protocols, [b"http/1.1"]);
    }
}
