//! Ordinary traffic, every answer looked at.

use std::thread;

use crate::harness::Api;

const CONNECTIONS: usize = 4;

/// Sends `count` requests over a few connections; each must be answered with `status`.
#[track_caller]
pub(super) fn requests(api: &Api, count: usize, path: &str, status: u16) {
    let failed: usize = thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                let share = count / CONNECTIONS + usize::from(connection < count % CONNECTIONS);
                scope.spawn(move || {
                    let mut client = api.client();
                    let answers = (0..share).map(|_| client.get(path, &[]));
                    answers
                        .filter(|answer| !matches!(answer, Ok(answer) if answer.status == status))
                        .count()
                })
            })
            .collect();
        connections
            .into_iter()
            .map(|connection| connection.join().unwrap())
            .sum()
    });
    assert_eq!(
        failed, 0,
        "of {count} requests to {path}, so many were not answered {status}"
    );
}

/// The same, and waits until all of them are counted on top of `before`.
#[track_caller]
pub(super) fn counted_requests(api: &Api, count: usize, path: &str, status: u16) {
    let before = api.scrape().sum("fastapi_requests_total", &[]);
    requests(api, count, path, status);
    api.wait_for_requests(before + count as f64);
}
