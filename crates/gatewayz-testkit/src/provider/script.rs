//! What a provider does with one request, step by step.

use std::time::Duration;

/// The steps of one answer.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
}

/// One thing a provider does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Writes bytes as they are.
    Raw(Vec<u8>),
    /// Writes one piece of a chunked body.
    Chunk(Vec<u8>),
    /// Ends a chunked body; the connection can be used again.
    End,
    /// Does nothing for a while.
    Pause(Duration),
    /// Writes this piece again and again until the caller is gone.
    Forever(Vec<u8>, Duration),
    /// Does nothing until the caller is gone.
    Hang,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
}

impl Script {
    /// Steps in order.
    #[must_use]
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
        }
    }

    /// A complete JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &str) -> Self {
        Self::whole(status, &[("content-type", "application/json")], body)
    }

    /// A complete answer.
    #[must_use]
    pub fn whole(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let head = head(status, headers);
        let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        Self::of([Step::Raw(answer.into_bytes())])
    }

    /// The head of a stream, and its events in one piece each; left open.
    #[must_use]
    pub fn open_stream(events: &[&str]) -> Self {
        let mut head = head(200, &[("content-type", "text/event-stream")]);
        head.push_str("transfer-encoding: chunked\r\n\r\n");
        let events = events.iter().map(|event| Step::Chunk(event.as_bytes().to_vec()));
        Self::of(std::iter::once(Step::Raw(head.into_bytes())).chain(events))
    }

    /// A complete stream.
    #[must_use]
    pub fn stream(events: &[&str]) -> Self {
        Self::open_stream(events).then(Step::End)
    }

    /// The same with one more step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("HTTP/1.1 {status} Scripted\r\n{}", headers.collect::<String>())
}
