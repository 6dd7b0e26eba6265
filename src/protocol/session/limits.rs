//! What a message may claim. Checked where it comes in, so that nothing behind has to.

use super::{SessionError, invalid};
use crate::protocol::messages::{Hello, Offer, Welcome};
use std::sync::Arc;

/// Capabilities of an agent, and kinds.
pub const MAX_NAMES: usize = 256;
/// A capability, a kind, a topic, a type of agents, a key of metadata.
pub const MAX_NAME_BYTES: usize = 128;
/// Keys of metadata.
pub const MAX_METADATA_ENTRIES: usize = 64;
/// Keys and values of metadata together.
pub const MAX_METADATA_BYTES: usize = 16 << 10;
/// Tasks that an agent runs at a time.
pub const MAX_SLOTS: u32 = 4096;
/// Tasks that an agent has and resumes.
pub const MAX_HELD: usize = 1 << 16;
/// The shortest time after which an agent is lost.
pub const MIN_AGENT_TIMEOUT_MS: u64 = 100;
/// The longest: a day.
pub const MAX_AGENT_TIMEOUT_MS: u64 = 86_400_000;

/// 1 to [`MAX_NAME_BYTES`] bytes without control characters. `what` is what errors call the name.
pub fn check_name(what: &str, name: &str) -> Result<(), SessionError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(invalid(format!("{what} has {} bytes, not 1 to {MAX_NAME_BYTES}", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(invalid(format!("{what} {name:?} has a control character")));
    }
    Ok(())
}

/// The names, sorted, each once.
pub(super) fn names(what: &str, names: &[String]) -> Result<Vec<Arc<str>>, SessionError> {
    if names.len() > MAX_NAMES {
        return Err(invalid(format!("{} {what} names, at most {MAX_NAMES}", names.len())));
    }
    let mut checked = Vec::with_capacity(names.len());
    for name in names {
        check_name(what, name)?;
        checked.push(Arc::from(name.as_str()));
    }
    checked.sort_unstable();
    checked.dedup();
    Ok(checked)
}

/// What an agent offers from now on: the kinds, sorted, each once.
pub fn check_offer(offer: &Offer) -> Result<Vec<Arc<str>>, SessionError> {
    if offer.slots > MAX_SLOTS {
        return Err(invalid(format!("{} slots, at most {MAX_SLOTS}", offer.slots)));
    }
    names("kind", &offer.kinds)
}

/// The fields of Hello that are taken as they are.
pub(super) fn check_hello(hello: &Hello) -> Result<(), SessionError> {
    check_name("agent type", &hello.agent_type)?;
    if !hello.software.is_empty() {
        check_name("software", &hello.software)?;
    }
    if hello.slots > MAX_SLOTS {
        return Err(invalid(format!("{} slots, at most {MAX_SLOTS}", hello.slots)));
    }
    if hello.metadata.len() > MAX_METADATA_ENTRIES {
        return Err(invalid(format!(
            "{} entries of metadata, at most {MAX_METADATA_ENTRIES}",
            hello.metadata.len()
        )));
    }
    let bytes: usize = hello.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        return Err(invalid(format!("{bytes} bytes of metadata, at most {MAX_METADATA_BYTES}")));
    }
    hello.metadata.keys().try_for_each(|key| check_name("key of metadata", key))
}

/// The terms, for an agent that offered `features`.
pub(super) fn check_welcome(welcome: &Welcome, features: u64) -> Result<(), SessionError> {
    check_name("coordinator", &welcome.coordinator)?;
    if !(MIN_AGENT_TIMEOUT_MS..=MAX_AGENT_TIMEOUT_MS).contains(&welcome.agent_timeout_ms) {
        return Err(invalid(format!("an agent timeout of {} ms", welcome.agent_timeout_ms)));
    }
    if !(1..welcome.agent_timeout_ms).contains(&welcome.heartbeat_ms) {
        return Err(invalid(format!("heartbeats every {} ms", welcome.heartbeat_ms)));
    }
    if welcome.max_message_bytes == 0 || welcome.max_message_bytes > u64::from(u32::MAX) {
        return Err(invalid(format!("messages of at most {} bytes", welcome.max_message_bytes)));
    }
    if welcome.features & !features != 0 {
        return Err(invalid(format!("features {:#x} of {features:#x}", welcome.features)));
    }
    Ok(())
}

/// 16 bytes.
pub(super) fn identifier(what: &str, bytes: &[u8]) -> Result<[u8; 16], SessionError> {
    bytes.try_into().map_err(|_| invalid(format!("{what} has {} bytes, not 16", bytes.len())))
}
