//! Answers told in advance.

use std::collections::VecDeque;

/// First the answers for the next requests, then the one for every request, if there is one.
#[derive(Debug)]
pub(crate) struct Script<A> {
    next: VecDeque<A>,
    always: Option<A>,
}

impl<A: Clone> Script<A> {
    pub(crate) fn push(&mut self, answers: Vec<A>) {
        self.next.extend(answers);
    }

    pub(crate) fn set_always(&mut self, answer: A) {
        self.always = Some(answer);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The scripted answer of the next request, `None` when nothing is scripted for it.
    pub(crate) fn take(&mut self) -> Option<A> {
        self.next.pop_front().or_else(|| self.always.clone())
    }
}

impl<A> Default for Script<A> {
    fn default() -> Self {
        Self {
            next: VecDeque::new(),
            always: None,
        }
    }
}
