//! The way from the threads of the swarm back to JavaScript: events are written one after the other into a buffer, and
//! JavaScript is woken when the first one is there. It takes everything at once, so a busy swarm costs one crossing
//! for each turn of the event loop, however many events there are.
//!
//! Layout of a batch, little-endian: records, each beginning at a multiple of 8.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the record without the padding after it |
//! | 1 | [`RecordType`] |
//! | 3 | zero |
//! | 8 | f64: the number of the request, or the token of the work |
//! | 4 | length of the header |
//! | 4 | zero |
//! | | the header: JSON in UTF-8 |
//! | | zeros up to a multiple of 8 |
//! | | the payload: an encoded value, up to the end of the record |

use crate::swarm::{SwarmCode, SwarmError};
use napi::bindgen_prelude::{BufferSlice, Function, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use serde::Serialize;
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroize;

/// What a record is about. The facade knows the same numbers (js/inbox.js).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::node) enum RecordType {
    /// There are more batches: to be taken in another turn of the event loop.
    More = 0,
    /// A request succeeded; what it gave is in the header.
    Settled = 1,
    /// A request succeeded; the header describes the value in the payload.
    Value = 2,
    /// A request failed.
    Failed = 3,
    /// A message on a topic.
    Message = 4,
    /// A log entry.
    Log = 5,
    /// A renewed identity, to be kept.
    Identity = 6,
    /// An agent was welcomed.
    AgentJoined = 16,
    /// An agent is gone.
    AgentLeft = 17,
    /// A task has failed for good.
    TaskFailed = 18,
    /// A task will be tried again.
    TaskRetried = 19,
    /// Work for a handler.
    Work = 32,
    /// The handler's result is not wanted any more.
    Stop = 33,
    /// The agent is connected again.
    Connected = 34,
    /// The agent has lost its coordinator.
    Disconnected = 35,
    /// The agent is closed for good.
    Closed = 36,
    /// The coordinator asks for a change.
    Adapt = 37,
    /// Messages on a topic will not come.
    SubscriptionRefused = 38,
    /// The links of a database have something to tell.
    Links = 48,
}

/// Bytes before the header.
const FIXED: usize = 24;

/// A batch is handed over in one piece until it has so many records: a few milliseconds of JavaScript.
const MOST_RECORDS: usize = 1024;

/// Or so many bytes. A record that is larger is a batch of its own.
const MOST_BYTES: usize = 4 << 20;

/// What may wait of messages and log entries, which nobody waits for. More are dropped while the event loop is blocked.
const MOST_WAITING_BYTES: usize = 64 << 20;

/// Up to here a batch is copied into JavaScript's memory, and its own is used again; above, it is handed over.
const COPIED_BYTES: usize = 64 << 10;

/// Weak: it does not keep the process alive. At most one call is under way, see `armed`.
type Wake = ThreadsafeFunction<(), Unknown<'static>, (), Status, false, true, 4>;

pub(in crate::node) struct Outbox(Mutex<State>);

struct State {
    /// None: the environment or the facade is gone, and nobody listens.
    wake: Option<Arc<Wake>>,
    /// JavaScript has been woken, or goes on in another turn, and will take what is there.
    armed: bool,
    /// All but the last one are full.
    batches: VecDeque<Batch>,
    /// Of messages and log entries.
    offered_bytes: usize,
    /// Messages and log entries that found no room.
    dropped: u64,
    /// The memory of the last batch.
    spare: Vec<u8>,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    records: usize,
    /// Bytes of records that nobody waits for.
    offered: usize,
    /// A private key is in it.
    secret: bool,
}

impl Outbox {
    /// `wake` is called without arguments when there is something to take.
    pub(in crate::node) fn new(wake: &Function<'_, (), Unknown<'static>>) -> napi::Result<Arc<Self>> {
        let wake = wake.build_threadsafe_function::<()>().weak::<true>().max_queue_size::<4>().build()?;
        Ok(Arc::new(Self(Mutex::new(State::new(Some(Arc::new(wake)))))))
    }

    /// Whatever comes later is dropped.
    pub(in crate::node) fn shut(&self) {
        let old = mem::replace(&mut *self.lock(), State::new(None));
        // Outside the lock: releasing the function takes locks of its own.
        drop(old);
    }

    /// A record that somebody waits for.
    pub(in crate::node) fn push(
        &self,
        record: RecordType,
        token: f64,
        header: &impl Serialize,
        payload: &[u8],
    ) {
        self.put(record, token, header, payload, false);
    }

    fn put(&self, record: RecordType, token: f64, header: &impl Serialize, payload: &[u8], offered: bool) {
        let wake = {
            let mut state = self.lock();
            if state.wake.is_none() {
                return;
            }
            state.append(record, token, header, payload, offered);
            if mem::replace(&mut state.armed, true) {
                return;
            }
            state.wake.clone()
        };
        if let Some(wake) = wake {
            // The queue of the function is never full, because a call is made only while it is not armed. Any other
            // refusal means that the environment is ending, and its hook shuts this outbox.
            let _: Status = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// A record that nobody waits for: dropped when too much waits already.
    pub(super) fn offer(&self, record: RecordType, header: &impl Serialize, payload: &[u8]) {
        {
            let mut state = self.lock();
            if state.offered_bytes.saturating_add(payload.len()) > MOST_WAITING_BYTES {
                state.dropped += 1;
                return;
            }
        }
        self.put(record, 0.0, header, payload, true);
    }

    /// A request succeeded.
    pub(in crate::node) fn settle(&self, request: f64, header: &impl Serialize) {
        self.push(RecordType::Settled, request, header, &[]);
    }

    /// A request failed.
    pub(super) fn fail(&self, request: f64, error: &SwarmError) {
        self.push(RecordType::Failed, request, &ErrorHeader::from(error), &[]);
    }

    /// What a request with an empty answer calls when it is done.
    pub(in crate::node) fn done(
        self: &Arc<Self>,
        request: f64,
    ) -> impl FnOnce(Result<(), SwarmError>) + Send + 'static {
        self.answer(request, |()| ())
    }

    /// What a request calls when it is done; `header` makes the answer.
    pub(in crate::node) fn answer<T, H: Serialize>(
        self: &Arc<Self>,
        request: f64,
        header: impl FnOnce(T) -> H + Send + 'static,
    ) -> impl FnOnce(Result<T, SwarmError>) + Send + 'static {
        let outbox = self.clone();
        move |result| match result {
            Ok(value) => outbox.settle(request, &header(value)),
            Err(error) => outbox.fail(request, &error),
        }
    }

    /// The oldest batch, for JavaScript.
    pub(in crate::node) fn take<'env>(&self, env: &'env Env) -> napi::Result<Option<BufferSlice<'env>>> {
        let dropped = mem::take(&mut self.lock().dropped);
        if dropped > 0 {
            tracing::warn!(dropped, "messages and log entries were dropped while the event loop was blocked");
        }
        let Some(Batch { mut bytes, secret, .. }) = self.take_batch() else { return Ok(None) };
        if bytes.len() > COPIED_BYTES {
            return BufferSlice::from_data(env, bytes).map(Some);
        }
        let copy = BufferSlice::copy_from(env, &bytes)?;
        if secret {
            // What it held is JavaScript's now, and lies nowhere else.
            bytes.zeroize();
        }
        self.lock().spare = bytes;
        Ok(Some(copy))
    }

    fn take_batch(&self) -> Option<Batch> {
        let mut state = self.lock();
        let batch = state.batches.pop_front();
        state.offered_bytes -= batch.as_ref().map_or(0, |batch| batch.offered);
        state.armed = !state.batches.is_empty();
        batch
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock leaves a record half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(wake: Option<Arc<Wake>>) -> Self {
        Self { wake, armed: false, batches: VecDeque::new(), offered_bytes: 0, dropped: 0, spare: Vec::new() }
    }

    fn append(
        &mut self,
        record: RecordType,
        token: f64,
        header: &impl Serialize,
        payload: &[u8],
        offered: bool,
    ) {
        let full = |batch: &Batch| {
            batch.records >= MOST_RECORDS || batch.bytes.len().saturating_add(payload.len()) > MOST_BYTES
        };
        if self.batches.back().is_none_or(full) {
            if let Some(last) = self.batches.back_mut() {
                last.write(RecordType::More, 0.0, &(), &[]);
            }
            let mut bytes = mem::take(&mut self.spare);
            bytes.clear();
            self.batches.push_back(Batch { bytes, ..Batch::default() });
        }
        if let Some(batch) = self.batches.back_mut() {
            let before = batch.bytes.len();
            batch.write(record, token, header, payload);
            batch.secret |= record == RecordType::Identity;
            if offered {
                batch.offered += batch.bytes.len() - before;
                self.offered_bytes += batch.bytes.len() - before;
            }
        }
    }
}

impl Batch {
    fn write(&mut self, record: RecordType, token: f64, header: &impl Serialize, payload: &[u8]) {
        let bytes = &mut self.bytes;
        let start = bytes.len();
        bytes.reserve(FIXED + 256 + payload.len());
        bytes.extend_from_slice(&[0, 0, 0, 0, record as u8, 0, 0, 0]);
        bytes.extend_from_slice(&token.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        serde_json::to_writer(&mut *bytes, header)
            .expect("headers are structs of strings and numbers, and memory takes it all");
        let header_length = bytes.len() - start - FIXED;
        pad(bytes);
        bytes.extend_from_slice(payload);
        let length = bytes.len() - start;
        // Neither can be cut off: what is handed over was limited to a message (at most 1 GiB) by whoever read it.
        bytes[start..start + 4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        bytes[start + 16..start + 20]
            .copy_from_slice(&u32::try_from(header_length).unwrap_or(u32::MAX).to_le_bytes());
        pad(bytes);
        self.records += 1;
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// An error as the facade rebuilds it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorHeader<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_error: Option<RemoteError<'a>>,
}

#[derive(Serialize)]
struct RemoteError<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

impl<'a> From<&'a SwarmError> for ErrorHeader<'a> {
    fn from(error: &'a SwarmError) -> Self {
        let task = error.task.as_deref();
        // Where time ran out, nothing remote has failed.
        let remote = task.filter(|_| error.code == SwarmCode::TaskFailed);
        Self {
            code: error.code.as_str(),
            message: &error.message,
            task_id: task.map(|task| task.task_id.as_str()),
            attempts: task.map(|task| task.attempts),
            remote_error: remote
                .map(|task| RemoteError { message: &task.remote_message, code: task.remote_code.as_deref() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (type, token, header, payload) of every record, read by the layout above.
    fn records(bytes: &[u8]) -> Vec<(u8, f64, String, Vec<u8>)> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (mut found, mut start) = (Vec::new(), 0);
        while start < bytes.len() {
            assert_eq!(start % 8, 0);
            let (length, header) = (word(start), word(start + 16));
            let end_of_header = start + FIXED + header;
            let payload = end_of_header.next_multiple_of(8).min(start + length);
            found.push((
                bytes[start + 4],
                f64::from_le_bytes(bytes[start + 8..start + 16].try_into().unwrap()),
                String::from_utf8(bytes[start + FIXED..end_of_header].to_vec()).unwrap(),
                bytes[payload..start + length].to_vec(),
            ));
            start = (start + length).next_multiple_of(8);
        }
        found
    }

    /// An outbox as if JavaScript had been woken and is late.
    fn late() -> Outbox {
        Outbox(Mutex::new(State::new(None)))
    }

    fn append(outbox: &Outbox, token: f64, payload: &[u8]) {
        outbox.lock().append(RecordType::Value, token, &["h\u{e4}"; 2], payload, false);
    }

    #[test]
    fn a_batch_reads_as_it_was_written() {
        let outbox = late();
        for k in 0..20_u8 {
            append(&outbox, f64::from(k), &vec![k; usize::from(k)]);
        }
        let read = records(&outbox.take_batch().unwrap().bytes);
        assert_eq!(read.len(), 20);
        for (k, (record, token, header, payload)) in read.into_iter().enumerate() {
            assert_eq!((record, token, header.as_str()), (2, k as f64, "[\"h\u{e4}\",\"h\u{e4}\"]"));
            assert_eq!(payload, vec![k as u8; k]);
        }
        assert!(outbox.take_batch().is_none());
        assert_eq!(outbox.lock().offered_bytes, 0);
    }

    #[test]
    fn a_full_batch_says_that_there_are_more() {
        let outbox = late();
        for k in 0..MOST_RECORDS + 5 {
            append(&outbox, k as f64, &[]);
        }
        append(&outbox, 0.0, &vec![7; MOST_BYTES]);
        let lengths: Vec<usize> =
            (0..3).map(|_| records(&outbox.take_batch().unwrap().bytes).len()).collect();
        assert_eq!(lengths, [MOST_RECORDS + 1, 5 + 1, 1]);
        assert!(outbox.take_batch().is_none());
        assert_eq!(outbox.lock().offered_bytes, 0);
    }

    #[test]
    fn the_last_record_of_a_batch_before_another_is_more() {
        let outbox = late();
        for k in 0..=MOST_RECORDS {
            append(&outbox, k as f64, &[1]);
        }
        let first = records(&outbox.take_batch().unwrap().bytes);
        assert_eq!(first.last().unwrap().0, RecordType::More as u8);
        assert!(outbox.lock().armed);
        let second = records(&outbox.take_batch().unwrap().bytes);
        assert_eq!((second.len(), second[0].1), (1, MOST_RECORDS as f64));
        assert!(!outbox.lock().armed);
    }
}
