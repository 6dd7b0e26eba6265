//! What the links of a database have to tell, until the thread that owns the database has time for it.

use crate::swarm::error::SwarmError;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What may wait of one link: beyond it nothing is read from its peer, which QUIC's flow control then stops. More than what a
/// session has unacknowledged, so an honest peer never meets it.
const LINK_WAITING: usize = 8 << 20;

/// What happens to links. Those of one link come in this order: `Up`, messages, `Down`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Messages can be sent.
    Up {
        /// Its number: never used twice, a link that comes back has another.
        link: u64,
        /// Who is at the other end: the id in its certificate.
        peer: String,
        /// The other end is the relay of a coordinator.
        relay: bool,
    },
    /// The peer says something.
    Message {
        /// On which link.
        link: u64,
        /// What: at least one byte, at most 256 KiB.
        bytes: Vec<u8>,
    },
    /// It is over: every `Up` has exactly one `Down`. What was sent and is not acknowledged may be lost.
    ///
    /// A `Down` without an `Up`, whose number is new, tells that a link was refused before it was up.
    Down {
        /// Which link.
        link: u64,
        /// Why; none where this side wanted it. Where its code is final ([`is_final`](super::is_final)) the link does
        /// not come back; otherwise it does by itself, where this side has dialled.
        reason: Option<SwarmError>,
    },
}

/// Takes what the links of a database have to tell. One for each database.
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    letters: Vec<(LinkEvent, Option<Arc<Room>>)>,
    closed: bool,
}

impl Mailbox {
    /// `wake` runs, on a thread of the network, when something has come and nothing was there: it must not block, and should
    /// see to it that [`take`](Self::take) is called.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), wake: Box::new(wake) })
    }

    /// Everything that is there.
    pub fn take(&self) -> Vec<LinkEvent> {
        let letters =
            std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner).letters);
        let open = |(event, room): (LinkEvent, Option<Arc<Room>>)| {
            if let (LinkEvent::Message { bytes, .. }, Some(room)) = (&event, room) {
                room.leave(bytes.len());
            }
            event
        };
        letters.into_iter().map(open).collect()
    }

    /// Nothing comes any more, and what is there is forgotten.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        waiting.letters = Vec::new();
    }

    /// A message takes room until it is taken.
    pub(super) fn put(&self, event: LinkEvent, room: Option<&Arc<Room>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return;
        }
        if let (LinkEvent::Message { bytes, .. }, Some(room)) = (&event, room) {
            room.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        let first = waiting.letters.is_empty();
        waiting.letters.push((event, room.cloned()));
        drop(waiting);
        if first {
            (self.wake)();
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Mailbox").field("letters", &waiting.letters.len()).finish_non_exhaustive()
    }
}

/// What waits of one link.
#[derive(Debug, Default)]
pub(super) struct Room {
    waiting: AtomicUsize,
    left: Notify,
}

impl Room {
    fn leave(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        // One task reads a link, and it may be about to wait.
        self.left.notify_one();
    }

    /// Waits until another message may come.
    pub(super) async fn free(&self) {
        while self.waiting.load(Ordering::Relaxed) >= LINK_WAITING {
            self.left.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn message(link: u64, bytes: usize) -> LinkEvent {
        LinkEvent::Message { link, bytes: vec![7; bytes] }
    }

    #[test]
    fn who_takes_is_woken_once() {
        let woken = Arc::new(AtomicU32::new(0));
        let wakes = woken.clone();
        let mailbox = Mailbox::new(move || {
            wakes.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!((mailbox.take(), woken.load(Ordering::Relaxed)), (vec![], 0));
        for turn in 1..4 {
            let down = LinkEvent::Down { link: 2, reason: None };
            mailbox.put(message(1, 3), None);
            mailbox.put(down.clone(), None);
            assert_eq!(woken.load(Ordering::Relaxed), turn);
            assert_eq!(mailbox.take(), [message(1, 3), down]);
        }
        mailbox.put(message(1, 3), None);
        mailbox.close();
        mailbox.put(message(1, 3), None);
        assert_eq!((mailbox.take(), woken.load(Ordering::Relaxed)), (vec![], 4));
    }

    #[test]
    fn a_link_whose_messages_are_not_taken_is_not_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (mailbox, room) = (Mailbox::new(|| ()), Arc::new(Room::default()));
        runtime.block_on(async {
            room.free().await;
            mailbox.put(message(1, LINK_WAITING - 1), Some(&room));
            room.free().await;
            mailbox.put(message(1, 1), Some(&room));
            let soon = std::time::Duration::from_millis(20);
            assert!(tokio::time::timeout(soon, room.free()).await.is_err());
            assert_eq!(mailbox.take().len(), 2);
            room.free().await;
        });
    }
}
