//! Prints what a pushed line costs the sink in each format: CPU time of the delivery thread and bytes sent.
#![expect(clippy::print_stdout, reason = "the figures are the purpose of the program")]

use std::error::Error;
use std::fs::read_to_string;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, Batch, Sink};
use gatewayz_loki::{Credentials, LokiSettings, LokiSink, StreamLabels, Wire, record};

const LINES: usize = 10_000;
/// About 512 KiB, what a push has by default.
const LINES_PER_BATCH: usize = 1_250;
const ROUNDS: usize = 50;
const START: u64 = 1_766_000_000_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let line_bytes = lines.iter().map(String::len).sum::<usize>() / LINES;
    let records: Vec<Vec<u8>> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| encode(n, line))
        .collect();
    let batches: Vec<Arc<Batch>> = records
        .chunks(LINES_PER_BATCH)
        .map(|chunk| Arc::new(Batch::from_records(chunk.iter().map(Vec::as_slice))))
        .collect();
    println!("{LINES} lines of {line_bytes} bytes, {ROUNDS} times");
    println!("record::write: {:>6} ns a line", write_nanos(&lines));

    for wire in [Wire::Protobuf, Wire::Json] {
        let (push_url, received) = receiver()?;
        let mut sink = LokiSink::new(&settings(&push_url, wire)?)?;
        let before = cpu_nanos()?;
        for batch in (0..ROUNDS).flat_map(|_| &batches) {
            match sink.send(batch, Instant::now() + Duration::from_secs(10)) {
                Attempt::Delivered => {}
                failed => return Err(format!("{failed:?}").into()),
            }
        }
        let nanos = (cpu_nanos()? - before) / (ROUNDS * LINES) as u64;
        let sent = received.load(Relaxed) / (ROUNDS * LINES);
        println!(
            "{:>13}: {nanos:>6} ns a line, {sent} bytes sent",
            format!("{wire:?}")
        );
    }
    Ok(())
}

fn encode(n: usize, line: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len() + 40);
    let trace_id = (mixed(3 * n as u64) as u128) << 64 | mixed(3 * n as u64 + 1) as u128;
    let level = if n.is_multiple_of(50) { "ERROR" } else { "INFO" };
    record::write(
        START + n as u64 * 1_000,
        level,
        Some(trace_id.to_be_bytes()),
        Some(mixed(3 * n as u64 + 2).to_be_bytes()),
        line.as_bytes(),
        &mut out,
    );
    out
}

/// What a request pays to queue its line, by the clock; the fastest round is the least disturbed.
fn write_nanos(lines: &[String]) -> u128 {
    let mut out = Vec::with_capacity(8 * 1024 * 1024);
    let rounds = (0..ROUNDS).map(|round| {
        out.clear();
        let before = Instant::now();
        for (n, line) in lines.iter().enumerate() {
            let unix_nanos = START + (round * LINES + n) as u64 * 1_000;
            record::write(
                unix_nanos,
                "INFO",
                Some([1; 16]),
                Some([2; 8]),
                line.as_bytes(),
                &mut out,
            );
        }
        before.elapsed().as_nanos() / LINES as u128
    });
    rounds.min().unwrap_or_default()
}

/// A request's line as the service writes it.
fn line(n: usize) -> String {
    let random = mixed(3 * n as u64);
    format!(
        r#"{{"timestamp":"2025-12-17T19:33:{:02}.{:03}Z","level":"INFO","service":"gatewayz-api","endpoint":"/v1/chat/completions/{}","method":"POST","status_code":200,"duration_ms":{}.{:03},"trace_id":"{:016x}{:016x}","span_id":"{:016x}","message":"Request completed","environment":"production","route":"/v1/chat/completions/{{id}}","target":"gatewayz_telemetry::http","bytes_in":{},"bytes_out":{}}}"#,
        n / 200 % 60,
        n % 1_000,
        random % 100_000,
        random % 2_000,
        random % 997,
        mixed(3 * n as u64),
        mixed(3 * n as u64 + 1),
        mixed(3 * n as u64 + 2),
        random % 4_096,
        random % 65_536,
    )
}

/// The finaliser of SplitMix64: ids that do not compress, the same in each run.
fn mixed(n: u64) -> u64 {
    let mut value = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// CPU time of this thread so far, the kernel's part for its sockets included. Linux only.
fn cpu_nanos() -> Result<u64, Box<dyn Error>> {
    let figures = read_to_string("/proc/thread-self/schedstat")?;
    Ok(figures.split(' ').next().unwrap_or_default().parse()?)
}

fn settings(push_url: &str, wire: Wire) -> Result<LokiSettings, Box<dyn Error>> {
    Ok(LokiSettings {
        push_url: push_url.parse()?,
        wire,
        labels: StreamLabels {
            service: "gatewayz-api".to_owned(),
            app: "gatewayz".to_owned(),
            environment: "production".to_owned(),
        },
        credentials: Credentials::None,
        tenant: None,
    })
}

/// Takes every push and counts its bytes.
fn receiver() -> Result<(String, Arc<AtomicUsize>), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let push_url = format!("http://{}/loki/api/v1/push", listener.local_addr()?);
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The sender's view of a broken connection is an error there.
            let _ = serve(stream, &counter);
        }
    });
    Ok((push_url, received))
}

fn serve(mut stream: TcpStream, received: &AtomicUsize) -> Result<(), Box<dyn Error>> {
    let mut pending = Vec::new();
    let mut part = vec![0; 256 * 1024];
    loop {
        let length = stream.read(&mut part)?;
        if length == 0 {
            return Ok(());
        }
        pending.extend_from_slice(part.get(..length).unwrap_or_default());
        let Some(head) = pending.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(pending.get(..head).unwrap_or_default()).to_ascii_lowercase();
        let body = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let whole = head + 4 + body.unwrap_or_default().parse::<usize>()?;
        if pending.len() >= whole {
            received.fetch_add(whole, Relaxed);
            pending.drain(..whole);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        }
    }
}
