//! An engine that passes on what it gets to the other links of a database, and answers each message with an echo; and nodes
//! that keep what they are told.

use crate::live::PATIENCE;
use midstreamer::protocol::messages::Code;
use midstreamer::swarm::SwarmError;
use midstreamer::swarm::coordinator::{LinkFailure, RelayEngine, RelayOpener};
use midstreamer::swarm::sync::{LinkEvent, Links, Mailbox};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// What a test tells the engine, and what the engine tells the test.
#[derive(Default)]
pub(super) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    /// Commits fail.
    pub(super) fails: bool,
    /// Nothing can be opened.
    pub(super) closed: bool,
    /// Messages are not looked at.
    pub(super) held: bool,
    /// Times that it was opened.
    pub(super) opened: u32,
    /// Nodes and databases that have joined.
    pub(super) joined: Vec<(String, String)>,
    /// Messages that were taken.
    pub(super) messages: u64,
}

impl Control {
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    pub(super) fn get<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.lock().unwrap())
    }

    /// Opens engines that it controls.
    pub(super) fn opener(self: &Arc<Self>) -> RelayOpener {
        let control = self.clone();
        Arc::new(move |_| {
            let mut state = control.state.lock().unwrap();
            if state.closed {
                return Err("the disk is gone".to_owned());
            }
            state.opened += 1;
            Ok(Box::new(Engine {
                control: control.clone(),
                links: Vec::new(),
                out: Vec::new(),
                ready: Vec::new(),
                failed: Vec::new(),
            }))
        })
    }
}

struct Engine {
    control: Arc<Control>,
    links: Vec<(u64, String, String)>,
    /// Before and after the commit.
    out: Vec<(u64, Vec<u8>)>,
    ready: Vec<(u64, Vec<u8>)>,
    failed: Vec<(u64, LinkFailure)>,
}

impl RelayEngine for Engine {
    fn joined(&mut self, link: u64, node: &str, database: &str, now_ms: u64) {
        assert!(now_ms > 1_600_000_000_000, "{now_ms}");
        self.control.set(|state| state.joined.push((node.to_owned(), database.to_owned())));
        self.links.push((link, node.to_owned(), database.to_owned()));
    }

    fn message(&mut self, link: u64, bytes: &[u8], _: u64) -> Result<(), LinkFailure> {
        let mut state = self.control.state.lock().unwrap();
        while state.held {
            state = self.control.changed.wait(state).unwrap();
        }
        state.messages += 1;
        drop(state);
        let (_, node, database) = self.links.iter().find(|(other, ..)| *other == link).unwrap().clone();
        match bytes {
            b"!refuse" => {
                return Err(LinkFailure { code: Code::Protocol, message: "this is no message".to_owned() });
            }
            // Found when it is worked on.
            b"!late" => {
                let message = "this cannot be".to_owned();
                self.failed.push((link, LinkFailure { code: Code::Forbidden, message }));
            }
            // Without the words that a panic of its own would print.
            b"!panic" => std::panic::resume_unwind(Box::new("the engine fails")),
            b"!flood" => self.out.extend((0..700).map(|_| (link, vec![9; 256 << 10]))),
            _ => {}
        }
        for (other, _, of) in &self.links {
            if *of == database {
                let from = if *other == link { "echo" } else { &node };
                self.out.push((*other, [from.as_bytes(), b":", bytes].concat()));
            }
        }
        Ok(())
    }

    fn left(&mut self, link: u64) {
        self.links.retain(|(other, ..)| *other != link);
    }

    fn tick(&mut self, _: u64) {}

    fn commit(&mut self) -> Result<(), String> {
        if self.control.get(|state| state.fails) {
            return Err("the disk is full".to_owned());
        }
        self.ready.append(&mut self.out);
        Ok(())
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn take_outgoing(&mut self) -> Vec<(u64, Vec<u8>)> {
        assert!(self.out.is_empty(), "nothing leaves before its commit");
        std::mem::take(&mut self.ready)
    }

    fn take_failed(&mut self) -> Vec<(u64, LinkFailure)> {
        std::mem::take(&mut self.failed)
    }

    fn take_latencies_ms(&mut self) -> Vec<u64> {
        Vec::new()
    }
}

/// The links of one database, and what they tell.
pub(crate) struct Node {
    pub(crate) links: Links,
    mailbox: Arc<Mailbox>,
    woken: Receiver<()>,
    told: VecDeque<LinkEvent>,
}

impl Node {
    pub(crate) fn new(database: &str) -> Self {
        let (wake, woken) = channel();
        let wake = Mutex::new(wake);
        // Nobody looks any more at the end of a test.
        let mailbox = Mailbox::new(move || wake.lock().unwrap().send(()).unwrap_or_default());
        let links = Links::new(mailbox.clone(), database.to_owned()).unwrap();
        Self { links, mailbox, woken, told: VecDeque::new() }
    }

    /// What is told next, waited for.
    pub(crate) fn next(&mut self) -> LinkEvent {
        self.next_within(PATIENCE).expect("nothing is told")
    }

    pub(crate) fn next_within(&mut self, patience: std::time::Duration) -> Option<LinkEvent> {
        let until = Instant::now() + patience;
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some(event);
            }
            self.woken.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
            self.told.extend(self.mailbox.take());
        }
    }

    /// The next link that is up, and who is at its end.
    pub(crate) fn up(&mut self) -> (u64, String, bool) {
        match self.next() {
            LinkEvent::Up { link, peer, relay } => (link, peer, relay),
            other => panic!("{other:?}"),
        }
    }

    /// Why the link goes down. Messages that come before are passed over.
    pub(crate) fn down(&mut self, of: u64) -> Option<SwarmError> {
        loop {
            match self.next() {
                LinkEvent::Message { link, .. } if link == of => {}
                LinkEvent::Down { link, reason } if link == of => return reason,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message of the link.
    pub(crate) fn message(&mut self, of: u64) -> Vec<u8> {
        match self.next() {
            LinkEvent::Message { link, bytes } if link == of => bytes,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn close(&self) {
        let (sender, closed) = channel();
        self.links.close(move || sender.send(()).unwrap());
        closed.recv_timeout(PATIENCE).unwrap();
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
