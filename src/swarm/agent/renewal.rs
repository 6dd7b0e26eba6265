//! The agent's half of a renewal: asks over the connection, has the application keep the answer, and only then lets go of
//! the old identity.
//!
//! What was agreed on with the coordinator ends with the connection; what the application has kept does not. So the
//! identities of an agent are in [`Identities`], and the course of one connection is in [`Renewal`].

use super::Shared;
use crate::protocol::messages::{Code, FrameKind, Renew, RenewalKept, Renewed};
use crate::security::{Identity, KeyRequest, Serial, now_ms};
use crate::swarm::lanes::Outgoing;
use crate::swarm::renewal::{due, keep, retry_after};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// How long the coordinator may take to sign.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who an agent is.
pub(super) struct Identities {
    /// For the next dial.
    current: Identity,
    /// The one before it, until a coordinator has welcomed the current one.
    fallback: Option<Identity>,
    /// Signed, and not yet kept by the application.
    pending: Option<Identity>,
}

impl Identities {
    pub(super) fn new(identity: Identity) -> Self {
        Self { current: identity, fallback: None, pending: None }
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

    fn take_up(&mut self, identity: Identity) {
        self.pending = None;
        let before = std::mem::replace(&mut self.current, identity);
        self.fallback = Some(before);
    }
}

/// What is to be done next.
enum Phase {
    /// The coordinator renews nothing.
    Never,
    /// The identity is old enough then.
    At(Instant),
    /// The coordinator is asked; after a while there is no answer.
    Asked { key: KeyRequest, until: Instant },
    /// The application is asked.
    Keeping(oneshot::Receiver<bool>),
}

/// The renewal over one connection.
pub(super) struct Renewal(Phase);

impl Renewal {
    /// `renews`: the coordinator has announced that it does.
    pub(super) fn new(shared: &Shared, renews: bool) -> Self {
        let mut renewal = Self(Phase::Never);
        if renews {
            renewal.wait(shared);
        }
        renewal
    }

    fn wait(&mut self, shared: &Shared) {
        let now = now_ms();
        let identities = shared.identities();
        let pause = match &identities.pending {
            // There is one already: only the application has to be asked again.
            Some(_) => retry_after(identities.current.peer(), now),
            None => due(identities.current.peer(), now, fastrand::f64()),
        };
        self.0 = Phase::At(Instant::now() + pause);
    }

    fn try_later(&mut self, shared: &Shared) {
        let pause = retry_after(shared.identities().current.peer(), now_ms());
        self.0 = Phase::At(Instant::now() + pause);
    }

    /// Waits until [`Self::go_on`] is to be called. May be given up at any time.
    pub(super) async fn ready(&mut self) -> Option<bool> {
        match &mut self.0 {
            Phase::Never => std::future::pending().await,
            Phase::At(at) | Phase::Asked { until: at, .. } => {
                sleep_until(*at).await;
                None
            }
            // The task that asks the application never goes without an answer.
            Phase::Keeping(kept) => Some(kept.await.unwrap_or(false)),
        }
    }

    /// The next step; `kept` is what [`Self::ready`] gave.
    pub(super) fn go_on(&mut self, shared: &Arc<Shared>, out: &Outgoing, kept: Option<bool>) {
        match (&self.0, kept) {
            (Phase::Keeping(_), Some(true)) => self.wait(shared),
            (Phase::Asked { .. }, _) => {
                tracing::warn!(agent = %shared.id, "the coordinator does not answer a renewal");
                self.try_later(shared);
            }
            (Phase::At(_), _) => {
                let pending = shared.identities().pending.clone();
                match pending {
                    Some(identity) => self.keep(shared, out, identity),
                    None => self.ask(shared, out),
                }
            }
            _ => self.try_later(shared),
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
        let renew = Renew { csr: Bytes::copy_from_slice(key.csr_der()) };
        // An error is a connection that has ended, which its reader finds.
        drop(out.send(FrameKind::Renew, 0, &renew, &Bytes::new()));
        self.0 = Phase::Asked { key, until: Instant::now() + PATIENCE };
    }

    /// The coordinator's answer. One that comes too late, or that nobody asked for, is passed over: its key is gone.
    pub(super) fn answered(&mut self, shared: &Arc<Shared>, out: &Outgoing, renewed: &Renewed) {
        let Phase::Asked { key, .. } = std::mem::replace(&mut self.0, Phase::Never) else {
            return self.try_later(shared);
        };
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
        shared.identities().pending = Some(identity.clone());
        self.keep(shared, out, identity);
    }

    /// Has the application keep it, in a task of its own: it goes on when the connection is lost meanwhile.
    fn keep(&mut self, shared: &Arc<Shared>, out: &Outgoing, identity: Identity) {
        let (sender, receiver) = oneshot::channel();
        let (shared, out) = (shared.clone(), out.clone());
        tokio::spawn(async move {
            let outcome = keep(shared.config.on_identity.as_ref(), &identity).await;
            if let Err(reason) = &outcome {
                tracing::error!(agent = %shared.id, reason, "the renewed identity was not kept, so the old one is used on");
            } else {
                let kept = RenewalKept { serial: identity.peer().serial.to_string() };
                shared.identities().take_up(identity);
                // On the connection that it was signed for; where that has ended, the next one begins under it.
                drop(out.send(FrameKind::RenewalKept, 0, &kept, &Bytes::new()));
            }
            // The connection may be gone, and its half of this with it.
            let _: Result<(), bool> = sender.send(outcome.is_ok());
        });
        self.0 = Phase::Keeping(receiver);
    }
}
