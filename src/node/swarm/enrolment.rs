//! `NativeEnrolment`: a join token for an identity.

use super::super::errors::{Code, invalid};
use super::super::task::answered_promise;
use super::thrown;
use crate::security::{Identity, JoinToken};
use crate::swarm::SwarmError;
use crate::swarm::enrolment::{EnrolConfig, Enrolling, enrol};
use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, Error};
use napi_derive::napi;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// One enrolment, which can be given up.
#[napi]
#[derive(Default)]
pub struct NativeEnrolment(Mutex<Option<Enrolling>>);

#[napi]
impl NativeEnrolment {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty `address`: the one in the token. Certificate, private key and CA.
    #[napi(catch_unwind, ts_return_type = "Promise<Array<string>>")]
    pub fn enroll<'env>(
        &self,
        env: &'env Env,
        address: String,
        token: String,
        agent_id: String,
    ) -> Result<PromiseRaw<'env, Vec<String>>, Error<Code>> {
        let text = Zeroizing::new(token);
        let token: JoinToken = text.parse().map_err(|error| invalid(format!("token {error}")))?;
        let address = (!address.is_empty()).then_some(address);
        let config = EnrolConfig { address, token, agent_id };
        let start = |answer: Box<dyn FnOnce(Result<Identity, Error<Code>>) + Send>| {
            let done = move |outcome: Result<Identity, SwarmError>| {
                answer(outcome.map_err(|error| thrown(&error)));
            };
            let enrolling = enrol(config, done).map_err(|error| thrown(&error))?;
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(enrolling);
            Ok(())
        };
        answered_promise(env, start, |identity: Identity| {
            vec![
                identity.certificate().to_owned(),
                identity.private_key().to_owned(),
                identity.ca().to_owned(),
            ]
        })
    }

    /// It rejects with ABORTED, unless it is too late.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        if let Some(enrolling) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            enrolling.abort();
        }
    }
}
