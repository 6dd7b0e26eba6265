//! Renewed identities on their way to the application, which says when it has kept them.

use super::outbox::{Outbox, RecordType};
use crate::security::Identity;
use crate::swarm::{IdentityListener, Kept};
use serde::Serialize;
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that the application has been given and has not answered.
#[derive(Default)]
pub(super) struct Identities(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// JavaScript is gone.
    gone: bool,
    last: u64,
    waiting: HashMap<u64, Kept>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityHeader<'a> {
    certificate: &'a str,
    private_key: &'a str,
    ca: &'a str,
}

impl Identities {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends each identity to JavaScript.
    pub(super) fn listener(self: &Arc<Self>, outbox: &Arc<Outbox>) -> IdentityListener {
        let (identities, outbox) = (self.clone(), outbox.clone());
        Arc::new(move |identity: &Identity, kept| {
            let token = {
                let mut waiting = identities.lock();
                if waiting.gone {
                    // Without a call of `kept`: nobody has kept it.
                    return;
                }
                waiting.last += 1;
                let token = waiting.last;
                waiting.waiting.insert(token, kept);
                token
            };
            let header = IdentityHeader {
                certificate: identity.certificate(),
                private_key: identity.private_key(),
                ca: identity.ca(),
            };
            outbox.push(RecordType::Identity, token as f64, &header, &[]);
        })
    }

    /// JavaScript has kept one, or says why it has not.
    pub(super) fn kept(&self, token: f64, error: Option<String>) {
        let kept = self.lock().waiting.remove(&(token as u64));
        if let Some(kept) = kept {
            kept(error.map_or(Ok(()), Err));
        }
    }

    /// JavaScript is gone: nobody keeps anything any more.
    pub(super) fn forget(&self) {
        let waiting = {
            let mut waiting = self.lock();
            waiting.gone = true;
            mem::take(&mut waiting.waiting)
        };
        drop(waiting);
    }
}
