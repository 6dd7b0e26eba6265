//! When an identity is renewed, and how the application is asked to keep the new one.

use crate::security::{BACKDATED_MS, Identity, Peer, now_ms};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the certificates live that a coordinator with an authority hands out: they are renewed before, so what leaks
/// of them is soon worth nothing.
pub(super) const LIFE_MS: u64 = 24 * 60 * 60 * 1000;

/// Of its life, how much has to be over before a certificate is replaced by another.
const EARLIEST: f64 = 0.3;

/// Pause before a renewal that failed is tried again, at most; and between two looks at the clock.
const RETRY_MS: u64 = 60_000;

/// How long the application may take to keep an identity, before it is asked again.
const KEEPING: Duration = Duration::from_secs(60);

/// Says that the application has kept an identity, or why it has not.
pub type Kept = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Gets each renewed identity, so that a restarted process has one that is let in. The old one is used until the function
/// that it is given was called; dropping that function is a failure. Runs on any thread and must not block.
pub type IdentityListener = Arc<dyn Fn(&Identity, Kept) + Send + Sync>;

/// When the life of a certificate began; its first instant lies before that, for clocks that are behind.
fn began(peer: &Peer) -> u64 {
    peer.not_before.saturating_add(BACKDATED_MS).min(peer.not_after)
}

/// When to renew: at an instant between 40 and 60 % of its life, by `random` from 0 to 1, so that agents that were started
/// together do not come together. One that is past it goes soon, not at once. In milliseconds since the Unix epoch.
pub(super) fn due_at(peer: &Peer, now_ms: u64, random: f64) -> u64 {
    // A clock that is behind the authority's: the life begins now.
    let began = began(peer).min(now_ms);
    let share = 0.4 + 0.2 * random;
    let at = began + ((peer.not_after.saturating_sub(began)) as f64 * share) as u64;
    let left = peer.not_after.saturating_sub(now_ms);
    // After an outage everybody is past it: a twentieth of what is left is half an hour of a day's certificate.
    let soon = (left as f64 / 20.0 * random) as u64;
    at.max(now_ms.saturating_add(soon))
}

/// Whether it is early to ask for another certificate: so that nobody fills the register.
pub(super) fn is_early(peer: &Peer, now_ms: u64) -> bool {
    let began = began(peer);
    let over = now_ms.saturating_sub(began) as f64;
    over < peer.not_after.saturating_sub(began) as f64 * EARLIEST
}

/// When to try again after a renewal that failed: after about a tenth of the time that is left, at most a minute.
pub(super) fn retry_at(peer: &Peer, now_ms: u64, random: f64) -> u64 {
    let pause = (peer.not_after.saturating_sub(now_ms) / 10).clamp(200, RETRY_MS);
    now_ms.saturating_add((pause as f64 * (0.5 + 0.5 * random)) as u64)
}

/// Until a time of the wall clock, which certificates go by: a machine may have slept meanwhile, or its clock was set.
pub(super) async fn sleep_until(at_ms: u64) {
    loop {
        let left = at_ms.saturating_sub(now_ms());
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left.min(RETRY_MS))).await;
    }
}

/// Has the application keep an identity; without a listener there is nothing to wait for.
pub(super) async fn keep(listener: Option<&IdentityListener>, identity: &Identity) -> Result<(), String> {
    let Some(listener) = listener else { return Ok(()) };
    let (sender, receiver) = oneshot::channel();
    // Whoever waited is gone: then the outcome is of no interest.
    listener(identity, Box::new(move |outcome| drop(sender.send(outcome))));
    match tokio::time::timeout(KEEPING, receiver).await {
        Ok(outcome) => {
            outcome.unwrap_or_else(|_| Err("the program that was to keep it has ended".to_owned()))
        }
        Err(_) => Err(format!("the program did not say within {} s that it is kept", KEEPING.as_secs())),
    }
}

/// The certificates of two bundles, each once.
pub(super) fn union_of_bundles(first: &str, second: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut blocks: Vec<String> = Vec::new();
    for part in [first, second].into_iter().flat_map(|bundle| bundle.split_inclusive(END)) {
        let Some(block) = part.find(BEGIN).map(|at| part[at..].replace("\r\n", "\n")) else { continue };
        if block.ends_with(END) && !blocks.contains(&block) {
            blocks.push(block);
        }
    }
    blocks.iter().map(|block| format!("{block}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{CertificateAuthority, IssueRequest, Role};

    const HOUR: u64 = 60 * 60 * 1000;

    fn peer(began: u64, life: u64) -> Peer {
        let authority = CertificateAuthority::in_memory("test").unwrap();
        let mut peer = authority.issue(&IssueRequest::new("a", Role::Agent)).unwrap().identity.peer().clone();
        peer.not_before = began - BACKDATED_MS;
        peer.not_after = began + life;
        peer
    }

    #[test]
    fn renewal_is_due_around_half_of_a_life() {
        let began = 1_000_000 * HOUR;
        let peer = peer(began, 24 * HOUR);
        let hours = |now: u64, random| due_at(&peer, now, random).abs_diff(now) as f64 / HOUR as f64;
        assert!((hours(began, 0.0) - 9.6).abs() < 1e-6 && (hours(began, 1.0) - 14.4).abs() < 1e-6);
        assert!((hours(began + 9 * HOUR, 0.5) - 3.0).abs() < 1e-6);
        // Past it: spread, over less when less is left.
        assert!((hours(began + 14 * HOUR, 0.5) - 0.25).abs() < 1e-6);
        assert_eq!(due_at(&peer, peer.not_after - 1000, 1.0), peer.not_after - 950);
        assert_eq!(due_at(&peer, peer.not_after + 1000, 1.0), peer.not_after + 1000);
        // A clock that is an hour behind.
        assert!((hours(began - HOUR, 0.5) - 12.5).abs() < 1e-6);
    }

    #[test]
    fn nobody_collects_certificates() {
        let began = 1_000_000 * HOUR;
        let peer = peer(began, 10 * HOUR);
        assert!(is_early(&peer, began) && is_early(&peer, began + 2 * HOUR));
        assert!(!is_early(&peer, began + 3 * HOUR) && !is_early(&peer, began + 11 * HOUR));
        let pause = |now: u64, random| retry_at(&peer, now, random) - now;
        assert_eq!((pause(began, 1.0), pause(began, 0.0)), (60_000, 30_000));
        assert_eq!(pause(began + 10 * HOUR - 10_000, 1.0), 1000);
        assert_eq!(pause(began + 11 * HOUR, 1.0), 200);
    }

    #[test]
    fn bundles_are_joined_without_doubles() {
        let pem = || CertificateAuthority::in_memory("test").unwrap().certificate().to_owned();
        let (a, b) = (pem(), pem());
        let both = union_of_bundles(&a, &b);
        assert_eq!(both.matches("BEGIN").count(), 2);
        assert_eq!(union_of_bundles(&both, &a), both);
        assert_eq!(union_of_bundles(&both, &format!("subject: x\r\n{}", a.replace('\n', "\r\n"))), both);
        assert_eq!(union_of_bundles("", &b).trim(), b.trim());
    }
}
