//! What is on its way into one stream: any thread adds to it, one task writes. Bounded in bytes as they are, by how much
//! waits and for how long nothing of it went: honest peers have windows above this, which are far smaller.

use crate::swarm::lanes::Traffic;
use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendStream, WriteError};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What may wait for a peer that reads: the windows of some tens of databases, which a restart fills all at once.
const READING: usize = 128 << 20;

/// What may wait for one that does not.
const STUCK: usize = 16 << 20;

/// A peer that has something waiting and has taken nothing for so long does not read.
const STILL: Duration = Duration::from_secs(10);

/// What waits in all streams that share a [`Total`], from where on none of them has anything waiting that does not read, and
/// who fills them had better wait.
const MUCH: usize = 256 << 20;

/// What is written at once, so that what has gone makes room.
const PART: usize = 256 << 10;

/// A payload up to this is copied behind its head: a chunk of its own costs more.
const COPIED: usize = 4 << 10;

/// quinn sends streams of larger numbers first; tasks and large payloads have 1 and 0.
const PRIORITY: i32 = -1;

/// The peer does not read what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not read what waits for it")]
pub(in crate::swarm) struct Full;

/// Bytes that wait in the streams of all connections of a coordinator.
#[derive(Debug, Clone, Default)]
pub(in crate::swarm) struct Total(Arc<AtomicUsize>);

impl Total {
    pub(in crate::swarm) fn is_much(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MUCH
    }
}

/// The way into the stream; clones lead into the same one.
#[derive(Debug, Clone)]
pub(in crate::swarm) struct Outbox(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    total: Total,
}

#[derive(Debug)]
struct Waiting {
    chunks: VecDeque<Bytes>,
    /// Of these, and of what the writer has taken and the connection has not.
    bytes: usize,
    /// When the peer last took something, or something began to wait.
    moved: Instant,
}

impl Waiting {
    /// Whether so much waits that the peer cannot be reading.
    fn is_too_much(&self, total: &Total, now: Instant) -> bool {
        let still = self.bytes > 0 && now.saturating_duration_since(self.moved) >= STILL;
        self.bytes > READING || still && (self.bytes > STUCK || total.is_much())
    }

    fn add(&mut self, bytes: usize, now: Instant) {
        if self.bytes == 0 {
            self.moved = now;
        }
        self.bytes += bytes;
    }
}

impl Outbox {
    pub(in crate::swarm) fn new(total: Total) -> Self {
        let waiting = Mutex::new(Waiting { chunks: VecDeque::new(), bytes: 0, moved: Instant::now() });
        Self(Arc::new(Queue { waiting, filled: Notify::new(), total }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame: its head, and its payload, which is not copied unless it is short.
    pub(in crate::swarm) fn push(&self, mut head: BytesMut, payload: Bytes) -> Result<(), Full> {
        let (bytes, now) = (head.len() + payload.len(), Instant::now());
        let mut waiting = self.lock();
        if waiting.is_too_much(&self.0.total, now) {
            return Err(Full);
        }
        let was_empty = waiting.chunks.is_empty();
        if payload.len() <= COPIED {
            head.extend_from_slice(&payload);
            waiting.chunks.push_back(head.freeze());
        } else {
            waiting.chunks.extend([head.freeze(), payload]);
        }
        self.added(waiting, was_empty, bytes, now);
        Ok(())
    }

    /// The same for a frame that is bounded otherwise.
    pub(in crate::swarm) fn push_always(&self, frame: BytesMut) {
        let (bytes, now) = (frame.len(), Instant::now());
        let mut waiting = self.lock();
        let was_empty = waiting.chunks.is_empty();
        waiting.chunks.push_back(frame.freeze());
        self.added(waiting, was_empty, bytes, now);
    }

    fn added(&self, mut waiting: MutexGuard<'_, Waiting>, was_empty: bool, bytes: usize, now: Instant) {
        waiting.add(bytes, now);
        self.0.total.0.fetch_add(bytes, Ordering::Relaxed);
        drop(waiting);
        if was_empty {
            self.0.filled.notify_one();
        }
    }

    /// Whether the peer has stopped reading with too much waiting for it.
    pub(in crate::swarm) fn is_stuck(&self) -> bool {
        self.lock().is_too_much(&self.0.total, Instant::now())
    }

    /// What is written next.
    fn next(&self) -> Vec<Bytes> {
        let mut waiting = self.lock();
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < PART
            && let Some(chunk) = waiting.chunks.pop_front()
        {
            bytes += chunk.len();
            part.push(chunk);
        }
        part
    }

    fn written(&self, bytes: usize) {
        let mut waiting = self.lock();
        waiting.bytes -= bytes;
        waiting.moved = Instant::now();
        drop(waiting);
        self.0.total.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Writes what is added, behind everything else of its connection, until the stream or the connection ends.
    pub(in crate::swarm) async fn write(
        self,
        connection: Connection,
        mut stream: SendStream,
        traffic: Arc<Traffic>,
    ) -> Result<(), WriteError> {
        // An error is a stream that has ended: the first write says so too.
        drop(stream.set_priority(PRIORITY));
        let closed = connection.closed();
        tokio::pin!(closed);
        loop {
            let mut part = self.next();
            if part.is_empty() {
                // This task itself keeps the queue: nobody else would end it.
                tokio::select! {
                    () = self.0.filled.notified() => continue,
                    error = &mut closed => return Err(WriteError::ConnectionLost(error)),
                }
            }
            let mut rest = &mut part[..];
            while !rest.is_empty() {
                let written = stream.write_chunks(rest).await?;
                traffic.sent.fetch_add(written.bytes as u64, Ordering::Relaxed);
                self.written(written.bytes);
                rest = &mut rest[written.chunks..];
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let waiting = self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.total.0.fetch_sub(waiting.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(outbox: &Outbox, bytes: usize) -> Result<(), Full> {
        outbox.push(BytesMut::from(&b"head"[..]), Bytes::from(vec![1; bytes - 4]))
    }

    fn fill(outbox: &Outbox, bytes: usize) {
        (0..bytes / PART).for_each(|_| add(outbox, PART).unwrap());
    }

    /// As if nothing had gone for a while.
    fn wait(outbox: &Outbox) {
        outbox.lock().moved -= STILL;
    }

    #[test]
    fn who_reads_may_have_much_waiting_and_who_does_not_little() {
        let outbox = Outbox::new(Total::default());
        fill(&outbox, STUCK);
        wait(&outbox);
        add(&outbox, 5).unwrap();
        assert!(outbox.is_stuck());
        assert_eq!(add(&outbox, 5), Err(Full));
        // Something has gone.
        let part = outbox.next();
        assert_eq!((part.len(), part.iter().map(Bytes::len).sum::<usize>()), (2, PART));
        assert_eq!(add(&outbox, 5), Err(Full), "what is being written waits still");
        outbox.written(4);
        assert!(!outbox.is_stuck());
        fill(&outbox, READING - STUCK);
        assert_eq!(add(&outbox, 5), Err(Full));
    }

    #[test]
    fn what_begins_to_wait_has_not_waited() {
        let outbox = Outbox::new(Total::default());
        wait(&outbox);
        wait(&outbox);
        fill(&outbox, 2 * STUCK);
        assert!(!outbox.is_stuck());
    }

    #[test]
    fn when_all_streams_are_full_only_those_that_move_go_on() {
        let total = Total::default();
        let streams: Vec<_> = (0..MUCH / READING)
            .map(|_| {
                let outbox = Outbox::new(total.clone());
                fill(&outbox, READING);
                outbox
            })
            .collect();
        let late = Outbox::new(total.clone());
        add(&late, 5).unwrap();
        assert!(total.is_much());
        add(&late, 5).unwrap();
        wait(&late);
        assert_eq!(add(&late, 5), Err(Full));
        drop(streams);
        add(&late, 5).unwrap();
        drop(late);
        assert_eq!(total.0.load(Ordering::Relaxed), 0);
    }
}
