//! `NativeTransport`: messages between two addresses over QUIC, for `loadQuicTransport` of the facade. The links are those of
//! [`crate::swarm::sync`]; what they carry here is the application's own.

use super::errors::{Code, invalid};
use super::swarm::{identity, thrown};
use super::task::answered_promise;
use crate::protocol::messages::Code as WireCode;
use crate::swarm::SwarmError;
use crate::swarm::sync::{LinkEvent, Links, Mailbox};
use napi::bindgen_prelude::{Function, PromiseRaw, Uint8Array, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Error, Status};
use napi_derive::napi;
use std::sync::Arc;

/// Weak: it does not keep the process alive.
type Wake = ThreadsafeFunction<(), Unknown<'static>, (), Status, false, true, 4>;

/// Something that happened to a link.
#[napi(object)]
pub struct TransportEvent {
    /// Of which link.
    pub link: f64,
    /// 'up', 'message' or 'down'.
    pub kind: String,
    /// 'up': the id in the peer's certificate. 'down': why, if there is a reason.
    pub text: Option<String>,
    /// 'down': the code of the reason.
    pub code: Option<String>,
    /// 'message': what came.
    pub bytes: Option<Uint8Array>,
}

/// Links that carry messages of the application.
#[napi]
pub struct NativeTransport {
    links: Links,
    mailbox: Arc<Mailbox>,
}

#[napi]
impl NativeTransport {
    /// Links of one name reach each other. `wake` is called without arguments when there is something to take.
    #[napi(constructor, catch_unwind)]
    pub fn new(name: String, wake: Function<'_, (), Unknown<'static>>) -> Result<Self, Error<Code>> {
        let failed = |error: Error| Error::new(Code::INTERNAL, error.reason.clone());
        let wake: Wake = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .max_queue_size::<4>()
            .build()
            .map_err(failed)?;
        // A full queue: JavaScript has been woken often enough.
        let mailbox = Mailbox::new(move || {
            let _: Status = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        let links = Links::new(mailbox.clone(), name).map_err(|error| thrown(&error))?;
        Ok(Self { links, mailbox })
    }

    /// Resolves with the address on which links are taken.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn listen<'env>(
        &self,
        env: &'env Env,
        address: String,
        certificate: String,
        private_key: String,
        ca: String,
    ) -> Result<PromiseRaw<'env, String>, Error<Code>> {
        let own = identity(&certificate, &private_key, &ca)?;
        let start = |answer: Box<dyn FnOnce(Result<String, Error<Code>>) + Send>| {
            self.links.listen(&address, &own, move |outcome: Result<String, SwarmError>| {
                answer(outcome.map_err(|error| thrown(&error)))
            });
            Ok(())
        };
        answered_promise(env, start, |address: String| address)
    }

    /// Resolves when the link is up for the first time; it is dialled again whenever it goes down.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn connect<'env>(
        &self,
        env: &'env Env,
        address: String,
        certificate: String,
        private_key: String,
        ca: String,
        timeout_ms: f64,
    ) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        let own = identity(&certificate, &private_key, &ca)?;
        if !(1.0..=f64::from(u32::MAX)).contains(&timeout_ms) {
            return Err(invalid(format!("timeoutMs must be 1 to {}, got {timeout_ms}", u32::MAX)));
        }
        let start = |answer: Box<dyn FnOnce(Result<(), Error<Code>>) + Send>| {
            self.links.connect(&address, &own, timeout_ms as u64, move |outcome: Result<(), SwarmError>| {
                answer(outcome.map_err(|error| thrown(&error)))
            });
            Ok(())
        };
        answered_promise(env, start, |(): ()| ())
    }

    /// Sends one message of at most 256 KiB.
    #[napi(catch_unwind)]
    pub fn send(&self, link: f64, message: Uint8Array) -> Result<(), Error<Code>> {
        self.links.send(link as u64, message.to_vec()).map_err(|error| thrown(&error))
    }

    /// Everything that has happened since the last time.
    #[napi(catch_unwind)]
    pub fn take(&self) -> Vec<TransportEvent> {
        self.mailbox.take().into_iter().map(TransportEvent::from).collect()
    }

    /// Ends one link.
    #[napi(catch_unwind)]
    pub fn close_link(&self, link: f64) {
        self.links.close_link(link as u64, WireCode::Closed);
    }

    /// Ends all links; resolves when the sockets are gone.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        let start = |answer: Box<dyn FnOnce(Result<(), Error<Code>>) + Send>| {
            self.links.close(move || answer(Ok(())));
            Ok(())
        };
        answered_promise(env, start, |(): ()| ())
    }
}

impl From<LinkEvent> for TransportEvent {
    fn from(event: LinkEvent) -> Self {
        let of = |link: u64, kind: &str| Self {
            link: link as f64,
            kind: kind.to_owned(),
            text: None,
            code: None,
            bytes: None,
        };
        match event {
            LinkEvent::Up { link, peer, .. } => Self { text: Some(peer), ..of(link, "up") },
            LinkEvent::Message { link, bytes } => Self { bytes: Some(bytes.into()), ..of(link, "message") },
            LinkEvent::Down { link, reason } => {
                let (text, code) =
                    reason.map(|error| (error.message, error.code.as_str().to_owned())).unzip();
                Self { text, code, ..of(link, "down") }
            }
        }
    }
}
