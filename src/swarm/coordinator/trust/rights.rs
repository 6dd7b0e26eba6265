//! What a session may do: the grants of its certificate, asked at each frame that needs one.

use crate::security::audit::{Action, Entry};
use crate::security::{Grants, Peer};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Kinds that a coordinator uses for its own work on the whole swarm, and the public kind that stands for each.
const PARTS: &[(&str, &str)] = &[
    ("midstreamer.dtw.tile", "dtw.matrix"),
    ("midstreamer.lcs.tile", "lcs.matrix"),
    ("midstreamer.library.put", "library.search"),
    ("midstreamer.library.search", "library.search"),
    ("midstreamer.library.drop", "library.search"),
];

/// Grants of a register entry. What is not restricted is allowed.
#[derive(Debug, Clone, Default)]
pub(in crate::swarm::coordinator) struct Rights(Arc<Grants>);

impl Rights {
    /// Everything of the role.
    pub(super) fn all() -> Self {
        Self::default()
    }

    pub(super) fn of(grants: Arc<Grants>) -> Self {
        Self(grants)
    }

    /// As what it may register.
    pub(in crate::swarm::coordinator) fn agent_type(&self, agent_type: &str) -> bool {
        contains(self.0.agent_types.as_deref(), agent_type)
    }

    /// Which kinds of task it may be given, for the ledger; None for all. Whoever may compute matrices may compute parts of
    /// them.
    pub(in crate::swarm::coordinator) fn kinds(&self) -> Option<Vec<Arc<str>>> {
        let granted = self.0.kinds.as_deref()?;
        let parts = PARTS.iter().filter(|(_, whole)| contains(Some(granted), whole)).map(|(part, _)| *part);
        Some(granted.iter().map(String::as_str).chain(parts).map(Arc::from).collect())
    }

    /// To which topics it may publish and subscribe.
    pub(in crate::swarm::coordinator) fn topic(&self, topic: &str) -> bool {
        contains(self.0.topics.as_deref(), topic)
    }

    /// Which databases it may replicate.
    pub(in crate::swarm::coordinator) fn database(&self, database: &str) -> bool {
        contains(self.0.databases.as_deref(), database)
    }
}

/// For the audit log: somebody asked for what `list` of its grants does not hold.
pub(in crate::swarm::coordinator) fn grant_refused(peer: &Peer, asked: &str, list: &str) -> Entry {
    let mut detail = Map::new();
    detail.insert("grant".to_owned(), Value::from(list));
    detail.insert("serial".to_owned(), Value::from(peer.serial.as_str()));
    Entry {
        actor: peer.name.to_string(),
        action: Action::GrantRefused,
        object: asked.to_owned(),
        digest: None,
        detail,
    }
}

fn contains(list: Option<&[String]>, name: &str) -> bool {
    list.is_none_or(|list| list.iter().any(|allowed| allowed == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn what_is_not_restricted_is_allowed_and_nothing_else() {
        let all = Rights::all();
        assert!(all.agent_type("x") && all.topic("y") && all.database("z") && all.kinds().is_none());
        let grants = Grants {
            agent_types: list(&["worker"]),
            kinds: list(&["backtest", "dtw.matrix"]),
            topics: list(&[]),
            databases: list(&["memory"]),
        };
        let some = Rights::of(Arc::new(grants));
        assert!(some.agent_type("worker") && !some.agent_type("work") && !some.agent_type(""));
        assert!(!some.topic("prices") && !some.topic(""));
        assert!(some.database("memory") && !some.database("other"));
        let kinds = some.kinds().unwrap();
        assert_eq!(
            kinds.iter().map(|kind| &**kind).collect::<Vec<_>>(),
            ["backtest", "dtw.matrix", "midstreamer.dtw.tile"]
        );
    }

    #[test]
    fn every_part_belongs_to_a_kind_that_is_built_in() {
        let kinds = crate::swarm::kinds::KINDS;
        assert!(PARTS.iter().all(|(part, whole)| kinds.contains(part) && kinds.contains(whole)));
        let parts = kinds.iter().filter(|kind| kind.starts_with("midstreamer."));
        assert!(parts.clone().all(|kind| PARTS.iter().any(|(part, _)| part == kind)));
    }
}
