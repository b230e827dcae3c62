//! Clients that know what they asked for and what they were told.

use std::net::SocketAddr;

use gatewayz_testkit::http::Client;

use super::Key;

pub(super) const CONCURRENCY: usize = 32;
/// Rounds of every client; each has [`PLAIN`] plain requests and one of each other kind.
pub(super) const ROUNDS: usize = 13;
const PLAIN: usize = 14;
/// Requests of a round that continue a trace.
pub(super) const REMOTE_TRACES: usize = 1;

/// One request as its client knows it.
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) trace_id: String,
}

pub(super) fn run(address: SocketAddr) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONCURRENCY)
            .map(|number| scope.spawn(move || Caller::connect(address).rounds(number)))
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

struct Caller {
    address: SocketAddr,
    client: Client,
    seen: Vec<Seen>,
}

impl Caller {
    fn connect(address: SocketAddr) -> Self {
        Self {
            address,
            client: Client::connect(address).unwrap(),
            seen: Vec::new(),
        }
    }

    fn rounds(mut self, number: usize) -> Vec<Seen> {
        for round in 0..ROUNDS {
            for plain in 0..PLAIN {
                self.call("GET", &format!("/ok/{plain}"), "/ok/{id}", 200, &[], b"");
            }
            self.continue_a_trace(number, round);
            self.call("GET", "/live", "/live", 200, &[], b"");
            self.call("GET", "/missing/a?token=secret", "unmatched", 404, &[], b"");
            self.call("POST", "/ok/1", "/ok/{id}", 405, &[], b"");
            self.call("BREW", "/ok/1", "/ok/{id}", 405, &[], b"");
            self.call("POST", "/echo", "/echo", 200, &[], b"hello");
            self.call("POST", "/echo", "/echo", 413, &[], &[b'x'; 2000]);
            self.call("GET", "/error", "/error", 500, &[], b"");
            self.call("GET", "/refused/403", "/refused/{status}", 403, &[], b"");
            self.call("GET", "/refused/503", "/refused/{status}", 503, &[], b"");
            self.call("GET", "/panic", "/panic", 500, &[], b"");
            self.call("GET", "/panic-in-guard", "/panic-in-guard", 500, &[], b"");
            self.call("GET", "/panic-in-answer", "/panic-in-answer", 500, &[], b"");
            self.call("GET", "/panic-in-text", "/panic-in-text", 500, &[], b"");
            self.call("GET", "/text-without-end", "/text-without-end", 500, &[], b"");
            self.call("GET", "/caught", "/caught", 200, &[], b"");
            self.call("POST", "/live", "/live", 404, &[], b"");
            self.call("GET", "/stream", "/stream", 200, &[], b"");
            self.broken_off("/panic-in-body", 500);
            self.leave_half_way();
        }
        self.seen
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        route: &str,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let answer = self.client.request(method, path, headers, body).unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        if (method, path) != ("GET", "/live") {
            let trace_id = answer.header("x-trace-id").unwrap().to_owned();
            assert_eq!(answer.header("x-request-id"), Some(trace_id.as_str()));
            self.note(method, route, status, trace_id);
        }
        if answer.header("connection") == Some("close") || status == 413 {
            self.client = Client::connect(self.address).unwrap();
        }
    }

    fn continue_a_trace(&mut self, number: usize, round: usize) {
        let trace_id = format!("{:032x}", 0x1000_0000_0000 + number * 1000 + round);
        let parent = format!("00-{trace_id}-00f067aa0ba902b7-01");
        let headers = [
            ("traceparent", parent.as_str()),
            ("tracestate", "vendor=1"),
            ("baggage", "a=b"),
        ];
        self.call("GET", "/ok/9", "/ok/{id}", 200, &headers, b"");
        assert_eq!(self.seen.last().map(|seen| &seen.trace_id), Some(&trace_id));
    }

    /// The head says 200, then the connection ends inside the body.
    fn broken_off(&mut self, path: &str, status: u16) {
        let mut client = Client::connect(self.address).unwrap();
        client
            .send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes())
            .unwrap();
        let head = client.read_head().unwrap();
        while !client.is_closed_by_server() {}
        let trace_id = head.header("x-trace-id").unwrap().to_owned();
        self.note("GET", path, status, trace_id);
    }

    fn leave_half_way(&mut self) {
        let mut client = Client::connect(self.address).unwrap();
        client
            .send(b"GET /endless HTTP/1.1\r\nhost: test\r\n\r\n")
            .unwrap();
        let head = client.read_head().unwrap();
        client.reset().unwrap();
        let trace_id = head.header("x-trace-id").unwrap().to_owned();
        self.note("GET", "/endless", 499, trace_id);
    }

    fn note(&mut self, method: &str, route: &str, status: u16, trace_id: String) {
        let method = if method == "BREW" { "_OTHER" } else { method };
        self.seen.push(Seen {
            key: (method.to_owned(), route.to_owned(), status),
            trace_id,
        });
    }
}
