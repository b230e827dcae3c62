//! Long bodies, sent so that the worker's other connections go on.

use std::convert::Infallible;

use actix_web::body::{BoxBody, SizedStream};
use actix_web::rt::task::yield_now;
use actix_web::web::Bytes;
use futures_util::stream;

const PIECE_BYTES: usize = 64 * 1024;

/// A body that the server gets in pieces of 64 KiB, with a turn for the worker's other connections after each.
///
/// The server copies a body that it is given whole, in one go, into its buffer for the connection: a long one is in
/// memory twice then, and whatever else the worker serves waits for the copy and for the system to take it.
#[must_use]
pub fn in_pieces(body: Bytes) -> BoxBody {
    if body.len() <= PIECE_BYTES {
        return BoxBody::new(body);
    }
    let length = body.len() as u64;
    let pieces = stream::unfold(body, |mut rest| async {
        if rest.is_empty() {
            return None;
        }
        yield_now().await;
        let piece = rest.split_to(PIECE_BYTES.min(rest.len()));
        Some((Ok::<_, Infallible>(piece), rest))
    });
    BoxBody::new(SizedStream::new(length, Box::pin(pieces)))
}
