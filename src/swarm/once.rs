//! A function that several may want to run and one does.

use std::sync::{Arc, Mutex, PoisonError};

/// The first to run it runs it.
pub(super) struct Once<T>(Slot<T>);

type Slot<T> = Arc<Mutex<Option<Box<dyn FnOnce(T) + Send>>>>;

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Once<T> {
    pub(super) fn new(run: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(run)))))
    }

    pub(super) fn run(&self, value: T) {
        let run = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(run) = run {
            run(value);
        }
    }
}
