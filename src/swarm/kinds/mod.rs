//! tmp
use crate::search::Job;
use bytes::Bytes;
use std::sync::Arc;
pub(super) const KINDS: &[&str] = &["echo"];
pub(super) struct Kinds;
pub(super) struct KindFailure {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) retryable: bool,
}
impl Kinds {
    pub(super) fn new() -> Self {
        Self
    }
    pub(super) fn start(
        &self,
        _: &str,
        payload: Bytes,
        _: Arc<Job>,
        done: impl FnOnce(Result<Bytes, KindFailure>) + Send + 'static,
    ) {
        done(Ok(payload));
    }
}
