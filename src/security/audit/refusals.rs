//! Refusals by the second: whoever is turned away a thousand times a second makes one entry of it.

use super::{Action, Entry};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// From the first refusal to the entry that counts them.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// Actors that have an entry of their own in one window. All others share one for each action.
const MOST_ACTORS: usize = 16;

/// Who stands for all others: strangers, and those who have shown a certificate.
const OTHERS: &str = "unauthenticated (others)";
const OTHER_MEMBERS: &str = "members (others)";

struct Counted {
    first_at: u64,
    last_at: u64,
    entry: Entry,
    count: u64,
    /// Refusals with another object than the first.
    otherwise: u64,
}

/// The refusals of one window.
#[derive(Default)]
pub(super) struct Refusals {
    counted: HashMap<(Action, String), Counted>,
    since: Option<Instant>,
}

impl Refusals {
    /// Whether entries of an action are counted rather than written one by one: what others can cause at will.
    pub(super) fn counts(action: Action) -> bool {
        matches!(action, Action::PeerRefused | Action::EnrolmentRefused | Action::GrantRefused)
    }

    pub(super) fn add(&mut self, mut entry: Entry, at: u64, now: Instant) {
        self.since.get_or_insert(now);
        let mut key = (entry.action, entry.actor.clone());
        if !self.counted.contains_key(&key) && self.counted.len() >= MOST_ACTORS {
            let others = if entry.actor.starts_with("spiffe:") { OTHER_MEMBERS } else { OTHERS };
            key.1 = others.to_owned();
            entry.actor = others.to_owned();
            entry.object = "various".to_owned();
            (entry.digest, entry.detail) = (None, serde_json::Map::new());
        }
        let counted = self.counted.entry(key).or_insert_with(|| Counted {
            first_at: at,
            last_at: at,
            entry: entry.clone(),
            count: 0,
            otherwise: 0,
        });
        counted.count += 1;
        counted.last_at = at;
        counted.otherwise += u64::from(counted.entry.object != entry.object);
    }

    /// When they are to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + WINDOW)
    }

    /// The entries, with the times of the first refusals, oldest first.
    pub(super) fn take(&mut self) -> Vec<(u64, Entry)> {
        self.since = None;
        let counted = self.counted.drain().map(|(_, counted)| {
            let Counted { first_at, last_at, mut entry, count, otherwise } = counted;
            if count > 1 {
                entry.detail.insert("count".to_owned(), count.into());
                entry.detail.insert("until".to_owned(), last_at.into());
            }
            if otherwise > 0 {
                entry.detail.insert("otherObjects".to_owned(), otherwise.into());
            }
            (first_at, entry)
        });
        let mut entries: Vec<_> = counted.collect();
        entries.sort_by(|(a, x), (b, y)| (a, &x.actor).cmp(&(b, &y.actor)));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(actor: &str, object: &str) -> Entry {
        Entry {
            actor: actor.to_owned(),
            action: Action::PeerRefused,
            object: object.to_owned(),
            digest: None,
            detail: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_thousand_refusals_of_one_peer_are_one_entry() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        assert_eq!(refusals.due(), None);
        for at in 0..1000 {
            refusals.add(refused("a", if at % 4 == 1 { "expired" } else { "revoked" }), 100 + at, now);
        }
        refusals.add(refused("b", "revoked"), 300, now);
        assert_eq!(refusals.due(), Some(now + WINDOW));
        let entries = refusals.take();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].0, &*entries[0].1.object), (100, "revoked"));
        let detail = serde_json::json!({ "count": 1000, "until": 1099, "otherObjects": 250 });
        assert_eq!(serde_json::Value::Object(entries[0].1.detail.clone()), detail);
        assert_eq!(entries[1], (300, refused("b", "revoked")));
        assert_eq!((refusals.due(), refusals.take()), (None, Vec::new()));
    }

    #[test]
    fn a_thousand_peers_are_a_handful_of_entries() {
        let mut refusals = Refusals::default();
        for at in 0..1000 {
            refusals.add(refused(&format!("peer {at}"), &format!("object {at}")), at, Instant::now());
        }
        let entries = refusals.take();
        assert_eq!(entries.len(), MOST_ACTORS + 1);
        let (at, others) = entries.iter().find(|(_, entry)| entry.actor == OTHERS).unwrap();
        assert_eq!((*at, others.detail["count"].as_u64()), (16, Some(1000 - 16)));
        assert_eq!(others.object, "various");
    }
}
