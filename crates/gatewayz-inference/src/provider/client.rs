//! The client of calls: connections kept for reuse, and nothing around them.
//!
//! It has the settings of [`client_builder`](gatewayz_delivery::http::client_builder). No redirect is followed, no
//! proxy asked, nothing decompressed: it could do none of that.

use std::error::Error;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gatewayz_delivery::http::{IDLE_TIMEOUT, TlsError, client_tls};
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

/// After this time without a word, the system asks whether the provider is still there.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(15);
const TCP_KEEP_ALIVE_RETRIES: u32 = 3;
/// Longest time that sent bytes may stay without an acknowledgement.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) type Client = legacy::Client<Connector, Full<Bytes>>;

/// Opens connections within a time limit, TLS included.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

/// A client whose connections are there within `connect_timeout`.
///
/// # Errors
/// TLS cannot be set up.
pub(super) fn client(connect_timeout: Duration) -> Result<Client, TlsError> {
    let mut tcp = HttpConnector::new();
    // The connector around it speaks TLS where the URL asks for it.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_keepalive(Some(TCP_KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(TCP_KEEP_ALIVE));
    tcp.set_keepalive_retries(Some(TCP_KEEP_ALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    let connector = Connector {
        inner: HttpsConnector::from((tcp, client_tls()?)),
        limit: connect_timeout,
    };
    Ok(legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector))
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let connecting = timeout(self.limit, self.inner.call(destination));
        async { connecting.await? }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_handshake_that_hangs_ends_with_the_limit_of_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = client(Duration::from_millis(50)).unwrap();

        let call = client.get(format!("https://{address}/").parse().unwrap());
        let failed = timeout(Duration::from_secs(10), call).await.unwrap().unwrap_err();

        assert!(failed.is_connect(), "{failed}");
    }
}
