//! What one worker's requests share.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;
use gatewayz_metrics::claim_shard;

use super::handles::Routes;
use super::in_flight::Recorder;
use super::middleware::ProblemPage;

/// What one worker's requests share; it stays on the worker's thread.
pub(crate) struct Worker {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) problem_page: ProblemPage,
    pub(crate) routes: Routes,
    /// Requests of this worker without an outcome.
    in_flight: Arc<CachePadded<AtomicUsize>>,
}

impl Worker {
    pub(crate) fn new(recorder: Arc<Recorder>, problem_page: ProblemPage) -> Self {
        claim_shard();
        Self {
            in_flight: recorder.in_flight.of_worker(),
            recorder,
            problem_page,
            routes: Routes::new(),
        }
    }

    /// One more request without an outcome.
    pub(crate) fn began(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
    }

    /// One of them has its outcome, which whoever sees the count sees too.
    pub(crate) fn ended(&self) {
        let left = self.in_flight.load(Relaxed).saturating_sub(1);
        self.in_flight.store(left, Release);
    }
}

/// Requests without an outcome. Each worker counts its own: all would wait for each other at one count.
#[derive(Debug, Default)]
pub(crate) struct InFlightCounts(Mutex<Vec<Arc<CachePadded<AtomicUsize>>>>);

impl InFlightCounts {
    fn of_worker(&self) -> Arc<CachePadded<AtomicUsize>> {
        let count = Arc::default();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.push(Arc::clone(&count));
        count
    }

    pub(crate) fn total(&self) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|count| count.load(Acquire)).sum()
    }
}
