//! The side that dials.

use super::limits::{check_hello, check_welcome, identifier, names};
use super::{FEATURES, LeaseClock, MAX_HELD, SessionError, Version, invalid};
use crate::protocol::frame::{Frame, FrameError, HANDSHAKE_FRAME_BYTES, encode_message};
use crate::protocol::messages::{Code, FrameKind, Held, Hello, Refuse, Resume, Welcome};
use crate::protocol::{Generation, Millis};
use bytes::{Bytes, BytesMut};
use prost::Message;
use std::collections::BTreeMap;

/// An encoded [`Held`] in a repeated field is never longer.
const HELD_BYTES: usize = 32;

/// All of a frame but header and payload, and the field `more`.
const FRAME_BYTES: usize = 32;

/// Tasks in one Resume frame.
pub(super) const HELD_IN_FRAME: usize = (HANDSHAKE_FRAME_BYTES - FRAME_BYTES) / HELD_BYTES;

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Random, one for every Agent object.
    pub instance: [u8; 16],
    /// What it is for.
    pub agent_type: String,
    /// What tasks may require.
    pub capabilities: Vec<String>,
    /// Kinds of tasks with a handler.
    pub kinds: Vec<String>,
    /// Tasks at a time.
    pub slots: u32,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
    /// Name and version of the program.
    pub software: String,
}

/// A session that has been asked for.
#[derive(Debug)]
pub struct Dialing {
    hello_at: Millis,
    store: Option<[u8; 16]>,
    features: u64,
    /// Tasks that Hello listed.
    listed: usize,
    /// Those that go on.
    resumed: Vec<Held>,
}

/// A session, as its agent sees it.
#[derive(Debug)]
pub struct Accepted {
    /// The coordinator's own name; the certificate must say the same.
    pub coordinator: String,
    /// Number of this login.
    pub generation: Generation,
    /// The coordinator's store.
    pub store: [u8; 16],
    /// Starts on that store.
    pub epoch: u64,
    /// What was held comes from this store; if not, it is void: nobody waits for its results.
    pub held_valid: bool,
    /// What of the held tasks goes on. All others belong to somebody else by now, or have their outcome.
    pub resumed: Vec<Held>,
    /// The longest payload.
    pub max_message_bytes: usize,
    /// Features that both sides can use.
    pub features: u64,
    /// Pause between heartbeats.
    pub heartbeat_ms: u64,
    /// For how long work may be started; knows the agent timeout.
    pub lease: LeaseClock,
}

impl Dialing {
    /// Appends the frames that ask for a session to `out`, which are to be sent at `now`. `held` are the tasks of an
    /// earlier session, from the store that its Welcome named.
    pub fn new(
        version: Version,
        registration: &Registration,
        held: &[Held],
        store: Option<[u8; 16]>,
        now: Millis,
        out: &mut BytesMut,
    ) -> Result<Self, SessionError> {
        if held.len() > MAX_HELD {
            return Err(invalid(format!("{} tasks to resume, at most {MAX_HELD}", held.len())));
        }
        if !held.is_empty() && store.is_none() {
            return Err(invalid("tasks to resume, and no store that they come from"));
        }
        let mut hello = Hello {
            protocol: version.protocol,
            features: FEATURES,
            instance: Bytes::copy_from_slice(&registration.instance),
            agent_type: registration.agent_type.clone(),
            capabilities: registration.capabilities.clone(),
            kinds: registration.kinds.clone(),
            slots: registration.slots,
            metadata: registration.metadata.clone(),
            software: registration.software.clone(),
            store: store.map_or_else(Bytes::new, |store| Bytes::copy_from_slice(&store)),
            resume: Vec::new(),
            more: false,
        };
        check_hello(&hello)?;
        names("capability", &hello.capabilities)?;
        names("kind", &hello.kinds)?;
        let length = hello.encoded_len() + FRAME_BYTES;
        let room = HANDSHAKE_FRAME_BYTES
            .checked_sub(length)
            .ok_or(FrameError::TooLong { length, limit: HANDSHAKE_FRAME_BYTES })?;
        let (first, rest) = held.split_at(held.len().min(room / HELD_BYTES));
        hello.resume = first.to_vec();
        hello.more = !rest.is_empty();
        encode_message(FrameKind::Hello, 0, &hello, &[], out)?;
        let mut chunks = rest.chunks(HELD_IN_FRAME).peekable();
        while let Some(chunk) = chunks.next() {
            let resume = Resume { resume: chunk.to_vec(), more: chunks.peek().is_some() };
            encode_message(FrameKind::Resume, 0, &resume, &[], out)?;
        }
        Ok(Self { hello_at: now, store, features: hello.features, listed: held.len(), resumed: Vec::new() })
    }

    /// The next frame that comes back; a session with the Welcome. A refusal is [`SessionError::Refused`].
    pub fn receive(&mut self, frame: &Frame) -> Result<Option<Accepted>, SessionError> {
        match frame.kind {
            FrameKind::Resume => {
                let resume: Resume = frame.message()?;
                if resume.resume.is_empty() || self.resumed.len() + resume.resume.len() > self.listed {
                    return Err(invalid("more tasks go on than Hello listed"));
                }
                self.resumed.extend(resume.resume);
                Ok(None)
            }
            FrameKind::Welcome => self.accept(frame.message()?).map(Some),
            FrameKind::Refuse => {
                let refuse: Refuse = frame.message()?;
                // A code that is not known is not final: a later one may be.
                let code = Code::try_from(refuse.code).unwrap_or(Code::Unspecified);
                Err(SessionError::Refused { code, message: refuse.message })
            }
            kind => Err(SessionError::Unexpected { kind, place: "before Welcome" }),
        }
    }

    fn accept(&mut self, welcome: Welcome) -> Result<Accepted, SessionError> {
        check_welcome(&welcome, self.features)?;
        let store = identifier("store", &welcome.store)?;
        Ok(Accepted {
            generation: Generation(welcome.generation),
            store,
            epoch: welcome.epoch,
            held_valid: self.store.is_none_or(|held| held == store),
            resumed: std::mem::take(&mut self.resumed),
            max_message_bytes: usize::try_from(welcome.max_message_bytes)
                .map_err(|_| invalid(format!("messages of {} bytes", welcome.max_message_bytes)))?,
            features: welcome.features,
            heartbeat_ms: welcome.heartbeat_ms,
            lease: LeaseClock::new(welcome.agent_timeout_ms, self.hello_at),
            coordinator: welcome.coordinator,
        })
    }
}
