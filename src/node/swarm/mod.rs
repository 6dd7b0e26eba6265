//! Coordinators and agents for the facade.
//!
//! Requests come in as calls with a request number, and are answered through the [`outbox`]; so are events. Heartbeats,
//! leases, acknowledgements and kernels that are built in never come here. What the facade checks is not checked
//! again, except for numbers, which must not be cut off.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`outbox`] | the way back to JavaScript |
//! | [`environment`] | what happens when the environment ends |
//! | [`coordinator`] | `NativeCoordinator` |
//! | [`agent`] | `NativeAgent` |
//! | [`enrolment`] | `NativeEnrolment` |
//! | [`identities`] | renewed identities, until the application has kept them |
//! | [`headers`] | what the swarm tells, as JSON |

mod agent;
mod coordinator;
mod enrolment;
pub(super) mod environment;
mod headers;
mod identities;
pub(super) mod outbox;

pub(super) use agent::NativeAgent;

use super::errors::Code;
use crate::calls::arguments::natural;
use crate::security::{Identity, IdentityError};
use crate::swarm::{SwarmCode, SwarmError};
use napi::Error;
use std::sync::Arc;

pub(super) fn thrown(error: &SwarmError) -> Error<Code> {
    Error::new(Code::Swarm(error.code), error.message.clone())
}

fn closed() -> Error<Code> {
    Error::new(Code::Swarm(SwarmCode::Closed), "it is not open")
}

/// A time or a limit; -1 stands for none.
fn optional(name: &str, value: f64) -> Result<Option<u64>, Error<Code>> {
    if value == -1.0 { Ok(None) } else { Ok(Some(natural(name, value)? as u64)) }
}

fn small(name: &str, value: f64) -> Result<u32, Error<Code>> {
    let whole = natural(name, value)?;
    u32::try_from(whole)
        .map_err(|_| Error::new(Code::INVALID_ARGUMENT, format!("{name} must be below 2^32, got {value}")))
}

fn texts(list: Vec<String>) -> Vec<Arc<str>> {
    list.into_iter().map(Arc::from).collect()
}

/// An identity that was given as three texts.
pub(super) fn identity(certificate: &str, private_key: &str, ca: &str) -> Result<Identity, Error<Code>> {
    Identity::parse(certificate, private_key, ca).map_err(|error| {
        let code = match error {
            // It is one, but nobody would believe it: expired, or not of its own authority.
            IdentityError::Certificate(_) => Code::Swarm(SwarmCode::Unauthenticated),
            _ => Code::INVALID_ARGUMENT,
        };
        Error::new(code, format!("identity: {error}"))
    })
}
