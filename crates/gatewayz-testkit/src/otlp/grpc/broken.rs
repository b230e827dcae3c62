//! Answers that are no answers, as far as gRPC can carry them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body_util::channel::{Channel, SendError, Sender};
use tonic::body::Body;

use super::connection::{End, Ender};
use crate::serve::{BOMB, DRIP_INTERVAL, ENDLESS_BYTES, Reply, STUCK_START, Traffic, Whole};

type Bodies = Sender<Bytes>;

/// Does not return when there is to be no answer.
pub(super) async fn response(reply: &Reply, ender: Option<Ender>, traffic: &Arc<Traffic>) -> Response<Body> {
    let end = |end| {
        if let Some(ender) = &ender {
            ender.end(end);
        }
    };
    match reply {
        Reply::Hang => {}
        Reply::Cut => end(End::Close),
        Reply::Reset => end(End::Reset),
        Reply::Whole(whole) | Reply::WholeThenClose(whole) => return plain(whole),
        Reply::Endless(status) => {
            let traffic = Arc::clone(traffic);
            return message(*status, "identity", move |body| endless(body, traffic));
        }
        Reply::GzipBomb(status) => return message(*status, "gzip", gzip_bomb),
        Reply::Drip(status) => return message(*status, "identity", drip),
        Reply::Stuck(status) => return message(*status, "identity", stuck),
    }
    std::future::pending().await
}

fn plain(whole: &Whole) -> Response<Body> {
    let mut response = Response::builder().status(whole.status);
    for (name, value) in &whole.headers {
        response = response.header(name, value);
    }
    response.body(Body::empty()).expect("a scripted answer")
}

/// A response whose body is filled as far as the client takes it.
fn message<F>(status: u16, encoding: &str, fill: impl FnOnce(Bodies) -> F) -> Response<Body>
where
    F: Future<Output = Result<(), SendError>> + Send + 'static,
{
    let (sender, body) = Channel::<Bytes>::new(1);
    // A client that leaves ends it with an error.
    tokio::spawn(fill(sender));
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a scripted HTTP status"))
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .body(Body::new(body))
        .expect("a scripted answer")
}

/// What is before each message of gRPC.
fn prefix(is_compressed: bool, length: u32) -> Bytes {
    let mut prefix = BytesMut::new();
    prefix.put_u8(is_compressed.into());
    prefix.put_u32(length);
    prefix.freeze()
}

async fn endless(mut body: Bodies, traffic: Arc<Traffic>) -> Result<(), SendError> {
    body.send_data(prefix(false, ENDLESS_BYTES as u32)).await?;
    let part = Bytes::from(vec![b'x'; 64 * 1024]);
    for _ in 0..ENDLESS_BYTES / part.len() as u64 {
        body.send_data(part.clone()).await?;
        traffic.sent(part.len());
    }
    Ok(())
}

async fn gzip_bomb(mut body: Bodies) -> Result<(), SendError> {
    body.send_data(prefix(true, BOMB.len() as u32)).await?;
    body.send_data(BOMB.clone()).await
}

async fn drip(mut body: Bodies) -> Result<(), SendError> {
    // Small enough to be waited for, and more than a day at this speed.
    body.send_data(prefix(false, 1 << 20)).await?;
    loop {
        body.send_data(Bytes::from_static(b"x")).await?;
        tokio::time::sleep(DRIP_INTERVAL).await;
    }
}

async fn stuck(mut body: Bodies) -> Result<(), SendError> {
    body.send_data(prefix(false, 99)).await?;
    body.send_data(Bytes::from_static(STUCK_START)).await?;
    std::future::pending().await
}
