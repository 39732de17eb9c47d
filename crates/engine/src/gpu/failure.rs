//! What a device said went wrong, until a read tells it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An error of a call is told once, and then all is as before it; a lost device stays lost.
#[derive(Debug, Default)]
pub(super) struct Failure {
    /// Whether there is something to tell: asked before every kernel.
    is_set: AtomicBool,
    problems: Mutex<Problems>,
}

#[derive(Debug, Default)]
struct Problems {
    /// The first; what follows is mostly of its making.
    error: Option<String>,
    lost: Option<String>,
}

impl Failure {
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Relaxed)
    }

    pub(super) fn set(&self, problem: String) {
        let mut problems = self.problems();
        problems.error.get_or_insert(problem);
        self.is_set.store(true, Relaxed);
    }

    pub(super) fn set_lost(&self, problem: String) {
        let mut problems = self.problems();
        problems.lost.get_or_insert(problem);
        self.is_set.store(true, Relaxed);
    }

    /// What is to be told now.
    pub(super) fn take(&self) -> Option<String> {
        let mut problems = self.problems();
        self.is_set.store(problems.lost.is_some(), Relaxed);
        let error = problems.error.take();
        // Whatever failed for that reason is not worth saying.
        problems.lost.clone().or(error)
    }

    fn problems(&self) -> MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_and_a_loss_every_time() {
        let failure = Failure::default();
        assert_eq!(failure.take(), None);
        failure.set("first".into());
        failure.set("second".into());
        assert!(failure.is_set());
        assert_eq!(failure.take().as_deref(), Some("first"));
        assert!(!failure.is_set());
        assert_eq!(failure.take(), None);
        failure.set("of its making".into());
        failure.set_lost("lost".into());
        for _ in 0..2 {
            assert_eq!(failure.take().as_deref(), Some("lost"));
            assert!(failure.is_set());
        }
    }
}
