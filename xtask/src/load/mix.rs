//! Which requests are made, in which shares.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use rand::Rng;
use serde_json::json;

/// A part of the whole, from 0 to 1; written `5%`, or `0.05`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share(f64);

/// One request to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Get(String),
    Post {
        path: &'static str,
        body: String,
    },
    /// A completion whose answer comes in events, the last of them `[DONE]`.
    Stream {
        body: String,
    },
}

/// An endless row of requests, drawn by their shares.
#[derive(Debug)]
pub(super) struct Mix {
    errors: f64,
    streams: f64,
    model: String,
    random: rand::rngs::ThreadRng,
}

pub(super) const COMPLETIONS: &str = "/v1/chat/completions";

impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, whole) = match text.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (text, 1.0),
        };
        let share = number.parse::<f64>().context("read a share such as 5%")? / whole;
        ensure!(
            (0.0..=1.0).contains(&share),
            "read a share such as 5%: it is not between 0% and 100%"
        );
        Ok(Self(share))
    }
}

impl Mix {
    /// # Errors
    /// When the shares are more than the whole.
    pub(super) fn new(errors: Share, streams: Share, model: &str) -> Result<Self> {
        ensure!(
            errors.0 + streams.0 <= 1.0,
            "read --errors and --streams: together they are above 100%"
        );
        Ok(Self {
            errors: errors.0,
            streams: streams.0,
            model: model.to_owned(),
            random: rand::rng(),
        })
    }

    pub(super) fn next(&mut self) -> Request {
        let drawn: f64 = self.random.random();
        if drawn < self.errors {
            return self.mistake();
        }
        if drawn < self.errors + self.streams {
            return Request::Stream {
                body: self.completion(true),
            };
        }
        match self.random.random_range(0..4) {
            0 => Request::Get("/health".to_owned()),
            1 => Request::Get("/v1/models".to_owned()),
            2 => Request::Get(format!("/api/users/{}", self.random.random_range(1..1000))),
            _ => Request::Post {
                path: COMPLETIONS,
                body: self.completion(false),
            },
        }
    }

    fn mistake(&mut self) -> Request {
        match self.random.random_range(0..3) {
            0 => Request::Get("/no-such-page".to_owned()),
            1 => Request::Post {
                path: COMPLETIONS,
                body: "{".to_owned(),
            },
            _ => {
                let body =
                    json!({ "model": "no-such-model", "messages": [{ "role": "user", "content": "hello" }] });
                Request::Post {
                    path: COMPLETIONS,
                    body: body.to_string(),
                }
            }
        }
    }

    fn completion(&mut self, stream: bool) -> String {
        let words = self.random.random_range(1..40);
        let content = "word ".repeat(words);
        json!({ "model": self.model, "stream": stream, "messages": [{ "role": "user", "content": content }] })
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_whole() {
        assert_eq!("5%".parse::<Share>().unwrap(), Share(0.05));
        assert_eq!("0.25".parse::<Share>().unwrap(), Share(0.25));
        for text in ["101%", "-1%", "NaN", "5", "%", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert!(Mix::new(Share(0.6), Share(0.6), "echo").is_err());
    }

    #[test]
    fn requests_come_in_their_shares() {
        let mut mix = Mix::new(Share(0.2), Share(0.3), "echo").unwrap();

        let requests: Vec<Request> = (0..10_000).map(|_| mix.next()).collect();

        let is_mistake = |request: &&Request| match request {
            Request::Get(path) => path == "/no-such-page",
            Request::Post { body, .. } => !body.contains("\"echo\""),
            Request::Stream { .. } => false,
        };
        let mistakes = requests.iter().filter(is_mistake).count();
        let streams = requests
            .iter()
            .filter(|request| matches!(request, Request::Stream { .. }))
            .count();
        // Six standard deviations on each side.
        assert!((1760..=2240).contains(&mistakes), "{mistakes}");
        assert!((2725..=3275).contains(&streams), "{streams}");
    }
}
