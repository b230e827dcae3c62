//! A small HTTP/1.1 server that can fail in the ways in which a backend fails.
//!
//! Written on the socket, because a proper server library refuses to misbehave.

mod reply;
mod request;
mod traffic;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

pub(crate) use reply::{BOMB, DRIP_INTERVAL, ENDLESS_BYTES, Reply, STUCK_START, Whole, is_success};
use request::Connection;
pub(crate) use request::{MAX_BODY_BYTES, Request, header};
pub(crate) use traffic::{OpenConnection, Traffic};

/// What decides about requests.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Where the sockets are counted.
    fn traffic(&self) -> &Arc<Traffic>;

    /// Dropped unfinished when the sender leaves first.
    fn answer(&self, request: Request) -> impl Future<Output = Reply> + Send;
}

pub(crate) async fn serve(listener: TcpListener, backend: Arc<impl Backend>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("hand the listener to the runtime");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let open = backend.traffic().open_connection();
        let backend = Arc::clone(&backend);
        tokio::spawn(async move {
            // A sender that goes away ends its connection with an error; what it sent is in the backend.
            let _ = converse(stream, &*backend).await;
            drop(open);
        });
    }
}

/// Waits, and not at all when there is no delay: the timer's shortest wait is a millisecond.
pub(crate) async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

async fn converse(stream: TcpStream, backend: &impl Backend) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    let traffic = backend.traffic();
    while let Some(head) = connection.read_head().await? {
        let open = traffic.open_request();
        let closes = head.closes;
        let Some(request) = connection.read_body(head).await? else {
            let too_large = Whole::text(413, "request body too large".to_owned());
            return too_large.write(&mut connection.stream, traffic).await;
        };
        traffic.received(request.body.len());
        let reply = tokio::select! {
            biased;
            reply = backend.answer(request) => reply,
            () = connection.gone() => return Ok(()),
        };
        let goes_on = perform(reply, &mut connection, traffic).await?;
        // No await in between: the sender has the last byte, and its next request is not a second one.
        drop(open);
        if closes || !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns whether the connection can carry another request.
async fn perform(reply: Reply, connection: &mut Connection, traffic: &Traffic) -> std::io::Result<bool> {
    let stream = &mut connection.stream;
    match reply {
        Reply::Whole(whole) => {
            whole.write(stream, traffic).await?;
            return Ok(true);
        }
        Reply::GzipBomb(status) => {
            reply::gzip_bomb(status).write(stream, traffic).await?;
            return Ok(true);
        }
        Reply::Endless(status) => {
            reply::endless(status, stream, traffic).await?;
            return Ok(true);
        }
        Reply::WholeThenClose(whole) => whole.write(stream, traffic).await?,
        Reply::Hang => connection.gone().await,
        Reply::Cut => {}
        Reply::Reset => stream.set_zero_linger()?,
        Reply::Drip(status) => reply::drip(status, stream, traffic).await?,
        Reply::Stuck(status) => {
            reply::stuck(status, stream).await?;
            connection.gone().await;
        }
    }
    Ok(false)
}
