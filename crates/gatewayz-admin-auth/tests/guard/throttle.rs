//! How wrong keys are slowed down, with a clock that the test moves.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::App;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::test::{TestRequest, call_service, init_service};
use gatewayz_admin_auth::{Guard, Published};

use crate::support::{KEY, WRONG_KEY, attempts, bearer, call, count, guard, routes, send};

/// A guard and the milliseconds that its clock shows.
fn timed_guard() -> (Guard, Arc<AtomicU64>) {
    let start = Instant::now();
    let milliseconds = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&milliseconds);
    let guard = guard(&[KEY], Published::Refused)
        .with_clock(move || start + Duration::from_millis(clock.load(Ordering::Relaxed)));
    (guard, milliseconds)
}

async fn wrong(guard: &Guard) -> StatusCode {
    send(guard, call("/admin/1", Some(&bearer(WRONG_KEY))))
        .await
        .status
}

#[actix_web::test]
async fn the_twenty_first_wrong_key_is_429_until_a_second_has_passed() {
    let (guard, milliseconds) = timed_guard();
    for _ in 0..20 {
        assert_eq!(wrong(&guard).await, StatusCode::UNAUTHORIZED);
    }

    let answer = send(&guard, call("/admin/1", Some(&bearer(WRONG_KEY)))).await;
    milliseconds.store(999, Ordering::Relaxed);
    let almost = wrong(&guard).await;
    milliseconds.store(1000, Ordering::Relaxed);
    let after = [wrong(&guard).await, wrong(&guard).await];

    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.header(&RETRY_AFTER), Some("1"));
    assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(&WWW_AUTHENTICATE), None);
    assert_eq!(almost, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(after, [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS]);
    assert_eq!(count(&guard, "refused", "wrong_key"), 21);
    assert_eq!(count(&guard, "throttled", "wrong_key"), 3);
}

#[actix_web::test]
async fn a_right_key_passes_from_a_throttled_peer() {
    let (guard, _) = timed_guard();
    for _ in 0..100 {
        wrong(&guard).await;
    }

    let right = send(&guard, call("/admin/1", Some(&bearer(KEY)))).await;
    let wrong = wrong(&guard).await;

    assert_eq!(right.status, StatusCode::OK);
    assert_eq!(wrong, StatusCode::TOO_MANY_REQUESTS);
}

#[actix_web::test]
async fn a_missing_key_or_a_malformed_header_is_no_failure() {
    let (guard, _) = timed_guard();

    for _ in 0..50 {
        for value in [None, Some("Basic x"), Some("Bearer ")] {
            assert_eq!(
                send(&guard, call("/admin/1", value)).await.status,
                StatusCode::UNAUTHORIZED
            );
        }
    }

    assert_eq!(wrong(&guard).await, StatusCode::UNAUTHORIZED);
}

#[actix_web::test]
async fn a_throttled_peer_still_learns_that_a_key_is_missing() {
    let (guard, _) = timed_guard();
    for _ in 0..30 {
        wrong(&guard).await;
    }

    let answer = send(&guard, call("/admin/1", None)).await;

    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[actix_web::test]
async fn a_forwarding_header_does_not_make_another_peer() {
    let (guard, _) = timed_guard();
    for number in 0..20 {
        let request = call("/admin/1", Some(&bearer(WRONG_KEY)))
            .append_header(("x-forwarded-for", format!("198.51.100.{number}")))
            .append_header(("forwarded", format!("for=198.51.100.{number}")));
        assert_eq!(send(&guard, request).await.status, StatusCode::UNAUTHORIZED);
    }

    let request =
        call("/admin/1", Some(&bearer(WRONG_KEY))).append_header(("x-forwarded-for", "203.0.113.9"));
    let answer = send(&guard, request).await;

    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}

#[actix_web::test]
async fn wrong_keys_on_an_optional_route_count_but_never_close_it() {
    let (guard, _) = timed_guard();

    for _ in 0..25 {
        let answer = send(&guard, call("/optional", Some(&bearer(WRONG_KEY)))).await;
        assert_eq!(answer.status, StatusCode::OK);
    }

    assert_eq!(count(&guard, "throttled", "wrong_key"), 5);
    assert_eq!(wrong(&guard).await, StatusCode::TOO_MANY_REQUESTS);
}

#[actix_web::test]
async fn a_right_key_works_amid_wrong_ones_from_a_hundred_thousand_addresses() {
    let (guard, _) = timed_guard();
    let service = init_service(App::new().configure(routes).wrap(guard.clone())).await;

    for number in 0..100_000_u32 {
        let peer = SocketAddr::from((Ipv4Addr::from(0x7f00_0001 + number), 1000));
        let key = if number % 1000 == 0 { KEY } else { WRONG_KEY };
        let request = TestRequest::with_uri("/admin/1")
            .peer_addr(peer)
            .append_header((AUTHORIZATION, bearer(key)));
        let response = call_service(&service, request.to_request()).await;

        let expected = if key == KEY {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        assert_eq!(response.status(), expected);
    }

    assert_eq!(count(&guard, "accepted", "valid_key"), 100);
    assert_eq!(count(&guard, "refused", "wrong_key"), 99_900);
    assert_eq!(attempts(&guard), 100_000);
}
