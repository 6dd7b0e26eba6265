//! The side that listens.

use super::agent::HELD_IN_FRAME;
use super::limits::{check_hello, identifier, names};
use super::{FEATURES, MAX_HELD, SessionError, Version, invalid};
use crate::protocol::frame::{Frame, FrameError, encode_message};
use crate::protocol::messages::{Code, FrameKind, Held, Hello, Refuse, Resume, Welcome};
use crate::protocol::{Generation, Millis};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A connection from which nothing has come.
#[derive(Debug)]
pub struct Listening {
    version: Version,
    opened_at: Millis,
    limit_ms: u64,
    /// What has come of a Hello that is continued.
    greeting: Option<Greeting>,
}

/// A Hello within all limits. Who says it is in the certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Greeting {
    /// Features that both sides can use.
    pub features: u64,
    /// The same for every login of one Agent object.
    pub instance: [u8; 16],
    /// What it is for.
    pub agent_type: String,
    /// What tasks may require; sorted, each once.
    pub capabilities: Vec<Arc<str>>,
    /// Kinds of tasks with a handler; sorted, each once.
    pub kinds: Vec<Arc<str>>,
    /// Tasks at a time; 0 for an agent that drains.
    pub slots: u32,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
    /// Name and version of the program; may be empty.
    pub software: String,
    /// Where the held tasks come from.
    pub store: Option<[u8; 16]>,
    /// Tasks of an earlier session.
    pub held: Vec<Held>,
}

impl Listening {
    /// A connection of a version, opened at `now`; Hello must be complete within `limit_ms`.
    pub fn new(version: Version, now: Millis, limit_ms: u64) -> Self {
        Self { version, opened_at: now, limit_ms, greeting: None }
    }

    /// When to call [`Listening::expire`].
    pub fn deadline(&self) -> Millis {
        self.opened_at.saturating_add(self.limit_ms)
    }

    /// An error once the deadline has come.
    pub fn expire(&self, now: Millis) -> Result<(), SessionError> {
        if now < self.deadline() { Ok(()) } else { Err(SessionError::Silent { limit_ms: self.limit_ms }) }
    }

    /// The next frame. `Some` when Hello is complete: no other frame is to be given here then.
    pub fn receive(&mut self, frame: &Frame) -> Result<Option<Greeting>, SessionError> {
        let (greeting, held, more) = match (frame.kind, self.greeting.take()) {
            (FrameKind::Hello, None) => {
                let hello: Hello = frame.message()?;
                let (greeting, held) = greeting_of(hello, self.version)?;
                (greeting, held.resume, held.more)
            }
            (FrameKind::Resume, Some(greeting)) => {
                let resume: Resume = frame.message()?;
                if resume.resume.is_empty() {
                    // Else a peer could go on for ever.
                    return Err(invalid("a Resume frame without tasks"));
                }
                (greeting, resume.resume, resume.more)
            }
            (kind, None) => return Err(SessionError::Unexpected { kind, place: "before Hello" }),
            (kind, Some(_)) => {
                return Err(SessionError::Unexpected { kind, place: "before the end of Hello" });
            }
        };
        let mut greeting = greeting;
        if greeting.held.len() + held.len() > MAX_HELD {
            return Err(invalid(format!("more than {MAX_HELD} tasks to resume")));
        }
        if !held.is_empty() && greeting.store.is_none() {
            return Err(invalid("tasks to resume, and no store that they come from"));
        }
        greeting.held.extend(held);
        if more {
            self.greeting = Some(greeting);
            return Ok(None);
        }
        Ok(Some(greeting))
    }
}

/// The checked Hello without its tasks, and those.
fn greeting_of(hello: Hello, version: Version) -> Result<(Greeting, Resume), SessionError> {
    if hello.protocol != version.protocol {
        return Err(SessionError::Version { hello: hello.protocol, connection: version.protocol });
    }
    check_hello(&hello)?;
    let store = (!hello.store.is_empty()).then(|| identifier("store", &hello.store)).transpose()?;
    let greeting = Greeting {
        features: hello.features & FEATURES,
        instance: identifier("instance", &hello.instance)?,
        capabilities: names("capability", &hello.capabilities)?,
        kinds: names("kind", &hello.kinds)?,
        agent_type: hello.agent_type,
        slots: hello.slots,
        metadata: hello.metadata,
        software: hello.software,
        store,
        held: Vec::new(),
    };
    Ok((greeting, Resume { resume: hello.resume, more: hello.more }))
}

/// On what a coordinator accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its name.
    pub coordinator: String,
    /// Number of this login.
    pub generation: Generation,
    /// Its store.
    pub store: [u8; 16],
    /// Starts on that store.
    pub epoch: u64,
    /// After so long an agent that is not heard of is lost.
    pub agent_timeout_ms: u64,
    /// The longest payload.
    pub max_message_bytes: u64,
    /// Features that it has; those that the agent has too are announced.
    pub features: u64,
}

impl Terms {
    /// Heartbeats, and keep-alives of the connection: three before an agent is lost.
    pub fn heartbeat_ms(&self) -> u64 {
        (self.agent_timeout_ms / 3).max(1)
    }

    /// Appends the Welcome for a greeting to `out`, after those of its tasks that go on.
    pub fn welcome(
        &self,
        greeting: &Greeting,
        resumed: &[Held],
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        let mut chunks = resumed.chunks(HELD_IN_FRAME).peekable();
        while let Some(chunk) = chunks.next() {
            let resume = Resume { resume: chunk.to_vec(), more: chunks.peek().is_some() };
            encode_message(FrameKind::Resume, 0, &resume, &[], out)?;
        }
        let welcome = Welcome {
            coordinator: self.coordinator.clone(),
            generation: self.generation.0,
            store: Bytes::copy_from_slice(&self.store),
            epoch: self.epoch,
            agent_timeout_ms: self.agent_timeout_ms,
            max_message_bytes: self.max_message_bytes,
            features: greeting.features & self.features,
            heartbeat_ms: self.heartbeat_ms(),
        };
        encode_message(FrameKind::Welcome, 0, &welcome, &[], out)
    }
}

/// Appends a refusal to `out`, after which the connection is closed with the same code.
pub fn refuse(code: Code, message: &str, out: &mut BytesMut) -> Result<(), FrameError> {
    let refuse = Refuse { code: code.into(), message: message.to_owned() };
    encode_message(FrameKind::Refuse, 0, &refuse, &[], out)
}
