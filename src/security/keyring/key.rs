//! One key: its number, its 256 secret bits, and the keys for each purpose that follow from them.
//!
//! The secret itself encrypts nothing. HKDF-SHA-256 (RFC 5869) makes a key of it for each purpose, so that what is sealed
//! for one purpose is noise for another, and a later version of a format can have keys of its own.
//!
//! Beside its secret a key has a *naming secret*, from which keys of keyed hashes follow. A key that is made in a ring takes
//! over that of the current one, so hashes stay the same when keys change; keys of one naming secret are a line.

use super::KeyringError;
use crate::security::{hex, unhex};
use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::{constant_time, rand};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a secret.
pub(super) const SECRET_BYTES: usize = 32;

/// Bytes of the number of a key.
pub(super) const ID_BYTES: usize = 8;

const ENVELOPE_PURPOSE: &[u8] = b"midstreamer keyring envelope 1";
const STREAM_PURPOSE: &[u8] = b"midstreamer keyring stream 1";
const NAMING_PURPOSE: &[u8] = b"midstreamer keyring naming 1";

/// The number of a key: 64 random bits. Not secret; everything that is sealed carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(super) [u8; ID_BYTES]);

impl KeyId {
    /// From its 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key. Its secret is wiped when it goes.
pub(super) struct Key {
    pub(super) id: KeyId,
    /// In milliseconds since the Unix epoch, by the clock of whoever made it.
    pub(super) created_at: u64,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    envelope: LessSafeKey,
    /// The naming secret.
    naming: Zeroizing<[u8; SECRET_BYTES]>,
    /// Whether that is another key's, which this one has followed.
    inherits: bool,
}

impl Key {
    /// The first of its line: its naming secret follows from its own.
    pub(super) fn new(
        id: KeyId,
        created_at: u64,
        secret: Zeroizing<[u8; SECRET_BYTES]>,
    ) -> Result<Self, KeyringError> {
        let naming = expanded(secret.as_ref(), &[], NAMING_PURPOSE)?;
        Ok(Self { inherits: false, ..Self::following(id, created_at, secret, naming)? })
    }

    /// One that names as the key before it did.
    pub(super) fn following(
        id: KeyId,
        created_at: u64,
        secret: Zeroizing<[u8; SECRET_BYTES]>,
        naming: Zeroizing<[u8; SECRET_BYTES]>,
    ) -> Result<Self, KeyringError> {
        let envelope = derived(secret.as_ref(), &[], ENVELOPE_PURPOSE)?;
        Ok(Self { id, created_at, secret, envelope, naming, inherits: true })
    }

    /// A new one; `before` is the key that it is to follow.
    pub(super) fn random(created_at: u64, before: Option<&Self>) -> Result<Self, KeyringError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(secret.as_mut()).map_err(|_| KeyringError::Crypto("no random bytes"))?;
        let id = KeyId(random()?);
        match before {
            None => Self::new(id, created_at, secret),
            Some(before) => Self::following(id, created_at, secret, before.naming.clone()),
        }
    }

    /// What is written into files and exports, and nowhere else.
    pub(super) fn secret(&self) -> &[u8; SECRET_BYTES] {
        &self.secret
    }

    /// For envelopes.
    pub(super) fn envelope(&self) -> &LessSafeKey {
        &self.envelope
    }

    /// For one stream: another for each salt.
    pub(super) fn stream(&self, salt: &[u8]) -> Result<LessSafeKey, KeyringError> {
        derived(self.secret.as_ref(), salt, STREAM_PURPOSE)
    }

    /// What files and exports have to keep besides the secret: the naming secret of a key that follows another one.
    pub(super) fn inherited(&self) -> Option<&[u8; SECRET_BYTES]> {
        self.inherits.then_some(&self.naming)
    }

    /// For keyed hashes of one purpose: the same for all keys of a line.
    pub(super) fn naming(&self, purpose: &[u8]) -> Result<Zeroizing<[u8; SECRET_BYTES]>, KeyringError> {
        expanded(self.naming.as_ref(), &[], purpose)
    }

    /// Whether both name alike.
    pub(super) fn same_line(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.naming.as_ref(), other.naming.as_ref()).is_ok()
    }

    /// Whether both have the same secrets.
    pub(super) fn same_secret(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.secret.as_ref(), other.secret.as_ref()).is_ok()
            && self.same_line(other)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

fn derived(secret: &[u8], salt: &[u8], purpose: &[u8]) -> Result<LessSafeKey, KeyringError> {
    let bytes = expanded(secret, salt, purpose)?;
    let key = UnboundKey::new(&AES_256_GCM_SIV, bytes.as_ref());
    key.map(LessSafeKey::new).map_err(|_| KeyringError::Crypto("no key could be derived"))
}

fn expanded(
    secret: &[u8],
    salt: &[u8],
    purpose: &[u8],
) -> Result<Zeroizing<[u8; SECRET_BYTES]>, KeyringError> {
    let failed = |_| KeyringError::Crypto("no key could be derived");
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    let info = [purpose];
    let expanded = extracted.expand(&info, HKDF_SHA256).map_err(failed)?;
    expanded.fill(bytes.as_mut()).map_err(failed)?;
    Ok(bytes)
}

/// So many random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyringError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyringError::Crypto("no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_sixteen_digits() {
        let id = KeyId([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!(id.to_string(), "00010203fcfdfeff");
        assert_eq!(KeyId::parse("00010203fcfdfeff"), Some(id));
        for bad in
            ["", "00", "00010203fcfdfef", "00010203fcfdfeff00", "+0010203fcfdfeff", "00010203fcfdfe\u{e9}"]
        {
            assert_eq!(KeyId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_that_follows_another_names_as_that_does() {
        let first = Key::random(1, None).unwrap();
        let second = Key::random(2, Some(&first)).unwrap();
        let third = Key::random(3, Some(&second)).unwrap();
        let stranger = Key::random(3, None).unwrap();
        assert!(first.inherited().is_none() && third.inherited().is_some());
        assert_eq!(first.naming(b"a").unwrap(), third.naming(b"a").unwrap());
        assert_ne!(first.naming(b"a").unwrap(), first.naming(b"b").unwrap());
        assert_ne!(first.naming(b"a").unwrap(), stranger.naming(b"a").unwrap());
        assert!(first.same_line(&third) && !first.same_line(&stranger) && !first.same_secret(&second));
        // What names says nothing of what seals.
        assert_ne!(first.inherited().unwrap_or(first.secret()), third.secret());
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let key = Key::new(KeyId([7; 8]), 1, Zeroizing::new([0xa5; 32])).unwrap();
        let text = format!("{key:?} {key:#?}");
        assert!(text.contains("0707070707070707") && !text.contains("a5") && !text.contains("165"), "{text}");
    }
}
