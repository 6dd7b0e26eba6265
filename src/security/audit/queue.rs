//! What waits for the thread of the log, bounded in entries and in bytes.

use super::refusals::Refusals;
use super::writer::Timed;
use super::{AuditError, Entry, MakeEntries};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// An entry takes so many bytes beside its texts.
const ENTRY: usize = 256;

/// What is to be written.
pub(super) enum Work {
    /// Nobody waits for it.
    Note(Entry),
    /// Nobody waits for them, and they are yet to be made.
    Make(MakeEntries),
    /// Somebody waits.
    Record(Entry, SyncSender<Result<(), AuditError>>),
}

pub(super) struct Item {
    pub(super) at: u64,
    pub(super) work: Work,
    pub(super) bytes: usize,
}

/// Entries that found no room.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lost {
    pub(super) count: u64,
    /// When the first of them came, in milliseconds since the Unix epoch.
    pub(super) since: u64,
}

/// Between the threads that have something to say and the one that writes it.
#[derive(Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Callers that wait.
    pub(super) waiting: usize,
    /// When the oldest note came.
    noted: Option<Instant>,
    pub(super) refusals: Refusals,
    pub(super) lost: Lost,
    /// No entry is taken any more.
    pub(super) closing: bool,
}

impl Queue {
    /// Takes it if there is room; otherwise false. Room is judged before: one large item is not refused for
    /// its size, so what waits may exceed the limit by one.
    pub(super) fn push(&mut self, item: Item, most_entries: usize, most_bytes: usize) -> bool {
        if self.items.len() >= most_entries || self.bytes >= most_bytes {
            return false;
        }
        match &item.work {
            Work::Record(..) => self.waiting += 1,
            Work::Note(_) | Work::Make(_) => drop(self.noted.get_or_insert_with(Instant::now)),
        }
        self.bytes += item.bytes;
        self.items.push_back(item);
        true
    }

    /// A note that found no room.
    pub(super) fn lose(&mut self, count: u64, at: u64) {
        if self.lost.count == 0 {
            self.lost.since = at;
        }
        self.lost.count += count;
    }

    /// The oldest items, up to so many bytes and at least one.
    pub(super) fn take(&mut self, most_bytes: usize) -> Vec<Item> {
        let mut taken: Vec<Item> = Vec::new();
        let mut bytes = 0;
        while let Some(item) = self.items.front() {
            if !taken.is_empty() && bytes + item.bytes > most_bytes {
                break;
            }
            bytes += item.bytes;
            taken.extend(self.items.pop_front());
        }
        self.bytes -= bytes;
        self.waiting -= taken.iter().filter(|item| matches!(item.work, Work::Record(..))).count();
        if self.items.is_empty() {
            self.noted = None;
        }
        taken
    }

    /// Notes that come from the log's own thread: there is always room for the few that they are.
    pub(super) fn put_behind(&mut self, notes: Vec<Timed>) {
        for (at, entry) in notes {
            let bytes = weight(&entry);
            self.bytes += bytes;
            self.noted.get_or_insert_with(Instant::now);
            self.items.push_back(Item { at, work: Work::Note(entry), bytes });
        }
    }

    /// What could not be written stands at the front again.
    pub(super) fn put_back(&mut self, notes: Vec<Timed>) {
        for (at, entry) in notes.into_iter().rev() {
            let bytes = weight(&entry);
            self.bytes += bytes;
            self.noted.get_or_insert_with(Instant::now);
            self.items.push_front(Item { at, work: Work::Note(entry), bytes });
        }
    }

    /// There is a whole write waiting.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        self.bytes >= bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// When the notes are to be written, if nothing else brings it about.
    pub(super) fn due(&self, delay: Duration) -> Option<Instant> {
        self.noted.map(|noted| noted + delay)
    }
}

/// Bytes that an entry takes, about.
pub(super) fn weight(entry: &Entry) -> usize {
    let detail: usize = entry.detail.iter().map(|(name, value)| name.len() + weight_of(value)).sum();
    ENTRY + entry.actor.len() + entry.object.len() + detail
}

fn weight_of(value: &Value) -> usize {
    // Not deeper than what is written.
    let mut left = vec![value];
    let mut bytes = 0;
    while let Some(value) = left.pop() {
        bytes += size_of::<Value>();
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(list) => left.extend(list),
            Value::Object(map) => {
                bytes += map.keys().map(String::len).sum::<usize>();
                left.extend(map.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    bytes
}
