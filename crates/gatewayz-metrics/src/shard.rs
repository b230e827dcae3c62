//! Which part of every metric's storage a thread writes.
//!
//! An update of a word that others write too is a locked instruction, which waits for all earlier writes of its core.
//! Threads that do little else than serve requests have a part for themselves.

use std::cell::{Cell, RefCell};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::available_parallelism;

/// The shard of all threads that have none of their own.
pub(crate) const SHARED: usize = 0;
/// Most threads with a shard of their own: each costs memory in every family.
const OWN_MAX: usize = 16;

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(SHARED) };
    static CLAIM: RefCell<Option<Claim>> = const { RefCell::new(None) };
}

/// A shard that only this thread writes, given back when the thread ends.
struct Claim(usize);

impl Drop for Claim {
    fn drop(&mut self) {
        SHARD.set(SHARED);
        lock(free()).push(self.0);
    }
}

/// Gives the calling thread a part of every metric's storage to itself until it ends, which makes its updates cheap.
///
/// For the few threads that update metrics all the time, such as a server's workers. There are as many parts as the
/// machine has cores, at most 16; when all are taken, the thread goes on sharing one part with all the others.
pub fn claim_shard() {
    let _ = CLAIM.try_with(|claim| {
        let mut claim = claim.borrow_mut();
        if claim.is_none()
            && let Some(shard) = lock(free()).pop()
        {
            SHARD.set(shard);
            *claim = Some(Claim(shard));
        }
    });
}

/// The shard that the calling thread writes.
pub(crate) fn own_or_shared() -> usize {
    SHARD.get()
}

/// Shards for this machine, the shared one among them.
pub(crate) fn shard_count() -> usize {
    // Asked once: what a thread may use can change, and a registry must have room for every claim.
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| 1 + available_parallelism().map_or(1, usize::from).min(OWN_MAX))
}

fn free() -> &'static Mutex<Vec<usize>> {
    static FREE: OnceLock<Mutex<Vec<usize>>> = OnceLock::new();
    FREE.get_or_init(|| Mutex::new((1..shard_count()).collect()))
}

fn lock(free: &Mutex<Vec<usize>>) -> MutexGuard<'_, Vec<usize>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    #[test]
    fn no_two_threads_have_the_same_shard_and_each_is_given_back() {
        let threads = 2 * shard_count();
        let mut claims = 0;
        for _ in 0..3 {
            let together = Arc::new(Barrier::new(threads));
            let claim = |together: Arc<Barrier>| {
                move || {
                    claim_shard();
                    claim_shard();
                    together.wait();
                    own_or_shared()
                }
            };
            let started: Vec<_> = (0..threads)
                .map(|_| thread::spawn(claim(Arc::clone(&together))))
                .collect();
            // A joined thread has given back what it had.
            let shards = started.into_iter().map(|thread| thread.join().unwrap());
            let own: Vec<_> = shards.filter(|shard| *shard != SHARED).collect();

            assert_eq!(own.iter().collect::<HashSet<_>>().len(), own.len(), "{own:?}");
            claims += own.len();
        }
        assert!(claims >= shard_count(), "{claims}");
    }
}
