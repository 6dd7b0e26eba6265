//! One key on its way to another node: sealed with a passphrase, in bytes that fit into a message or a file.
//!
//! ```text
//! magic 4 | version 1 | derivation 1 | algorithm 1 | 0 | iterations 4 | salt 16 | nonce 12 | ciphertext 48 | tag 16
//! ```
//!
//! The ciphertext is key id 8, creation 8 (milliseconds since the Unix epoch), secret 32; numbers are little-endian. All
//! bytes before it are authenticated. Of a key that follows another one the version is 2, and the ciphertext has its naming
//! secret too, 32. `docs/keyring.md` is the normative description.

use super::KeyringError;
use super::key::{ID_BYTES, Key, KeyId, SECRET_BYTES, random};
use crate::security::passphrase;
use aws_lc_rs::aead::{Aad, Nonce};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

const MAGIC: [u8; 4] = *b"\x89MSK";
/// Version 1; PBKDF2-HMAC-SHA-256; AES-256-GCM-SIV; nothing.
const FORMAT: [u8; 4] = [1, 1, 1, 0];
/// The same with a naming secret.
const FOLLOWING_FORMAT: [u8; 4] = [2, 1, 1, 0];
const ITERATIONS_AT: usize = 8;
const SALT_AT: usize = 12;
const NONCE_AT: usize = 28;
const HEADER_BYTES: usize = 40;
const PLAIN_BYTES: usize = ID_BYTES + 8 + SECRET_BYTES;
const TAG_BYTES: usize = 16;

/// Bytes of the export of a key that follows none.
pub(super) const EXPORT_BYTES: usize = HEADER_BYTES + PLAIN_BYTES + TAG_BYTES;
/// Bytes of the export of one that follows another.
pub(super) const FOLLOWING_EXPORT_BYTES: usize = EXPORT_BYTES + SECRET_BYTES;

/// An export that asks for more was not written by this code, and would hold a thread for long.
const MOST_ITERATIONS: u32 = 10_000_000;

/// Seals a key. Takes a good part of a second with the usual number of iterations.
pub(super) fn export(key: &Key, passphrase: &[u8], iterations: NonZeroU32) -> Result<Vec<u8>, KeyringError> {
    let failed = || KeyringError::Crypto("a key could not be exported");
    let (salt, nonce): ([u8; 16], [u8; 12]) = (random()?, random()?);
    let mut out = Vec::with_capacity(FOLLOWING_EXPORT_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(if key.inherited().is_some() { &FOLLOWING_FORMAT } else { &FORMAT });
    out.extend_from_slice(&iterations.get().to_le_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(&nonce);
    let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN_BYTES + SECRET_BYTES));
    plain.extend_from_slice(&key.id.0);
    plain.extend_from_slice(&key.created_at.to_le_bytes());
    plain.extend_from_slice(key.secret());
    plain.extend_from_slice(key.inherited().map_or(&[], |naming| naming.as_slice()));
    let cipher = passphrase::key(passphrase, &salt, iterations).ok_or_else(failed)?;
    let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(out.as_slice()));
    let tag = cipher.seal_in_place_separate_tag(nonce, aad, plain.as_mut_slice()).map_err(|_| failed())?;
    out.extend_from_slice(&plain);
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// Opens what [`export`] wrote.
pub(super) fn import(exported: &[u8], passphrase: &[u8]) -> Result<Key, KeyringError> {
    let refused = |what| Err(KeyringError::Decrypt(what));
    if ![EXPORT_BYTES, FOLLOWING_EXPORT_BYTES].contains(&exported.len()) || exported[..4] != MAGIC {
        return refused(
            "these bytes are no exported key: they do not begin like one, or are too few or too many",
        );
    }
    let iterations = exported[ITERATIONS_AT..SALT_AT].try_into().expect("four bytes make four bytes");
    let iterations = NonZeroU32::new(u32::from_le_bytes(iterations)).filter(|n| n.get() <= MOST_ITERATIONS);
    let format = if exported.len() == EXPORT_BYTES { FORMAT } else { FOLLOWING_FORMAT };
    let Some(iterations) = iterations.filter(|_| exported[4..ITERATIONS_AT] == format) else {
        return refused("the exported key is of a version that this release does not know, or was changed");
    };
    let (header, body) = exported.split_at(HEADER_BYTES);
    let mut plain = Zeroizing::new(body.to_vec());
    let cipher = passphrase::key(passphrase, &header[SALT_AT..NONCE_AT], iterations)
        .ok_or(KeyringError::Crypto("no key could be derived"))?;
    let nonce = Nonce::assume_unique_for_key(header[NONCE_AT..].try_into().expect("a nonce has its length"));
    if cipher.open_in_place(nonce, Aad::from(header), plain.as_mut_slice()).is_err() {
        return refused("the exported key does not open with this passphrase, or was changed");
    }
    let id = KeyId(plain[..ID_BYTES].try_into().expect("a key id has its length"));
    let created_at = plain[ID_BYTES..ID_BYTES + 8].try_into().expect("eight bytes make eight bytes");
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    secret.copy_from_slice(&plain[ID_BYTES + 8..PLAIN_BYTES]);
    let created_at = u64::from_le_bytes(created_at);
    if exported.len() == EXPORT_BYTES {
        return Key::new(id, created_at, secret);
    }
    let mut naming = Zeroizing::new([0; SECRET_BYTES]);
    naming.copy_from_slice(&plain[PLAIN_BYTES..PLAIN_BYTES + SECRET_BYTES]);
    Key::following(id, created_at, secret, naming)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn few() -> NonZeroU32 {
        NonZeroU32::new(1000).unwrap()
    }

    fn exported() -> (Key, Vec<u8>) {
        let key = Key::random(1_700_000_000_000, None).unwrap();
        let bytes = export(&key, b"open sesame", few()).unwrap();
        (key, bytes)
    }

    #[test]
    fn a_key_arrives_as_it_was() {
        let (key, bytes) = exported();
        assert_eq!(bytes.len(), EXPORT_BYTES);
        let arrived = import(&bytes, b"open sesame").unwrap();
        assert!(arrived.same_secret(&key));
        assert_eq!((arrived.id, arrived.created_at), (key.id, key.created_at));
        // Nothing of it can be read, and no two exports are alike.
        assert!(!bytes.windows(8).any(|window| window == &key.secret()[..8] || window == key.id.0));
        assert_ne!(bytes, export(&key, b"open sesame", few()).unwrap());
    }

    #[test]
    fn a_key_that_follows_another_arrives_with_its_naming_secret() {
        let (first, _) = exported();
        let key = Key::random(5, Some(&first)).unwrap();
        let bytes = export(&key, b"open sesame", few()).unwrap();
        assert_eq!(bytes.len(), FOLLOWING_EXPORT_BYTES);
        let arrived = import(&bytes, b"open sesame").unwrap();
        assert!(arrived.same_secret(&key) && arrived.same_line(&first) && arrived.inherited().is_some());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            // One bit of the iterations would make it slow, and is tried with the other format.
            if !(ITERATIONS_AT..SALT_AT).contains(&at) {
                assert!(import(&changed, b"open sesame").is_err(), "byte {at}");
            }
        }
        assert!(import(&bytes[..EXPORT_BYTES], b"open sesame").is_err());
    }

    #[test]
    fn what_was_changed_cut_or_sealed_otherwise_stays_closed() {
        let (_, bytes) = exported();
        let refused = |bytes: &[u8], passphrase: &[u8], what: &str| {
            let error = import(bytes, passphrase).unwrap_err();
            assert!(matches!(error, KeyringError::Decrypt(_)), "{what}: {error}");
        };
        refused(&bytes, b"open sesam", "passphrase");
        for length in 0..bytes.len() {
            refused(&bytes[..length], b"open sesame", &format!("{length} bytes"));
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            refused(&changed, b"open sesame", &format!("byte {at}"));
        }
        refused(&[&bytes[..], b"\0"].concat(), b"open sesame", "one byte more");
        // No work for a number of iterations that would take minutes.
        let mut endless = bytes;
        endless[ITERATIONS_AT..SALT_AT].copy_from_slice(&u32::MAX.to_le_bytes());
        refused(&endless, b"open sesame", "iterations");
    }
}
