//! The log for all threads: they queue, one thread writes, and one flush serves everybody who waits (group commit).

use super::files::{AuditDirectory, Disk};
use super::line::Anchor;
use super::open::{self, own};
use super::queue::{Item, Queue, Work, weight};
use super::refusals::Refusals;
use super::writer::{BATCH, Timed, Writer};
use super::{Action, Audit, AuditError, Entry, MakeEntries};
use crate::security::now_ms;
use serde_json::Map;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How a log is kept. The defaults are for production.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// A segment that has so many bytes is followed by another one.
    pub segment_bytes: u64,
    /// After so many entries comes a checkpoint.
    pub checkpoint_entries: u64,
    /// And so long after an entry that no checkpoint covers.
    pub checkpoint_interval: Duration,
    /// Notes are gathered for so long before they are written.
    pub note_delay: Duration,
    /// Pause after a write that failed.
    pub retry: Duration,
    /// Entries that may wait.
    pub queue_entries: usize,
    /// Bytes that they may take.
    pub queue_bytes: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            checkpoint_entries: 1000,
            checkpoint_interval: Duration::from_secs(10),
            note_delay: Duration::from_millis(100),
            retry: Duration::from_millis(500),
            queue_entries: 20_000,
            queue_bytes: 64 << 20,
        }
    }
}

/// How long whoever records waits for the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// A write that takes so long counts as failing.
const HANGS_MS: u64 = 2000;

/// For monitoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditCounts {
    /// Entries written since the log was opened, its own included.
    pub entries: u64,
    /// Entries that found no room since then.
    pub lost: u64,
}

struct Shared {
    options: AuditOptions,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// The last write failed, or entries were lost that the log does not tell of yet.
    failing: AtomicBool,
    /// When the write that is under way began, in milliseconds since the log was opened, plus 1; 0 for none.
    writing_since: AtomicU64,
    opened: Instant,
    /// The last durable entry.
    head: Mutex<Anchor>,
    entries: AtomicU64,
    lost: AtomicU64,
}

/// An open log. It is closed by [`Self::close`], or when the last handle goes.
pub struct AuditLog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), AuditError>>>>,
    place: String,
    public_key: String,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("place", &self.place).finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Opens the log in a directory, which is made when there is none, and repairs what a crash left at its end.
    ///
    /// # Errors
    ///
    /// [`AuditError::Permissions`] when others have access, [`AuditError::InUse`] when another process writes it,
    /// [`AuditError::Corrupt`] when it was changed, [`AuditError::Store`] when it cannot be written.
    pub fn open(directory: &Path, options: AuditOptions) -> Result<Self, AuditError> {
        Self::open_on(AuditDirectory::new(directory), options)
    }

    /// The same on any disk.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_on<D: Disk + 'static>(disk: D, options: AuditOptions) -> Result<Self, AuditError> {
        let place = disk.name();
        let writer = open::open(disk, options.clone(), now_ms())?;
        let public_key = writer.signer.public_pem().to_owned();
        let shared = Arc::new(Shared {
            options,
            queue: Mutex::default(),
            changed: Condvar::new(),
            failing: AtomicBool::new(false),
            writing_since: AtomicU64::new(0),
            opened: Instant::now(),
            head: Mutex::new(writer.head),
            entries: AtomicU64::new(writer.written),
            lost: AtomicU64::new(0),
        });
        let (inner, span) = (shared.clone(), tracing::Span::current());
        let thread = thread::Builder::new()
            .name("midstreamer-audit".to_owned())
            .spawn(move || {
                let _inside = span.entered();
                inner.run(writer)
            })
            .map_err(|error| AuditError::Store(format!("no thread could be started: {error}")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), place, public_key })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The key by which its checkpoints are verified, as PEM.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The last durable entry. Whoever keeps it elsewhere notices when the log is cut before it, or written anew.
    #[must_use]
    pub fn head(&self) -> Anchor {
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For monitoring.
    #[must_use]
    pub fn counts(&self) -> AuditCounts {
        AuditCounts {
            entries: self.shared.entries.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
        }
    }

    /// Writes what waits and closes the log with a checkpoint. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`AuditError::Store`] when what waited could not be written.
    pub fn close(&self) -> Result<(), AuditError> {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        thread
            .join()
            .unwrap_or_else(|_| Err(AuditError::Store("the thread of the audit log panicked".to_owned())))
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the audit log was not closed");
        }
    }
}

impl Audit for AuditLog {
    fn record(&self, entry: Entry) -> Result<(), AuditError> {
        let entry = checked(entry)?;
        let (answer, outcome) = sync_channel(1);
        let item = Item { at: now_ms(), bytes: weight(&entry), work: Work::Record(entry, answer) };
        self.shared.push(item)?;
        match outcome.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Disconnected) => Err(AuditError::Closed),
            // It may still be written: then the log tells of more than has happened, and never of less.
            Err(RecvTimeoutError::Timeout) => {
                Err(AuditError::Store(format!("the disk does not answer for {} s", PATIENCE.as_secs())))
            }
        }
    }

    fn note(&self, entry: Entry) {
        let Ok(entry) = checked(entry) else { return self.shared.lose() };
        if !Refusals::counts(entry.action) {
            let item = Item { at: now_ms(), bytes: weight(&entry), work: Work::Note(entry) };
            // What found no room was counted.
            return drop(self.shared.push(item));
        }
        let mut queue = self.shared.lock();
        if !queue.closing {
            queue.refusals.add(entry, now_ms(), Instant::now());
            drop(queue);
            self.shared.changed.notify_all();
        }
    }

    fn note_made(&self, bytes: usize, make: MakeEntries) {
        let item = Item { at: now_ms(), bytes, work: Work::Make(make) };
        drop(self.shared.push(item));
    }

    fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed) || self.shared.hangs()
    }
}

/// Whoever waits is let go when the thread ends, however it ends.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        if !queue.closing {
            self.0.failing.store(true, Ordering::Relaxed);
        }
        queue.closing = true;
        let left = queue.take(usize::MAX);
        drop(queue);
        drop(left);
    }
}

/// What the log says of itself nobody else may say.
fn checked(entry: Entry) -> Result<Entry, AuditError> {
    match entry.action {
        Action::LogOpened | Action::LogClosed | Action::Checkpoint | Action::EntriesLost => {
            Err(AuditError::Invalid(format!("{:?} is an entry of the log itself", entry.action)))
        }
        _ => Ok(entry),
    }
}

impl Shared {
    /// A write takes so long that it may not end.
    fn hangs(&self) -> bool {
        let since = self.writing_since.load(Ordering::Relaxed);
        since > 0 && self.elapsed_ms().saturating_sub(since) > HANGS_MS
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item) -> Result<(), AuditError> {
        let mut queue = self.lock();
        if queue.closing {
            return Err(AuditError::Closed);
        }
        let first = queue.is_empty();
        let urgent = matches!(item.work, Work::Record(..));
        let at = item.at;
        if !queue.push(item, self.options.queue_entries, self.options.queue_bytes) {
            // It is told of as soon as there is room; whoever records is told at once.
            self.count_lost(&mut queue, 1, at);
            drop(queue);
            self.changed.notify_all();
            return Err(AuditError::Store("more entries wait than there is room for".to_owned()));
        }
        let full = queue.is_full(BATCH);
        drop(queue);
        if first || urgent || full {
            self.changed.notify_all();
        }
        Ok(())
    }

    fn lose(&self) {
        self.count_lost(&mut self.lock(), 1, now_ms());
    }

    fn count_lost(&self, queue: &mut Queue, count: u64, at: u64) {
        queue.lose(count, at);
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    fn run<D: Disk>(&self, mut writer: Writer<D>) -> Result<(), AuditError> {
        let _end = End(self);
        // After a write that failed: not before then.
        let mut pause: Option<Instant> = None;
        loop {
            let mut queue = self.lock();
            while !queue.closing {
                let now = Instant::now();
                let wake = pause.or_else(|| self.wake(&queue, &writer, now));
                match wake {
                    Some(at) if at <= now => break,
                    Some(at) => {
                        let waited = self.changed.wait_timeout(queue, at - now);
                        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                    None => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            }
            let closing = queue.closing;
            if closing || queue.refusals.due().is_some_and(|due| due <= Instant::now()) {
                let refused = queue.refusals.take();
                queue.put_behind(refused);
            }
            let lost = queue.lost;
            let items = queue.take(BATCH);
            let last = closing && queue.is_empty();
            drop(queue);
            match self.write(&mut writer, items, lost, last) {
                Ok(()) if last => return Ok(()),
                Ok(()) => pause = None,
                Err(error) => {
                    if !self.failing.swap(true, Ordering::Relaxed) {
                        tracing::error!(%error, "the audit log cannot be written");
                    }
                    if closing {
                        return self.give_up(error);
                    }
                    pause = Some(Instant::now() + writer.options.retry);
                }
            }
        }
    }

    /// When there is something to do; `None`: not until somebody says so.
    fn wake<D: Disk>(&self, queue: &Queue, writer: &Writer<D>, now: Instant) -> Option<Instant> {
        if queue.waiting > 0 || queue.is_full(BATCH) || queue.lost.count > 0 || writer.beside.is_some() {
            return Some(now);
        }
        let dues = [queue.due(self.options.note_delay), queue.refusals.due(), writer.checkpoint_due()];
        dues.into_iter().flatten().min()
    }

    /// Writes, and answers whoever waits.
    fn write<D: Disk>(
        &self,
        writer: &mut Writer<D>,
        items: Vec<Item>,
        lost: super::queue::Lost,
        last: bool,
    ) -> Result<(), AuditError> {
        let mut entries: Vec<Timed> = Vec::new();
        if lost.count > 0 {
            let mut detail = Map::new();
            detail.insert("count".to_owned(), lost.count.into());
            detail.insert("since".to_owned(), lost.since.into());
            entries.push((now_ms(), own(Action::EntriesLost, writer.signer.log().to_owned(), detail)));
        }
        // Who waits for which entry, by its place.
        let mut waiting: Vec<(usize, SyncSender<Result<(), AuditError>>)> = Vec::new();
        for Item { at, work, .. } in items {
            match work {
                Work::Note(entry) => entries.push((at, entry)),
                Work::Make(make) => entries.extend(make().into_iter().map(|entry| (at, entry))),
                Work::Record(entry, answer) => {
                    waiting.push((entries.len(), answer));
                    entries.push((at, entry));
                }
            }
        }
        if last {
            entries.push(open::closing(&writer.signer, now_ms()));
        }
        let all = entries.len();
        self.writing_since.store(self.elapsed_ms(), Ordering::Relaxed);
        let written = writer.append(&mut entries, last, now_ms());
        self.writing_since.store(0, Ordering::Relaxed);
        let done = all - entries.len();
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = writer.head;
        self.entries.store(writer.written, Ordering::Relaxed);
        let mut queue = self.lock();
        if done > 0 && lost.count > 0 {
            queue.lost.count -= lost.count;
        }
        if let Err(error) = &written {
            // Whoever waits is told and may try again; the others stay, unless the entry was about those that are lost.
            let own_entries = usize::from(lost.count > 0);
            let kept = entries.into_iter().enumerate().map(|(index, entry)| (done + index, entry));
            let kept = kept.filter(|(place, _)| {
                *place >= own_entries
                    && !(last && *place == all - 1)
                    && waiting.iter().all(|(waits, _)| waits != place)
            });
            queue.put_back(kept.map(|(_, entry)| entry).collect());
            // That they are missing is written when that is possible, and shows when it is.
            let refused = waiting.iter().filter(|(place, _)| *place >= done).count() as u64;
            if refused > 0 {
                self.count_lost(&mut queue, refused, now_ms());
            }
            drop(queue);
            for (place, answer) in waiting {
                // Nobody listens who has gone meanwhile.
                drop(answer.send(if place < done { Ok(()) } else { Err(error.clone()) }));
            }
            return written;
        }
        let whole = queue.lost.count == 0;
        drop(queue);
        for (_, answer) in waiting {
            drop(answer.send(Ok(())));
        }
        writer.put_beside()?;
        if whole && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the audit log is written again");
        }
        Ok(())
    }

    /// The end, and something is left that cannot be written.
    fn give_up(&self, error: AuditError) -> Result<(), AuditError> {
        let mut queue = self.lock();
        let left = queue.take(usize::MAX);
        drop(queue);
        tracing::error!(%error, entries = left.len(), "the audit log was closed without its last entries");
        for item in left {
            if let Work::Record(_, answer) = item.work {
                drop(answer.send(Err(error.clone())));
            }
        }
        Err(error)
    }
}
