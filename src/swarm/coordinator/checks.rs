//! What a task and a configuration may claim: what would be refused on the wire is refused here, by name.

use super::{CoordinatorConfig, TaskRequest};
use crate::protocol::session::{
    MAX_AGENT_TIMEOUT_MS, MAX_NAMES, MIN_AGENT_TIMEOUT_MS, SessionError, check_name,
};
use crate::swarm::error::{SwarmCode, SwarmError};

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 2048;

fn invalid(what: String) -> SwarmError {
    SwarmError::new(SwarmCode::InvalidArgument, what)
}

/// A name that travels: of a kind, a capability, a topic.
pub(crate) fn name(what: &str, name: &str) -> Result<(), SwarmError> {
    check_name(what, name).map_err(|error: SessionError| invalid(error.to_string()))
}

/// A task.
pub(super) fn task(task: &TaskRequest) -> Result<(), SwarmError> {
    name("kind", &task.kind)?;
    if task.requires.len() > MAX_NAMES {
        return Err(invalid(format!("{} capabilities required, at most {MAX_NAMES}", task.requires.len())));
    }
    for capability in &task.requires {
        name("a required capability", capability)?;
    }
    if let Some(key) = &task.key
        && !(1..=MAX_KEY_BYTES).contains(&key.len())
    {
        return Err(invalid(format!("idempotencyKey has {} bytes, not 1 to {MAX_KEY_BYTES}", key.len())));
    }
    if task.priority > 9 {
        return Err(invalid(format!("priority {}, not 0 to 9", task.priority)));
    }
    if task.max_attempts == Some(0) {
        return Err(invalid("maxAttempts 0, at least 1".to_owned()));
    }
    Ok(())
}

/// A configuration.
pub(super) fn config(config: &CoordinatorConfig) -> Result<(), SwarmError> {
    if !(MIN_AGENT_TIMEOUT_MS..=MAX_AGENT_TIMEOUT_MS).contains(&config.agent_timeout_ms) {
        return Err(invalid(format!(
            "agentTimeoutMs {}, not {MIN_AGENT_TIMEOUT_MS} to {MAX_AGENT_TIMEOUT_MS}",
            config.agent_timeout_ms
        )));
    }
    if config.max_attempts == 0 || config.max_message_bytes == 0 || config.max_message_bytes > 1 << 30 {
        return Err(invalid("maxAttempts is at least 1, maxMessageBytes 1 to 2^30".to_owned()));
    }
    Ok(())
}
