//! Names of swarm members: `spiffe://<trust-domain>/swarm/<swarm>/<role>/<id>`, as in the SPIFFE ID specification
//! (<https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/>), with a narrower alphabet than it allows.
//!
//! A certificate carries exactly one such name as a URI in its subject alternative names, and that name is the only
//! thing that is ever believed about who a peer is.

use std::fmt;
use std::str::FromStr;

/// Bytes of an id.
pub const LONGEST_ID: usize = 128;

/// Bytes of the name of a swarm; its trust domain stays within the 255 bytes of SPIFFE.
pub const LONGEST_SWARM: usize = 64;

/// What an identity is in its swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Listens, keeps the tasks.
    Coordinator,
    /// Dials, runs the tasks.
    Agent,
    /// Does both towards its like: a node that replicates databases.
    Peer,
}

impl Role {
    /// As it stands in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Agent => "agent",
            Self::Peer => "peer",
        }
    }

    /// Whether it may answer a dial.
    pub fn serves(self) -> bool {
        matches!(self, Self::Coordinator | Self::Peer)
    }

    /// Whether it may dial.
    pub fn dials(self) -> bool {
        matches!(self, Self::Agent | Self::Peer)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        [Self::Coordinator, Self::Agent, Self::Peer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(NameError::Role)
    }
}

/// The name of a member. Its fields are checked: there is no other way to make one than [`PeerName::new`] and parsing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerName {
    trust_domain: Box<str>,
    swarm: Box<str>,
    role: Role,
    id: Box<str>,
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not of the shape above.
    #[error("not of the form spiffe://<trust domain>/swarm/<name>/<role>/<id>")]
    Form,
    /// The trust domain.
    #[error("a trust domain is 1 to 255 characters of a-z, 0-9, '.', '-' and '_'")]
    TrustDomain,
    /// The name of the swarm.
    #[error(
        "the name of a swarm is 1 to {LONGEST_SWARM} characters of A-Z, a-z, 0-9, '.', '-' and '_', not '.' or '..'"
    )]
    Swarm,
    /// The role.
    #[error("a role is 'coordinator', 'agent' or 'peer'")]
    Role,
    /// The id.
    #[error("an id is 1 to {LONGEST_ID} characters of A-Z, a-z, 0-9, '.', '-' and '_', not '.' or '..'")]
    Id,
}

/// Letters that mean nothing in a path, a URI or a log line; and nothing that walks up a path.
fn is_segment(text: &str, longest: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=longest).contains(&text.len()) && text.bytes().all(plain) && text != "." && text != ".."
}

/// Whether `text` may be the id of a member.
pub fn check_id(text: &str) -> Result<(), NameError> {
    if is_segment(text, LONGEST_ID) { Ok(()) } else { Err(NameError::Id) }
}

/// Whether `text` may be the name of a swarm.
pub fn check_swarm(text: &str) -> Result<(), NameError> {
    if is_segment(text, LONGEST_SWARM) { Ok(()) } else { Err(NameError::Swarm) }
}

impl PeerName {
    /// A name of its parts.
    pub fn new(trust_domain: &str, swarm: &str, role: Role, id: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if !(1..=255).contains(&trust_domain.len()) || !trust_domain.bytes().all(plain) {
            return Err(NameError::TrustDomain);
        }
        check_swarm(swarm)?;
        check_id(id)?;
        Ok(Self { trust_domain: trust_domain.into(), swarm: swarm.into(), role, id: id.into() })
    }

    /// Where its authority rules.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The swarm it belongs to.
    pub fn swarm(&self) -> &str {
        &self.swarm
    }

    /// What it is there.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Who it is there.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether both are of one swarm under one authority's domain.
    pub fn is_of_same_swarm(&self, other: &Self) -> bool {
        self.trust_domain == other.trust_domain && self.swarm == other.swarm
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, swarm, role, id } = self;
        write!(f, "spiffe://{trust_domain}/swarm/{swarm}/{role}/{id}")
    }
}

impl FromStr for PeerName {
    type Err = NameError;

    /// Nothing is normalised: there is one spelling of each name.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest = text.strip_prefix("spiffe://").ok_or(NameError::Form)?;
        let mut parts = rest.split('/');
        let mut next = || parts.next().ok_or(NameError::Form);
        let (trust_domain, swarm_word, swarm, role, id) = (next()?, next()?, next()?, next()?, next()?);
        if swarm_word != "swarm" || next().is_ok() {
            return Err(NameError::Form);
        }
        Self::new(trust_domain, swarm, role.parse()?, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_one_spelling() {
        let text = "spiffe://desk.midstreamer/swarm/Desk/agent/worker-1.eu_A";
        let name: PeerName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        let parts = (name.trust_domain(), name.swarm(), name.role(), name.id());
        assert_eq!(parts, ("desk.midstreamer", "Desk", Role::Agent, "worker-1.eu_A"));
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        let long = "x".repeat(LONGEST_ID + 1);
        for (text, error) in [
            ("", NameError::Form),
            ("https://d/swarm/s/agent/a", NameError::Form),
            ("SPIFFE://d/swarm/s/agent/a", NameError::Form),
            ("spiffe://d/swarm/s/agent", NameError::Form),
            ("spiffe://d/swarm/s/agent/a/", NameError::Form),
            ("spiffe://d/swarm/s/agent/a/b", NameError::Form),
            ("spiffe://d//swarm/s/agent/a", NameError::Form),
            ("spiffe://d/sworm/s/agent/a", NameError::Form),
            ("spiffe:///swarm/s/agent/a", NameError::TrustDomain),
            ("spiffe://D/swarm/s/agent/a", NameError::TrustDomain),
            ("spiffe://d:1/swarm/s/agent/a", NameError::TrustDomain),
            ("spiffe://u@d/swarm/s/agent/a", NameError::TrustDomain),
            ("spiffe://d/swarm//agent/a", NameError::Swarm),
            ("spiffe://d/swarm/../agent/a", NameError::Swarm),
            ("spiffe://d/swarm/s/admin/a", NameError::Role),
            ("spiffe://d/swarm/s/Agent/a", NameError::Role),
            ("spiffe://d/swarm/s/agent/", NameError::Id),
            ("spiffe://d/swarm/s/agent/.", NameError::Id),
            ("spiffe://d/swarm/s/agent/..", NameError::Id),
            ("spiffe://d/swarm/s/agent/a%2fb", NameError::Id),
            ("spiffe://d/swarm/s/agent/a?b", NameError::Id),
            ("spiffe://d/swarm/s/agent/a#b", NameError::Id),
            ("spiffe://d/swarm/s/agent/a b", NameError::Id),
            ("spiffe://d/swarm/s/agent/a\0", NameError::Id),
            ("spiffe://d/swarm/s/agent/\u{e9}", NameError::Id),
            (&format!("spiffe://d/swarm/s/agent/{long}"), NameError::Id),
        ] {
            assert_eq!(text.parse::<PeerName>(), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_written_as_it_was(text in "spiffe://[a-zA-Z./%]{0,4}/swarm/[a-z./]{0,4}/(agent|peer|coordinator)/\\PC{0,6}") {
            if let Ok(name) = text.parse::<PeerName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn parts_come_back(domain in "[a-z0-9._-]{1,20}", swarm in "[A-Za-z0-9_-]{1,64}", id in "[A-Za-z0-9_-]{1,128}") {
            let name = PeerName::new(&domain, &swarm, Role::Peer, &id).unwrap();
            prop_assert_eq!(name.to_string().parse::<PeerName>(), Ok(name));
        }
    }
}
