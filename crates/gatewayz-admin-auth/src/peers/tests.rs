//! Exactness and bounds of the throttle and of the audit lines.

use super::*;

fn peer(address: &str) -> Peer {
    Peer::new(Some(address.parse().unwrap()))
}

fn number(number: u32) -> Peer {
    Peer::V4((0x7f00_0000 + number).to_be_bytes())
}

#[test]
fn twenty_wrong_keys_pass_at_once_and_then_one_a_second() {
    let start = Instant::now();
    let mut peers = Peers::default();

    let at_once = (0..1000)
        .filter(|_| peers.record_wrong_key(number(0), start).is_ok())
        .count();
    let later: Vec<usize> = (1..=60)
        .map(|second| {
            let now = start + Duration::from_secs(second);
            (0..5)
                .filter(|_| peers.record_wrong_key(number(0), now).is_ok())
                .count()
        })
        .collect();

    assert_eq!(at_once, 20);
    assert_eq!(later, [1; 60]);
}

#[test]
fn the_wait_is_told_to_the_nanosecond() {
    let start = Instant::now();
    let mut peers = Peers::default();
    for _ in 0..20 {
        peers.record_wrong_key(number(0), start).unwrap();
    }

    let wait = peers
        .record_wrong_key(number(0), start + Duration::from_millis(300))
        .unwrap_err();
    let almost = start + Duration::from_nanos(999_999_999);

    assert_eq!(wait, Duration::from_millis(700));
    assert_eq!(
        peers.record_wrong_key(number(0), almost),
        Err(Duration::from_nanos(1))
    );
    assert_eq!(
        peers.record_wrong_key(number(0), almost + Duration::from_nanos(1)),
        Ok(())
    );
}

#[test]
fn the_whole_burst_is_back_after_twenty_quiet_seconds_and_never_more() {
    let start = Instant::now();
    let mut peers = Peers::default();
    for _ in 0..20 {
        peers.record_wrong_key(number(0), start).unwrap();
    }

    for quiet in [20, 3600] {
        let now = start + Duration::from_secs(quiet);
        let passed = (0..100)
            .filter(|_| peers.record_wrong_key(number(0), now).is_ok())
            .count();

        assert_eq!(passed, 20);
    }
}

#[test]
fn peers_do_not_share_a_throttle() {
    let now = Instant::now();
    let mut peers = Peers::default();
    for _ in 0..21 {
        let _ = peers.record_wrong_key(number(0), now);
    }

    assert!(peers.record_wrong_key(number(0), now).is_err());
    assert!(peers.record_wrong_key(number(1), now).is_ok());
}

#[test]
fn an_ipv6_peer_is_its_64_and_a_mapped_address_is_ipv4() {
    assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
    assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    assert_ne!(peer("::ffff:192.0.2.1"), peer("::ffff:192.0.2.2"));
}

#[test]
fn a_hundred_thousand_peers_stay_within_ten_thousand_records() {
    let now = Instant::now();
    let mut peers = Peers::default();

    for count in 0..100_000 {
        peers.record_wrong_key(number(count), now).unwrap();
        peers.record_failure(number(count), now);
    }

    assert_eq!(peers.records.len(), MAX_PEERS);
    assert_eq!(peers.order.len(), MAX_PEERS);
    assert!(peers.records.contains_key(&number(90_000)));
    assert!(!peers.records.contains_key(&number(89_999)));
}

#[test]
fn the_peer_that_failed_last_is_forgotten_last() {
    let now = Instant::now();
    let mut peers = Peers::default();
    for _ in 0..20 {
        peers.record_wrong_key(number(0), now).unwrap();
    }

    for count in 1..50_000 {
        peers.record_wrong_key(number(count), now).unwrap();
        if count % 1000 == 0 {
            assert!(peers.record_wrong_key(number(0), now).is_err());
        }
    }

    assert!(peers.records.contains_key(&number(0)));
}

#[test]
fn ten_failures_a_minute_get_a_line_and_the_next_line_tells_the_rest() {
    let start = Instant::now();
    let mut peers = Peers::default();

    let minute: Vec<Line> = (0..59)
        .map(|second| peers.record_failure(number(0), start + Duration::from_secs(second)))
        .collect();
    let next = peers.record_failure(number(0), start + Duration::from_secs(60));
    let after = peers.record_failure(number(0), start + Duration::from_secs(61));

    assert_eq!(minute[..10], [Line::Write { suppressed: 0 }; 10]);
    assert_eq!(minute[10..], [Line::Suppress; 49]);
    assert_eq!(next, Line::Write { suppressed: 49 });
    assert_eq!(after, Line::Write { suppressed: 0 });
}
