//! TLS that all clients share.

use std::error::Error;
use std::fmt;
use std::sync::OnceLock;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::ConfigVerifierExt;

/// Why there is no TLS for clients.
#[derive(Debug)]
pub struct TlsError(rustls::Error);

/// Chooses the process's TLS implementation, unless it has chosen one already.
pub fn install_crypto_provider() {
    let _ = ring::default_provider().install_default();
}

/// The TLS of every client: trusts what the system trusts, and offers HTTP/1.1. After an error the next call tries again.
///
/// # Errors
/// When the system's certificates cannot be read.
pub fn client_tls() -> Result<ClientConfig, TlsError> {
    // Reading the certificates takes most of the time that a client takes to be made.
    static SHARED: OnceLock<ClientConfig> = OnceLock::new();
    install_crypto_provider();
    if let Some(config) = SHARED.get() {
        return Ok(config.clone());
    }
    let mut config = ClientConfig::with_platform_verifier().map_err(TlsError)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(SHARED.get_or_init(|| config).clone())
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("read the certificates that the system trusts")
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_systems_certificates_are_read_once() {
        let made_by = |config: &ClientConfig| Arc::as_ptr(&config.key_log).cast::<()>();
        let (first, second) = (client_tls().unwrap(), client_tls().unwrap());

        assert_eq!(made_by(&first), made_by(&second));
        assert_eq!(first.alpn_protocols, [b"http/1.1"]);
    }
}
