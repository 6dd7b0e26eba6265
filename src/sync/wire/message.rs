//! What is said on a link.

use super::bytes::{Input, put_bytes, put_varint};
use super::{FORMAT, WireError, item};
use crate::sync::component::{Component, Slot};
use crate::sync::identity::{Gid, Origin};
use crate::sync::seal::{SealTag, Sealing};
use crate::sync::store::{Delta, Known, OriginState};

/// The name of a database has at most so many bytes (as on the sync lane).
const NAME_BYTES: usize = 128;

/// What a component is found by.
pub type Key = (Gid, Slot);

/// Who speaks. The first message of each side; again when its origin has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name of the database.
    pub database: String,
    /// The origin under which it writes; `None` of a relay.
    pub own: Option<Origin>,
    /// Of a relay: its store, as a random number that was given to it when it was made.
    pub epoch: Option<[u8; 16]>,
    /// Its time, in ms since 1970.
    pub now_ms: u64,
    /// A bit for each thing that later versions may add. Unknown ones are passed over.
    pub capabilities: u64,
    /// Whether it seals; `None` of a relay that nobody has told yet.
    pub sealing: Option<Sealing>,
}

/// How far the sender is with some origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// Its heads are just these; else at least these.
    pub exact: bool,
    /// After this one the receiver has heard of all.
    pub last: bool,
    /// In the order of the origins.
    pub states: Vec<OriginState>,
}

/// What the sender has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Bytes of packets that count, from the beginning of the link.
    pub taken: u64,
    /// Versions up to these are committed by the sender.
    pub heads: Vec<(Origin, u64)>,
}

/// A part of a bucket, in the order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Which one.
    pub bucket: u8,
    /// Only what comes after this one.
    pub after: Option<Key>,
    /// There is more after the last one here.
    pub more: bool,
    /// What the sender has there.
    pub known: Vec<Known>,
}

/// Whether components were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// They were not.
    Unasked = 0,
    /// The answer goes on.
    More = 1,
    /// It ends here.
    Last = 2,
}

/// Why a side ends the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Code {
    /// It has no more to do with this database.
    Closed = 0,
    /// The other side has said what nobody says.
    Protocol = 1,
    /// Another format.
    Format = 2,
    /// Another database.
    Database = 3,
    /// The other side has sent more than the window.
    Flooded = 4,
    /// A message, or more origins, than this side takes.
    TooLarge = 5,
    /// Its store failed.
    Store = 6,
    /// The other side seals otherwise, or not at all.
    Sealing = 7,
}

impl Code {
    const ALL: [Self; 8] = [
        Self::Closed,
        Self::Protocol,
        Self::Format,
        Self::Database,
        Self::Flooded,
        Self::TooLarge,
        Self::Store,
        Self::Sealing,
    ];
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Who speaks.
    Hello(Hello),
    /// How far it is.
    Have(Have),
    /// What an origin has published.
    Delta(Delta),
    /// What was taken.
    Ack(Ack),
    /// Sums over what the sender has, to be compared. The answer is [`Message::Differ`].
    Digest {
        /// Compared even where heads differ.
        forced: bool,
        /// A hash of its heads.
        heads: [u8; 16],
        /// One for each bucket: 256.
        sums: Vec<[u8; 16]>,
    },
    /// Which buckets differ, a bit for each, bucket 0 in the lowest bit of the first byte; `None`: the heads do.
    Differ(Option<[u8; 32]>),
    /// Asks for a part of a bucket. The answer is [`Message::Bucket`].
    Ask {
        /// Which one.
        bucket: u8,
        /// What comes after this one.
        after: Option<Key>,
    },
    /// What is in a bucket.
    Bucket(Bucket),
    /// Asks for components. The answer is [`Message::Mend`], as often as needed.
    Want(Vec<Key>),
    /// Components outside of the order of versions.
    Mend {
        /// Whether the receiver has asked.
        reply: Reply,
        /// What they are.
        components: Vec<Component>,
    },
    /// A relay says up to where all nodes that are connected have committed what this origin published.
    Reach {
        /// Whose versions.
        origin: Origin,
        /// Up to this one.
        version: u64,
    },
    /// Asks for the time. The answer is [`Message::Pong`]. Every Hello asks too.
    Ping {
        /// The sender's.
        now_ms: u64,
    },
    /// Tells the time.
    Pong {
        /// What the other side had said it was.
        echo_ms: u64,
        /// The sender's, when that came.
        now_ms: u64,
    },
    /// The link ends.
    Bye(Code),
}

impl Message {
    /// Whether it counts against the window, and is taken when it was committed: the others are answers, or short.
    #[must_use]
    pub const fn is_bulk(&self) -> bool {
        matches!(self, Self::Delta(_) | Self::Mend { .. })
    }

    /// As bytes, before packing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Hello(hello) => {
                out.push(1);
                out.extend_from_slice(&FORMAT.to_le_bytes());
                put_bytes(&mut out, hello.database.as_bytes());
                put_16(&mut out, hello.own.map(|own| own.0));
                put_16(&mut out, hello.epoch);
                out.extend_from_slice(&hello.now_ms.to_le_bytes());
                out.extend_from_slice(&hello.capabilities.to_le_bytes());
                put_sealing(&mut out, hello.sealing);
            }
            Self::Have(have) => {
                out.extend_from_slice(&[2, u8::from(have.exact), u8::from(have.last)]);
                item::put_states(&mut out, &have.states);
            }
            Self::Delta(delta) => {
                out.push(3);
                item::put_delta(&mut out, delta);
            }
            Self::Ack(ack) => {
                out.push(4);
                put_varint(&mut out, ack.taken);
                put_varint(&mut out, ack.heads.len() as u64);
                for (origin, version) in &ack.heads {
                    out.extend_from_slice(&origin.0);
                    put_varint(&mut out, *version);
                }
            }
            Self::Digest { forced, heads, sums } => {
                out.extend_from_slice(&[5, u8::from(*forced)]);
                out.extend_from_slice(heads);
                sums.iter().for_each(|sum| out.extend_from_slice(sum));
            }
            Self::Differ(differ) => {
                out.extend_from_slice(&[6, u8::from(differ.is_some())]);
                out.extend_from_slice(differ.as_ref().map_or(&[], |differ| differ.as_slice()));
            }
            Self::Ask { bucket, after } => {
                out.extend_from_slice(&[7, *bucket]);
                put_after(&mut out, *after);
            }
            Self::Bucket(page) => {
                out.extend_from_slice(&[8, page.bucket]);
                put_after(&mut out, page.after);
                out.push(u8::from(page.more));
                item::put_known(&mut out, &page.known);
            }
            Self::Want(keys) => {
                out.push(9);
                item::put_keys(&mut out, keys);
            }
            Self::Mend { reply, components } => {
                out.extend_from_slice(&[10, *reply as u8]);
                item::put_components(&mut out, components);
            }
            Self::Reach { origin, version } => {
                out.push(11);
                out.extend_from_slice(&origin.0);
                put_varint(&mut out, *version);
            }
            Self::Ping { now_ms } => {
                out.push(12);
                out.extend_from_slice(&now_ms.to_le_bytes());
            }
            Self::Pong { echo_ms, now_ms } => {
                out.push(13);
                out.extend_from_slice(&echo_ms.to_le_bytes());
                out.extend_from_slice(&now_ms.to_le_bytes());
            }
            Self::Bye(code) => out.extend_from_slice(&[14, *code as u8]),
        }
        out
    }

    /// The reverse of [`Message::encode`].
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`], also when something follows.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut input = Input(bytes);
        let message = match input.byte()? {
            1 => Self::Hello(hello(&mut input)?),
            2 => {
                let (exact, last) = (input.flag()?, input.flag()?);
                Self::Have(Have { exact, last, states: item::states(&mut input)? })
            }
            3 => Self::Delta(item::delta(&mut input)?),
            4 => {
                let (taken, count) = (input.varint()?, input.count(17)?);
                let heads = (0..count).map(|_| Ok((item::origin(&mut input)?, input.version()?)));
                Self::Ack(Ack { taken, heads: heads.collect::<Result<_, WireError>>()? })
            }
            5 => {
                let (forced, heads) = (input.flag()?, input.array()?);
                let sums = (0..256).map(|_| input.array()).collect::<Result<_, _>>()?;
                Self::Digest { forced, heads, sums }
            }
            6 => Self::Differ(if input.flag()? { Some(input.array()?) } else { None }),
            7 => {
                let bucket = input.byte()?;
                Self::Ask { bucket, after: after(&mut input, bucket)? }
            }
            8 => {
                let bucket = input.byte()?;
                let (after, more) = (after(&mut input, bucket)?, input.flag()?);
                let known = item::known(&mut input, bucket)?;
                let follows = known
                    .first()
                    .is_none_or(|first| after.is_none_or(|after| (first.gid, first.slot) > after));
                if !follows || more && known.is_empty() {
                    return Err(WireError::Malformed);
                }
                Self::Bucket(Bucket { bucket, after, more, known })
            }
            9 => Self::Want(item::keys(&mut input)?),
            10 => {
                let reply = match input.byte()? {
                    0 => Reply::Unasked,
                    1 => Reply::More,
                    2 => Reply::Last,
                    _ => return Err(WireError::Malformed),
                };
                Self::Mend { reply, components: item::components(&mut input)? }
            }
            11 => Self::Reach { origin: item::origin(&mut input)?, version: input.version()? },
            12 => Self::Ping { now_ms: input.u64()? },
            13 => Self::Pong { echo_ms: input.u64()?, now_ms: input.u64()? },
            14 => {
                let code = usize::from(input.byte()?);
                Self::Bye(*Code::ALL.get(code).ok_or(WireError::Malformed)?)
            }
            _ => return Err(WireError::Malformed),
        };
        input.end(message)
    }
}

fn put_16(out: &mut Vec<u8>, value: Option<[u8; 16]>) {
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(value.as_ref().map_or(&[], |value| value.as_slice()));
}

fn take_16(input: &mut Input<'_>) -> Result<Option<[u8; 16]>, WireError> {
    Ok(if input.flag()? { Some(input.array()?) } else { None })
}

fn put_sealing(out: &mut Vec<u8>, sealing: Option<Sealing>) {
    match sealing {
        None => out.push(0),
        Some(Sealing::Plain) => out.push(1),
        Some(Sealing::Unnamed) => out.push(2),
        Some(Sealing::Named(tag)) => {
            out.push(3);
            out.extend_from_slice(&tag.0);
        }
    }
}

fn take_sealing(input: &mut Input<'_>) -> Result<Option<Sealing>, WireError> {
    Ok(match input.byte()? {
        0 => None,
        1 => Some(Sealing::Plain),
        2 => Some(Sealing::Unnamed),
        3 => Some(Sealing::Named(SealTag(input.array()?))),
        _ => return Err(WireError::Malformed),
    })
}

fn put_after(out: &mut Vec<u8>, after: Option<Key>) {
    out.push(u8::from(after.is_some()));
    if let Some(key) = after {
        item::put_key(out, key);
    }
}

fn after(input: &mut Input<'_>, bucket: u8) -> Result<Option<Key>, WireError> {
    let after = if input.flag()? { Some(item::key(input)?) } else { None };
    if after.is_some_and(|(gid, _)| gid.bucket() != bucket) { Err(WireError::Malformed) } else { Ok(after) }
}

/// One of another format is read no further than its number, which is not even the same kind of message then.
fn hello(input: &mut Input<'_>) -> Result<Hello, WireError> {
    if u16::from_le_bytes(input.array()?) != FORMAT {
        return Err(WireError::Format);
    }
    let name = input.bytes()?;
    if name.is_empty() || name.len() > NAME_BYTES {
        return Err(WireError::Malformed);
    }
    let database = std::str::from_utf8(name).map_err(|_| WireError::Malformed)?.to_owned();
    let (own, epoch) = (take_16(input)?.map(Origin), take_16(input)?);
    // A side is a node or a relay.
    if own.is_some() == epoch.is_some() || own == Some(Origin::BASELINE) {
        return Err(WireError::Malformed);
    }
    let (now_ms, capabilities, sealing) = (input.u64()?, input.u64()?, take_sealing(input)?);
    // A node knows what it does, and a relay has no names of its own.
    let fits = match sealing {
        None => own.is_none(),
        Some(Sealing::Unnamed) => own.is_some(),
        Some(_) => true,
    };
    if !fits {
        return Err(WireError::Malformed);
    }
    Ok(Hello { database, own, epoch, now_ms, capabilities, sealing })
}
