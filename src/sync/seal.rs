//! Contents that only those who hold the key can read. What stays visible to a relay: gids and table ids (keyed hashes, or
//! random), stamps, sizes, which rows were deleted.
//!
//! Bodies are sealed with keys that change; names are hashed with one that does not, a [`Naming`]. Both sides of a link, and all
//! nodes of a relay's database, have to have the same: they say so in their Hello ([`Sealing`]).

use std::fmt;

use aws_lc_rs::hmac;

/// Why a body did not open, or could not be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The key of this name is not installed here: it may come.
    UnknownKey(String),
    /// Changed, cut off, sealed for another place, or not sealed at all.
    Damaged,
    /// There is no key to be had at the moment, with the reason.
    Failed(String),
}

/// Seals and opens bodies.
pub trait Seal: Send + Sync + fmt::Debug {
    /// Seals a body for the place that `context` names.
    ///
    /// # Errors
    ///
    /// [`SealError::Failed`].
    fn seal(&self, context: &[u8], body: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError>;

    /// What the keys here give names with, in this database: the one that is used first. Never none.
    ///
    /// # Errors
    ///
    /// [`SealError::Failed`].
    fn namings(&self, database: &str) -> Result<Vec<Naming>, SealError>;

    /// The keys that open, in any form that changes when they do.
    fn keys(&self) -> Vec<String>;
}

/// What all nodes of a database name things with: a keyed hash (HMAC-SHA-256, RFC 2104) under a key that survives the change of
/// keys that seal.
#[derive(Clone)]
pub struct Naming {
    key: hmac::Key,
    tag: SealTag,
}

/// Names a [`Naming`] without telling it: two sides with the same one can read each other's names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealTag(pub [u8; 16]);

impl fmt::Debug for SealTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Naming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Naming").field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl Naming {
    /// That of one database: equal rows of two databases have different names.
    #[must_use]
    pub fn new(secret: &[u8; 32], database: &str) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let of_database = hmac::sign(&root, format!("database {database}").as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, of_database.as_ref());
        let mut tag = [0; 16];
        tag.copy_from_slice(&hmac::sign(&key, b"tag").as_ref()[..16]);
        Self { key, tag: SealTag(tag) }
    }

    /// A keyed hash.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"name ");
        context.update(bytes);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// What it is known by.
    #[must_use]
    pub const fn tag(&self) -> SealTag {
        self.tag
    }
}

/// Whether and how a side seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Nothing is sealed.
    Plain,
    /// Bodies are, and nothing has a name yet: whoever has names is followed.
    Unnamed,
    /// Bodies are, and names are of this naming.
    Named(SealTag),
}

impl Sealing {
    /// Whether two sides can be of one database.
    #[must_use]
    pub fn fits(self, other: Self) -> bool {
        match (self, other) {
            (Self::Plain, Self::Plain) => true,
            (Self::Plain, _) | (_, Self::Plain) => false,
            (Self::Unnamed, _) | (_, Self::Unnamed) => true,
            (Self::Named(one), Self::Named(other)) => one == other,
        }
    }

    /// Why `self` has nothing to do with a peer that is `theirs`.
    #[must_use]
    pub const fn against(self, theirs: Option<Self>) -> &'static str {
        match (self, theirs) {
            (_, None) => "the peer has another keyring, or one of both sides has none",
            (Self::Plain, Some(_)) => {
                "the database is sealed there, and there is no keyring here: open it with the keyring of the others"
            }
            (_, Some(Self::Plain)) => "the database is not sealed there, and there is a keyring here",
            _ => {
                "the database is sealed there with keys of another line: use() a key of the others, uninstall() here and open \
                 it again"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_secret_and_one_database() {
        let naming = Naming::new(&[1; 32], "desk");
        assert_eq!(naming.hash(b"x"), Naming::new(&[1; 32], "desk").hash(b"x"));
        assert_ne!(naming.hash(b"x"), naming.hash(b"y"));
        for other in [Naming::new(&[2; 32], "desk"), Naming::new(&[1; 32], "disk")] {
            assert_ne!(naming.hash(b"x"), other.hash(b"x"));
            assert_ne!(naming.tag(), other.tag());
        }
        assert_ne!(naming.hash(b"tag")[..16], naming.tag().0);
        assert!(!format!("{naming:?}").contains("key"));
    }

    #[test]
    fn sides_fit_when_neither_would_see_garbage() {
        let (one, other) = (Sealing::Named(SealTag([1; 16])), Sealing::Named(SealTag([2; 16])));
        for (left, right, fit) in [
            (Sealing::Plain, Sealing::Plain, true),
            (Sealing::Plain, Sealing::Unnamed, false),
            (Sealing::Plain, one, false),
            (Sealing::Unnamed, Sealing::Unnamed, true),
            (Sealing::Unnamed, one, true),
            (one, one, true),
            (one, other, false),
        ] {
            assert_eq!((left.fits(right), right.fits(left)), (fit, fit), "{left:?} {right:?}");
        }
    }
}
