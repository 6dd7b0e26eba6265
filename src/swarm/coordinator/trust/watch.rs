//! Ends sessions whose certificate has ended or was revoked: TLS looks at a certificate once, when a connection begins.

use super::super::Shared;
use super::super::audited;
use super::super::hub::Life;
use super::TakenBack;
use crate::security::now_ms;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between two looks: a revocation is in force within a second, whoever made it.
const LOOK: Duration = Duration::from_millis(250);

/// How long a look at the register may take before it counts as failing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at the register for as long as the coordinator is open.
pub(in crate::swarm::coordinator) async fn watch(shared: Arc<Shared>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shared.lock().life != Life::Closed {
        ticks.tick().await;
        refresh(&shared).await;
    }
}

/// Ends sessions for as long as the coordinator is open. Not in one loop with the above: a disk that hangs lengthens no
/// certificate.
pub(in crate::swarm::coordinator) async fn expire(shared: Arc<Shared>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shared.lock().life != Life::Closed {
        ticks.tick().await;
        end_sessions(&shared);
    }
}

/// Reads the register where it has changed, and refuses what was taken back, at handshakes too.
pub(super) async fn refresh(shared: &Arc<Shared>) {
    let Some(trust) = &shared.trust else { return };
    let was_failing = trust.is_failing();
    let reading = async {
        // Closed by nobody.
        let Ok(turn) = trust.reading.clone().acquire_owned().await else { return };
        let shared = shared.clone();
        let read = tokio::task::spawn_blocking(move || {
            // Given back when it is read, also when nobody waits for that any more.
            let _turn = turn;
            let _inside = shared.span.enter();
            read(&shared, was_failing);
        });
        // A panic there was reported where it happened.
        drop(read.await);
    };
    if timeout(PATIENCE, reading).await.is_err() {
        trust.failing.store(true, Ordering::Relaxed);
        if !was_failing {
            let seconds = PATIENCE.as_secs();
            tracing::error!(
                seconds,
                "the register of the authority does not come: what was known of it still counts"
            );
        }
    }
}

fn read(shared: &Shared, was_failing: bool) {
    let Some(trust) = &shared.trust else { return };
    match trust.refresh(|taken| take_back(shared, taken)) {
        Ok(()) if was_failing => tracing::info!("the register of the authority is read again"),
        Ok(()) => {}
        Err(error) if was_failing => tracing::debug!(%error, "the register still cannot be read"),
        Err(error) => {
            tracing::error!(%error, "the register of the authority cannot be read: what was known of it still counts");
        }
    }
}

/// Refuses at handshakes what was taken back, and writes down what is new of it, whoever did it.
pub(in crate::swarm::coordinator) fn take_back(shared: &Shared, taken: TakenBack) {
    shared.admission.revocations.replace_serials(taken.all);
    for (serial, id) in taken.new {
        tracing::warn!(agent = %id, %serial, "a certificate was revoked");
        shared.audit.note(audited::taken_back(&serial, &id));
    }
}

/// Closes the connection of whoever is not to be served any more.
fn end_sessions(shared: &Shared) {
    let (now, refused) = (now_ms(), shared.admission.revocations.current());
    let over = {
        let hub = shared.lock();
        let over = hub.sessions.iter().filter_map(|(&generation, session)| {
            let over = || session.credentials.over(&refused, now);
            // One that was told already is on its way out.
            session.revoked.is_none().then(over)?.map(|why| (generation, why))
        });
        over.collect::<Vec<_>>()
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
