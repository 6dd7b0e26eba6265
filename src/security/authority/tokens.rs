//! The join tokens of an authority: `tokens.json`, beside the register. The secret of a token is not there, only its
//! SHA-256.

use super::directory::{Directory, Lock};
use super::{AuthorityError, Grants};
use crate::security::hex;
use crate::security::token::{JoinSecret, JoinToken, TokenId, digits};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Serialize};
use std::path::Path;

const TOKENS: &str = "tokens.json";
const VERSION: u32 = 1;

/// Tokens that can still be used. Operators have a few; this is for a program that makes one after the other.
const MOST_TOKENS: usize = 1000;

/// Bytes of the file; grants may be long.
const LARGEST: usize = 16 << 20;

/// A token that has ended is remembered for so long, so that its holder is told what is the matter with it.
const REMEMBERED_MS: u64 = 24 * 60 * 60 * 1000;

/// Why a token is not good for an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefusal {
    /// The authority knows no token of this id, or no longer.
    #[error("there is no such join token")]
    Unknown,
    /// The id is that of a token, the secret is not.
    #[error("the secret is not that of the join token")]
    WrongSecret,
    /// Its time is over.
    #[error("the join token has expired")]
    Expired,
    /// It was good for so many identities and no more.
    #[error("the join token was used up")]
    UsedUp,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    id: TokenId,
    secret_sha256: [u8; 32],
    created_at: u64,
    expires_at: u64,
    uses_left: u32,
    grants: Grants,
}

impl Kept {
    fn is_usable(&self, now_ms: u64) -> bool {
        self.uses_left > 0 && now_ms < self.expires_at
    }
}

/// All of them, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens(Vec<Kept>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    tokens: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    secret_sha256: String,
    created_at: u64,
    expires_at: u64,
    uses_left: u32,
    grants: Grants,
}

impl Tokens {
    /// Keeps a new one, and forgets those that ended long ago.
    pub(super) fn add(
        &mut self,
        token: &JoinToken,
        expires_at: u64,
        uses: u32,
        grants: &Grants,
        now_ms: u64,
    ) -> Result<(), AuthorityError> {
        self.0.retain(|kept| kept.expires_at.saturating_add(REMEMBERED_MS) > now_ms);
        if self.0.len() >= MOST_TOKENS {
            self.0.retain(|kept| kept.is_usable(now_ms));
        }
        if self.0.len() >= MOST_TOKENS {
            return Err(AuthorityError::TooManyTokens { count: self.0.len() });
        }
        self.0.push(Kept {
            id: token.id(),
            secret_sha256: token.secret().digest(),
            created_at: now_ms,
            expires_at,
            uses_left: uses,
            grants: grants.clone(),
        });
        Ok(())
    }

    /// What the holder of this secret may have. Only who knows the secret learns anything but "no": the caller tells
    /// [`TokenRefusal::Unknown`] and [`TokenRefusal::WrongSecret`] to nobody but the log.
    pub(super) fn check(
        &self,
        id: TokenId,
        secret: &JoinSecret,
        now_ms: u64,
    ) -> Result<&Grants, TokenRefusal> {
        let found = self.0.iter().find(|kept| kept.id == id);
        // Compared either way, so that the time does not tell whether there is such a token.
        let expected = found.map_or([0; 32], |kept| kept.secret_sha256);
        let equal = verify_slices_are_equal(&expected, &secret.digest()).is_ok();
        match found {
            None => Err(TokenRefusal::Unknown),
            Some(_) if !equal => Err(TokenRefusal::WrongSecret),
            Some(kept) if now_ms >= kept.expires_at => Err(TokenRefusal::Expired),
            Some(kept) if kept.uses_left == 0 => Err(TokenRefusal::UsedUp),
            Some(kept) => Ok(&kept.grants),
        }
    }

    /// Forgets a token. Returns whether there was one.
    pub(super) fn remove(&mut self, id: TokenId) -> bool {
        let before = self.0.len();
        self.0.retain(|kept| kept.id != id);
        self.0.len() < before
    }

    /// Takes one use of a token that [`Self::check`] has accepted.
    pub(super) fn consume(&mut self, id: TokenId) {
        if let Some(kept) = self.0.iter_mut().find(|kept| kept.id == id) {
            kept.uses_left = kept.uses_left.saturating_sub(1);
        }
    }

    fn to_json(&self) -> Result<Vec<u8>, AuthorityError> {
        let entry = |kept: &Kept| Entry {
            id: kept.id.to_string(),
            secret_sha256: hex(&kept.secret_sha256),
            created_at: kept.created_at,
            expires_at: kept.expires_at,
            uses_left: kept.uses_left,
            grants: kept.grants.clone(),
        };
        let document = Document { version: VERSION, tokens: self.0.iter().map(entry).collect() };
        let json = serde_json::to_vec_pretty(&document)
            .map_err(|_| AuthorityError::Crypto("the tokens have no JSON form"))?;
        if json.len() > LARGEST {
            return Err(AuthorityError::TooManyTokens { count: self.0.len() });
        }
        Ok(json)
    }

    fn from_json(text: &str, path: &Path) -> Result<Self, AuthorityError> {
        let corrupt = |what: String| AuthorityError::Corrupt { path: path.to_owned(), what };
        let document: Document = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
        if document.version != VERSION {
            return Err(corrupt(format!("version {}, this release reads {VERSION}", document.version)));
        }
        let read = |entry: Entry| -> Result<Kept, AuthorityError> {
            let digest = digits(&entry.secret_sha256)
                .ok_or_else(|| corrupt("the hash of a secret is not one".to_owned()))?;
            Ok(Kept {
                id: entry.id.parse().map_err(|_| corrupt("the id of a token is not one".to_owned()))?,
                secret_sha256: digest,
                created_at: entry.created_at,
                expires_at: entry.expires_at,
                uses_left: entry.uses_left,
                grants: entry.grants,
            })
        };
        Ok(Self(document.tokens.into_iter().map(read).collect::<Result<_, _>>()?))
    }
}

/// None yet: there is no such file.
pub(super) fn read(directory: &Directory) -> Result<Tokens, AuthorityError> {
    match directory.read(TOKENS)? {
        Some(text) => Tokens::from_json(&text, &directory.path(TOKENS)),
        None => Ok(Tokens::default()),
    }
}

/// When this returns, they are kept.
pub(super) fn write(directory: &Directory, lock: &Lock<'_>, tokens: &Tokens) -> Result<(), AuthorityError> {
    directory.replace(lock, TOKENS, &tokens.to_json()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken::generate([7; 32], "host:1").unwrap()
    }

    fn add(tokens: &mut Tokens, uses: u32, expires_at: u64, now_ms: u64) -> JoinToken {
        let token = token();
        tokens.add(&token, expires_at, uses, &Grants::default(), now_ms).unwrap();
        token
    }

    #[test]
    fn tokens_survive_their_file_and_leave_no_secret_there() {
        let mut tokens = Tokens::default();
        let token = token();
        let grants = Grants { kinds: Some(vec!["dtw".to_owned()]), ..Grants::default() };
        tokens.add(&token, 1_000, 2, &grants, 0).unwrap();
        let json = String::from_utf8(tokens.to_json().unwrap()).unwrap();
        assert!(!json.contains(&hex(token.secret().as_bytes())));
        let again = Tokens::from_json(&json, Path::new("tokens.json")).unwrap();
        assert_eq!(again, tokens);
        assert_eq!(again.check(token.id(), token.secret(), 999), Ok(&grants));
    }

    #[test]
    fn only_who_knows_the_secret_learns_more_than_no() {
        let mut tokens = Tokens::default();
        let live = add(&mut tokens, 1, 1_000, 0);
        let other = add(&mut tokens, 1, 1_000, 0);
        let check = |tokens: &Tokens, id, secret, now| tokens.check(id, secret, now).map(|_| ());
        assert_eq!(check(&tokens, live.id(), live.secret(), 999), Ok(()));
        assert_eq!(check(&tokens, live.id(), other.secret(), 0), Err(TokenRefusal::WrongSecret));
        assert_eq!(check(&tokens, token().id(), live.secret(), 0), Err(TokenRefusal::Unknown));
        assert_eq!(check(&tokens, live.id(), live.secret(), 1_000), Err(TokenRefusal::Expired));
        assert_eq!(check(&tokens, live.id(), other.secret(), 1_000), Err(TokenRefusal::WrongSecret));
        tokens.consume(live.id());
        assert_eq!(check(&tokens, live.id(), live.secret(), 0), Err(TokenRefusal::UsedUp));
        assert_eq!(check(&tokens, live.id(), other.secret(), 0), Err(TokenRefusal::WrongSecret));
        assert_eq!(check(&tokens, other.id(), other.secret(), 0), Ok(()));
    }

    #[test]
    fn there_are_only_so_many_and_those_that_ended_make_room() {
        let mut tokens = Tokens::default();
        let first = add(&mut tokens, 1, 1_000, 0);
        for _ in 1..MOST_TOKENS {
            add(&mut tokens, 1, 10_000_000_000, 0);
        }
        let full = tokens.add(&token(), 1, 1, &Grants::default(), 0).unwrap_err();
        assert!(matches!(full, AuthorityError::TooManyTokens { count: MOST_TOKENS }), "{full}");
        // Expired a moment ago: remembered as long as there is room, and there is none.
        add(&mut tokens, 1, 10_000_000_000, 1_000);
        assert_eq!(tokens.check(first.id(), first.secret(), 1_000), Err(TokenRefusal::Unknown));

        let mut tokens = Tokens::default();
        let first = add(&mut tokens, 1, 1_000, 0);
        add(&mut tokens, 1, 1_000, 1_000 + REMEMBERED_MS - 1);
        assert_eq!(tokens.check(first.id(), first.secret(), 2_000), Err(TokenRefusal::Expired));
        add(&mut tokens, 1, 1_000, 1_000 + REMEMBERED_MS);
        assert_eq!(tokens.check(first.id(), first.secret(), 2_000), Err(TokenRefusal::Unknown));
    }

    #[test]
    fn a_file_may_not_grow_without_end() {
        let mut tokens = Tokens::default();
        let grants = Grants { kinds: Some(vec!["k".repeat(256); 1024]), ..Grants::default() };
        for _ in 0..4 {
            tokens.add(&token(), 1_000, 1, &grants, 0).unwrap();
        }
        tokens.to_json().unwrap();
        for _ in 0..LARGEST / (256 * 1024) {
            tokens.add(&token(), 1_000, 1, &grants, 0).unwrap();
        }
        assert!(matches!(tokens.to_json(), Err(AuthorityError::TooManyTokens { .. })));
    }

    #[test]
    fn a_damaged_file_is_named_as_such() {
        let hash = "00".repeat(32);
        let entry = |id: &str, hash: &str, rest: &str| {
            format!(
                r#"{{"version":1,"tokens":[{{"id":"{id}","secretSha256":"{hash}","createdAt":0,"expiresAt":1,"usesLeft":1,"grants":{{}}{rest}}}]}}"#
            )
        };
        let path = Path::new("tokens.json");
        Tokens::from_json(&entry("0123456789abcdef", &hash, ""), path).unwrap();
        for text in [
            String::new(),
            "{}".to_owned(),
            r#"{"version":2,"tokens":[]}"#.to_owned(),
            entry("0123", &hash, ""),
            entry("0123456789abcdef", "00", ""),
            entry("0123456789abcdef", &hash, r#","secret":"x""#),
            entry("0123456789abcdef", &hash, "").replace(r#""usesLeft":1"#, r#""usesLeft":-1"#),
        ] {
            let error = Tokens::from_json(&text, path).unwrap_err();
            assert!(matches!(error, AuthorityError::Corrupt { .. }), "{text}: {error}");
        }
    }
}
