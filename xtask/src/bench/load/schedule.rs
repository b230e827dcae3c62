//! The open loop: a request whenever one is due, however long the answers before it take.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::set_current_timer_slack;

use super::super::answer::Answer;
use super::readable::Readable;
use super::{Load, PATIENCE, READ_BYTES, read_some};

/// What came of a schedule.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Time of each answer since its request was due, so that waiting for a connection counts.
    pub(crate) latencies: Vec<Duration>,
    /// How long after its time each request was sent that found a free connection: this process was late, not the
    /// server.
    pub(crate) lateness: Vec<Duration>,
}

impl Load {
    /// Makes requests at a steady rate for that time and awaits the answers.
    ///
    /// # Errors
    /// When an answer is not a 200, a connection ends, or nothing is answered for a while.
    pub(crate) fn at_rate(&mut self, per_second: f64, time: Duration) -> Result<Kept> {
        // The system lets a sleep be 50 us longer otherwise, which is longer than most answers take.
        set_current_timer_slack(Some(NonZeroU64::MIN)).context("have short sleeps")?;
        let count = (per_second * time.as_secs_f64()) as u64;
        let mut readable = Readable::among(&self.streams)?;
        let started = Instant::now();
        let due = |index: u64| started + Duration::from_secs_f64(index as f64 / per_second);
        let mut answers: Vec<Answer> = self.streams.iter().map(|_| Answer::default()).collect();
        let mut buffer = vec![0; READ_BYTES];
        let mut asked_for = vec![started; self.streams.len()];
        let mut free: VecDeque<usize> = (0..self.streams.len()).collect();
        let mut waited = false;
        let mut sent = 0;
        let mut kept = Kept {
            latencies: Vec::with_capacity(count as usize),
            lateness: Vec::with_capacity(count as usize),
        };
        while (kept.latencies.len() as u64) < count {
            while sent < count && due(sent) <= Instant::now() {
                let Some(connection) = free.pop_front() else {
                    waited = true;
                    break;
                };
                if let (Some(stream), Some(asked_for)) =
                    (self.streams.get(connection), asked_for.get_mut(connection))
                {
                    *asked_for = due(sent);
                    if !waited {
                        kept.lateness.push(asked_for.elapsed());
                    }
                    self.send(stream, sent)?;
                }
                sent += 1;
            }
            let awaits_time = sent < count && !free.is_empty();
            let pause = match awaits_time {
                true => due(sent).saturating_duration_since(Instant::now()),
                false => PATIENCE,
            };
            let places = readable.wait(pause)?;
            ensure!(
                places.len() > 0 || awaits_time,
                "wait for answers: none within {PATIENCE:?}"
            );
            waited &= free.is_empty();
            for place in places {
                if read_some(&self.streams[place], &mut buffer, &mut answers[place])? {
                    kept.latencies.push(asked_for[place].elapsed());
                    free.push_back(place);
                }
            }
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::super::Load;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    const STALL: Duration = Duration::from_millis(200);

    #[test]
    fn requests_that_were_due_while_the_server_stood_still_show_how_long_they_waited() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut load = Load::connect(listener.local_addr().unwrap(), 1).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        thread::spawn(move || {
            let mut request = [0; 1024];
            for index in 0.. {
                if server.read(&mut request).unwrap_or_default() == 0 {
                    return;
                }
                if index == 5 {
                    thread::sleep(STALL);
                }
                server.write_all(ANSWER).unwrap();
            }
        });

        let kept = load.at_rate(200.0, Duration::from_millis(300)).unwrap();

        assert_eq!(kept.latencies.len(), 60);
        // One request is due each 5 ms, and all of them in the stall wait for its end.
        let waited = kept.latencies.iter().filter(|latency| **latency > STALL / 2);
        assert!(waited.count() >= 15, "{:?}", kept.latencies);
    }
}
