//! When an attempt moves on to the next candidate.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use tokio::sync::watch;

use super::{permits, run, whole};
use crate::attempt::{Attempts, Patience};
use crate::budget::RetryBudget;
use crate::call::Call;
use crate::catalog::Operation;
use crate::failure::{Failure, Limit};
use crate::provider::echo::Pieces;
use crate::provider::{Connections, IncomingBody};
use crate::request::Request;
use crate::room::Room;
use crate::routing::testing::routing_to;
use crate::routing::{Candidate, Model};

/// A second after breakers that open now let a call through again.
const LATER: Duration = Duration::from_secs(31);

/// Opens both breakers, lets one attempt see through both, and waits until `expected` of (model, connection) are
/// closed while the attempt is still under way, or until it is over.
async fn probe(script: Script, body: &'static str, expected: (bool, bool)) -> (bool, bool) {
    let provider = FaultyProvider::always(script);
    let routing = routing_to(&provider.base_url(), 0.1);
    let model: &Model = &routing.models["m"];
    let candidate: &Arc<Candidate> = &model.candidates[0];
    let now = Instant::now();
    for _ in 0..5 {
        candidate.breaker.permit(now).unwrap().failed(now);
        candidate
            .provider
            .connect_breaker
            .permit(now)
            .unwrap()
            .failed(now);
    }
    let permits = permits(candidate, now + LATER).unwrap();
    let attempts = Attempts {
        request: &Request::parse(Operation::Chat, body.into()).unwrap(),
        model,
        call: &Call::default(),
        connections: &Connections::prepared(&routing).unwrap(),
        budget: &RetryBudget::new(now),
        trace_headers: None,
        is_kept: false,
        answer_room: &Room::of(0),
        end: &watch::Sender::default(),
    };
    let patience = Patience {
        until: now + Duration::from_secs(10),
        limit: Limit::Total,
    };
    let closed = || {
        let connect = &candidate.provider.connect_breaker;
        (!candidate.breaker.is_open(), !connect.is_open())
    };
    let watch = async {
        while closed() != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        closed()
    };

    let over = pin!(pending());

    tokio::select! {
        _ = run(&attempts, candidate, permits, 0, patience, over) => closed(),
        closed = watch => closed,
        () = tokio::time::sleep(Duration::from_secs(5)) => closed(),
    }
}

const JSON: &str = r#"{"model":"m","messages":[1]}"#;
const STREAM: &str = r#"{"model":"m","messages":[1],"stream":true}"#;

#[tokio::test]
async fn a_probe_has_seen_enough_when_the_head_is_there() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n".to_vec();
    for body in [JSON, STREAM] {
        let hanging = Script::of([Step::Raw(head.clone()), Step::Hang]);

        assert_eq!(probe(hanging, body, (true, true)).await, (true, true));
    }
}

#[tokio::test]
async fn a_provider_that_takes_connections_and_hangs_is_connected() {
    let hanging = Script::of([Step::Hang]);

    assert_eq!(probe(hanging, JSON, (false, true)).await, (false, true));
}

#[tokio::test]
async fn a_refusal_closes_a_breaker_and_a_limit_does_not() {
    for (status, is_closed) in [(400, true), (422, true), (429, false), (500, false)] {
        let answer = Script::json(status, "{}");

        // Both wait for something that is not there while the attempt runs: it ends first.
        let closed = probe(answer, JSON, (true, false)).await;

        assert_eq!(closed, (is_closed, true), "{status}");
    }
}

#[tokio::test]
async fn a_body_with_always_more_to_read_ends_at_its_time_too() {
    let now = Instant::now();
    let mut body = IncomingBody::Echo(Pieces::Whole(Some("{}".into())));
    let patience = Patience {
        until: now,
        limit: Limit::Total,
    };

    let read = whole(
        &mut body,
        1_024,
        &mut Room::of(0).enter(1),
        Duration::from_secs(1),
        patience,
    )
    .await;

    assert_eq!(read, Err(Failure::Timeout(Limit::Total)));
}
