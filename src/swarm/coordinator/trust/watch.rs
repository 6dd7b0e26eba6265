//! Ends sessions whose certificate has ended or was revoked: TLS looks at a certificate once, when a connection begins.

use super::super::Shared;
use super::super::hub::Life;
use crate::security::now_ms;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks at the register: a revocation is in force within a second, whoever made it.
const REGISTER: Duration = Duration::from_millis(250);

/// Looks for as long as the coordinator is open.
pub(in crate::swarm::coordinator) async fn watch(shared: Arc<Shared>) {
    let mut ticks = interval(REGISTER);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if shared.lock().life == Life::Closed {
            return;
        }
        refresh(&shared).await;
        end_sessions(&shared);
    }
}

/// Reads the register where it has changed, and refuses what was taken back, at handshakes too.
pub(super) async fn refresh(shared: &Arc<Shared>) {
    if shared.trust.is_none() {
        return;
    }
    let reading = {
        let shared = shared.clone();
        tokio::task::spawn_blocking(move || {
            let trust = shared.trust.as_ref()?;
            let was_failing = trust.is_failing();
            match trust.refresh() {
                Ok(false) => {}
                Ok(true) => shared.admission.revocations.replace_serials(trust.revoked()),
                Err(error) if was_failing => tracing::debug!(%error, "the register still cannot be read"),
                Err(error) => {
                    let _inside = shared.span.enter();
                    tracing::error!(%error, "the register of the authority cannot be read: what was known of it still counts");
                }
            }
            Some(())
        })
    };
    // A panic there was reported where it happened.
    drop(reading.await);
}

/// Closes the connection of whoever is not to be served any more.
fn end_sessions(shared: &Arc<Shared>) {
    let now = now_ms();
    let over = {
        let hub = shared.lock();
        hub.sessions
            .iter()
            .filter_map(|(&generation, session)| {
                let over = || session.credentials.over(&shared.admission.revocations, now);
                // One that was told already is on its way out.
                session.revoked.is_none().then(over)?.map(|why| (generation, why))
            })
            .collect::<Vec<_>>()
    };
    if over.is_empty() {
        return;
    }
    shared.turn(|hub, _| {
        for (generation, why) in over {
            hub.end_for(generation, why);
        }
    });
}
