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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::rc::Rc;

    use actix_web::body::{BodySize, MessageBody};
    use actix_web::rt::{self, System};

    use super::*;

    #[test]
    fn others_have_a_turn_before_each_piece_of_a_long_body() {
        let long: Vec<u8> = (0..=250_u8).cycle().take(3 * PIECE_BYTES + 1).collect();
        let body = in_pieces(long.clone().into());
        assert_eq!(body.size(), BodySize::Sized(long.len() as u64));

        let (pieces, turns) = System::new().block_on(async {
            let turns = Rc::new(Cell::new(0));
            let counted = Rc::clone(&turns);
            let other = rt::spawn(async move {
                loop {
                    counted.set(counted.get() + 1);
                    yield_now().await;
                }
            });
            let mut body = pin!(body);
            let mut pieces = Vec::new();
            while let Some(piece) = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await {
                pieces.push((piece.unwrap(), turns.get()));
            }
            other.abort();
            pieces.into_iter().unzip::<_, _, Vec<Bytes>, Vec<usize>>()
        });

        let lengths: Vec<usize> = pieces.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 1]);
        assert_eq!(pieces.concat(), long);
        assert!(
            turns.windows(2).all(|pair| pair[0] < pair[1]) && turns[0] > 0,
            "{turns:?}"
        );
    }

    #[test]
    fn a_short_body_is_one_piece() {
        let body = in_pieces(Bytes::from_static(b"short"));

        assert_eq!(body.try_into_bytes().unwrap(), "short");
    }
}
