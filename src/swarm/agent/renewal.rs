//! The agent's half of a renewal: asks over the connection, has the application keep the answer, and only then lets go of
//! the old identity.
//!
//! What was agreed on with the coordinator ends with the connection; what the application has kept does not. So the
//! identities of an agent are in [`Identities`], and the course of one connection is in [`Renewal`].

use super::Shared;
use crate::protocol::messages::{Code, FrameKind, Renew, RenewalKept, Renewed};
use crate::security::{Identity, KeyRequest, Serial, now_ms};
use crate::swarm::lanes::Outgoing;
use crate::swarm::renewal::{due_at, is_early, keep, retry_at, sleep_until};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Who an agent is.
pub(super) struct Identities {
    /// For the next dial.
    current: Identity,
    /// The one before it, until a coordinator has welcomed the current one.
    fallback: Option<Identity>,
    /// Signed, and not yet kept by the application; and the connection for which it was signed.
    pending: Option<(Identity, usize)>,
    /// The application is being asked to keep the pending one.
    keeping: bool,
}

impl Identities {
    pub(super) fn new(identity: Identity) -> Self {
        Self { current: identity, fallback: None, pending: None, keeping: false }
    }

    pub(super) fn current(&self) -> &Identity {
        &self.current
    }

    /// A coordinator has taken the one with this number: what was before it is not needed any more.
    pub(super) fn welcomed(&mut self, serial: &Serial) {
        if self.current.peer().serial == *serial {
            self.fallback = None;
        }
    }

    /// The one with this number is refused. Returns whether there is another to try.
    pub(super) fn refused(&mut self, serial: &Serial, now_ms: u64) -> bool {
        if self.current.peer().serial != *serial {
            // It was replaced meanwhile.
            return true;
        }
        match self.fallback.take() {
            Some(before) if !before.peer().expired(now_ms) => {
                self.current = before;
                true
            }
            _ => false,
        }
    }

    /// The application has kept an identity, or has not. Returns the connection for which it was signed, where it was kept.
    fn kept(&mut self, identity: Identity, kept: bool) -> Option<usize> {
        self.keeping = false;
        if !kept {
            return None;
        }
        let (_, connection) = self.pending.take()?;
        self.fallback = Some(std::mem::replace(&mut self.current, identity));
        Some(connection)
    }
}

/// What is to be done next.
enum Phase {
    /// The coordinator renews nothing.
    Never,
    /// The identity is old enough then, by the wall clock.
    At(u64),
    /// The coordinator is asked, under this number. It answers each question, or the connection ends.
    Asked { key: KeyRequest, request: u64 },
    /// The application is asked.
    Keeping(oneshot::Receiver<bool>),
}

/// The renewal over one connection.
pub(super) struct Renewal {
    phase: Phase,
    asked: u64,
}

impl Renewal {
    /// `renews`: the coordinator has announced that it does.
    pub(super) fn new(shared: &Shared, renews: bool) -> Self {
        let mut renewal = Self { phase: Phase::Never, asked: 0 };
        if renews {
            renewal.wait(shared);
        }
        renewal
    }

    fn wait(&mut self, shared: &Shared) {
        let (now, random) = (now_ms(), fastrand::f64());
        let identities = shared.identities();
        let peer = identities.current.peer();
        self.phase = Phase::At(match &identities.pending {
            // There is one already: only the application has to be asked again.
            Some(_) => retry_at(peer, now, random),
            None => due_at(peer, now, random),
        });
    }

    fn try_later(&mut self, shared: &Shared) {
        self.phase = Phase::At(retry_at(shared.identities().current.peer(), now_ms(), fastrand::f64()));
    }

    /// Waits until [`Self::go_on`] is to be called. May be given up at any time.
    pub(super) async fn ready(&mut self) -> Option<bool> {
        match &mut self.phase {
            Phase::Never | Phase::Asked { .. } => std::future::pending().await,
            Phase::At(at) => {
                sleep_until(*at).await;
                None
            }
            // The task that asks the application never goes without an answer.
            Phase::Keeping(kept) => Some(kept.await.unwrap_or(false)),
        }
    }

    /// The next step; `kept` is what [`Self::ready`] gave.
    pub(super) fn go_on(&mut self, shared: &Arc<Shared>, out: &Outgoing, kept: Option<bool>) {
        match kept {
            Some(true) => self.wait(shared),
            Some(false) => self.try_later(shared),
            None => {
                let (pending, keeping, early) = {
                    let identities = shared.identities();
                    let pending = identities.pending.as_ref().map(|(identity, _)| identity.clone());
                    (pending, identities.keeping, is_early(identities.current.peer(), now_ms()))
                };
                match pending {
                    // By the connection before this one; its task ends by itself.
                    _ if keeping => self.try_later(shared),
                    Some(identity) if !identity.peer().expired(now_ms()) => {
                        self.keep(shared, out, identity);
                    }
                    // It was kept meanwhile.
                    _ if early => self.wait(shared),
                    _ => self.ask(shared, out),
                }
            }
        }
    }

    fn ask(&mut self, shared: &Shared, out: &Outgoing) {
        let key = match KeyRequest::new() {
            Ok(key) => key,
            Err(error) => {
                tracing::error!(agent = %shared.id, %error, "no key for a renewal");
                return self.try_later(shared);
            }
        };
        self.asked += 1;
        let renew = Renew { csr: Bytes::copy_from_slice(key.csr_der()) };
        // An error is a connection that has ended, which its reader finds.
        drop(out.send(FrameKind::Renew, self.asked, &renew, &Bytes::new()));
        self.phase = Phase::Asked { key, request: self.asked };
    }

    /// The coordinator's answer. One that nobody asked for is passed over.
    pub(super) fn answered(&mut self, shared: &Arc<Shared>, out: &Outgoing, request: u64, renewed: &Renewed) {
        if !matches!(&self.phase, Phase::Asked { request: asked, .. } if *asked == request) {
            return;
        }
        let Phase::Asked { key, .. } = std::mem::replace(&mut self.phase, Phase::Never) else { return };
        if renewed.code() != Code::Unspecified || renewed.certificate.is_empty() {
            tracing::warn!(agent = %shared.id, code = ?renewed.code(), reason = renewed.message, "the identity was not renewed");
            return self.try_later(shared);
        }
        let identity = match key.into_identity(&renewed.certificate, &renewed.ca) {
            Ok(identity) => identity,
            Err(error) => {
                tracing::error!(agent = %shared.id, %error, "the renewed identity cannot be used");
                return self.try_later(shared);
            }
        };
        if identity.peer().name != shared.identities().current.peer().name {
            tracing::error!(agent = %shared.id, name = %identity.peer().name, "the renewed identity is somebody else's");
            return self.try_later(shared);
        }
        shared.identities().pending = Some((identity.clone(), out.connection().stable_id()));
        self.keep(shared, out, identity);
    }

    /// Has the application keep it, in a task of its own: it goes on when the connection is lost meanwhile.
    fn keep(&mut self, shared: &Arc<Shared>, out: &Outgoing, identity: Identity) {
        let (sender, receiver) = oneshot::channel();
        let (shared, out) = (shared.clone(), out.clone());
        shared.identities().keeping = true;
        tokio::spawn(async move {
            let outcome = keep(shared.config.on_identity.as_ref(), &identity).await;
            if let Err(reason) = &outcome {
                tracing::error!(agent = %shared.id, reason, "the renewed identity was not kept, so the old one is used on");
            }
            let serial = identity.peer().serial.to_string();
            let signed_for = shared.identities().kept(identity, outcome.is_ok());
            // Where the connection that it was signed for has ended, the next one begins under it.
            if signed_for == Some(out.connection().stable_id()) {
                drop(out.send(FrameKind::RenewalKept, 0, &RenewalKept { serial }, &Bytes::new()));
            }
            // The connection may be gone, and its half of this with it.
            let _: Result<(), bool> = sender.send(outcome.is_ok());
        });
        self.phase = Phase::Keeping(receiver);
    }
}
