//! A real Prometheus that scrapes the running service: every documented query has an answer.
