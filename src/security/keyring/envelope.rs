//! The envelope: what is sealed, as bytes that carry the number of their key.
//!
//! ```text
//! magic 4 | version 1 | algorithm 1 | kind 1 | 0 | key id 8 | nonce 12 | ciphertext | tag 16
//! ```
//!
//! AES-256-GCM-SIV (RFC 8452) with random nonces: one that repeats tells at most that two envelopes hold the same. The
//! whole header is authenticated, and the context with its length behind it, so an envelope opens only as what it was
//! sealed as and where it belongs. `docs/keyring.md` is the normative description. No file, clock or dice here.

use super::KeyringError;
use super::key::{ID_BYTES, Key, KeyId};
use aws_lc_rs::aead::{Aad, Nonce};

/// First a byte that is not ASCII, so that no text begins like an envelope.
const MAGIC: [u8; 4] = *b"\x89MSE";
const VERSION: u8 = 1;
/// AES-256-GCM-SIV with a key by HKDF-SHA-256.
const ALGORITHM: u8 = 1;
pub(super) const NONCE_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;
const ID_AT: usize = 8;
const NONCE_AT: usize = ID_AT + ID_BYTES;
const HEADER_BYTES: usize = NONCE_AT + NONCE_BYTES;

/// By how much an envelope is longer than what is in it, in bytes.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// What one envelope holds at most, in bytes.
pub const MOST_PLAINTEXT_BYTES: usize = 1 << 30;

/// What a context takes at most, in bytes of UTF-8.
pub const LONGEST_CONTEXT: usize = 65_536;

/// As what something is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes.
    Bytes,
    /// Values of a series: IEEE 754 binary64, little-endian, at least one.
    Series,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Bytes, Self::Series];

    fn code(self) -> u8 {
        match self {
            Self::Bytes => 0,
            Self::Series => 1,
        }
    }
}

/// What the header of an envelope says. Nothing of it is believed before the envelope was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// As what it was sealed.
    pub kind: Kind,
    /// With which key.
    pub key: KeyId,
}

/// What does not open, whatever the reason: the cipher cannot tell them apart.
pub(super) const UNOPENED: KeyringError = KeyringError::Decrypt(
    "what was sealed does not open: it was changed, or was sealed for another context or with another key",
);

/// Reads the header.
pub fn header(sealed: &[u8]) -> Result<Header, KeyringError> {
    let refused = |what| Err(KeyringError::Decrypt(what));
    if sealed.len() < OVERHEAD_BYTES || sealed[..4] != MAGIC {
        return refused(
            "these bytes are not what was sealed: they do not begin like an envelope, or are too few",
        );
    }
    if sealed[4] != VERSION || sealed[5] != ALGORITHM || sealed[7] != 0 {
        return refused("the envelope is of a version that this release does not know, or was changed");
    }
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.code() == sealed[6]) else {
        return refused("the envelope holds what this release does not know, or was changed");
    };
    let key = KeyId(sealed[ID_AT..NONCE_AT].try_into().expect("a key id has its length"));
    Ok(Header { kind, key })
}

/// Seals `plaintext` into `out`, which is longer by [`OVERHEAD_BYTES`]. No nonce may be used twice with one key.
pub(super) fn seal(
    key: &Key,
    nonce: [u8; NONCE_BYTES],
    kind: Kind,
    context: &str,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<(), KeyringError> {
    check(context, plaintext.len())?;
    if out.len() != plaintext.len() + OVERHEAD_BYTES {
        return Err(KeyringError::Crypto("no room for an envelope"));
    }
    let (header, body) = out.split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&MAGIC);
    header[4..ID_AT].copy_from_slice(&[VERSION, ALGORITHM, kind.code(), 0]);
    header[ID_AT..NONCE_AT].copy_from_slice(&key.id.0);
    header[NONCE_AT..].copy_from_slice(&nonce);
    let (body, tag) = body.split_at_mut(plaintext.len());
    body.copy_from_slice(plaintext);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let sealed =
        key.envelope().seal_in_place_separate_tag(nonce, Aad::from(authenticated(header, context)), body);
    tag.copy_from_slice(sealed.map_err(|_| KeyringError::Crypto("nothing could be sealed"))?.as_ref());
    Ok(())
}

/// Opens an envelope into `out`, which is shorter by [`OVERHEAD_BYTES`] and holds zeros after an error.
pub(super) fn open(
    key: &Key,
    kind: Kind,
    context: &str,
    sealed: &[u8],
    out: &mut [u8],
) -> Result<(), KeyringError> {
    let found = header(sealed)?;
    check(context, 0)?;
    if found.kind != kind {
        let what = match found.kind {
            Kind::Bytes => {
                "the envelope holds bytes and no series: it was made by seal(), open it with open()"
            }
            Kind::Series => {
                "the envelope holds a series: it was made by sealSeries(), open it with openSeries()"
            }
        };
        return Err(KeyringError::Decrypt(what));
    }
    let (header, body) = sealed.split_at(HEADER_BYTES);
    let (ciphertext, tag) = body.split_at(body.len() - TAG_BYTES);
    if found.key != key.id || out.len() != ciphertext.len() {
        return Err(KeyringError::Crypto("the wrong key, or no room for what is in an envelope"));
    }
    let nonce = header[NONCE_AT..].try_into().expect("a nonce has its length");
    let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(authenticated(header, context)));
    key.envelope().open_separate_gather(nonce, aad, ciphertext, tag, out).map_err(|_| {
        out.fill(0);
        UNOPENED
    })
}

/// Limits, before anything is allocated for what exceeds them.
pub(super) fn check(context: &str, plaintext_bytes: usize) -> Result<(), KeyringError> {
    if context.len() > LONGEST_CONTEXT {
        let what = format!("takes {} bytes, more than {LONGEST_CONTEXT}", context.len());
        return Err(KeyringError::Invalid { argument: "context", what });
    }
    if plaintext_bytes > MOST_PLAINTEXT_BYTES {
        return Err(KeyringError::TooLarge { bytes: plaintext_bytes, most: MOST_PLAINTEXT_BYTES });
    }
    Ok(())
}

/// A header and a context as one run of bytes that no other header and context give.
pub(super) fn authenticated(header: &[u8], context: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(header.len() + 8 + context.len());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&(context.len() as u64).to_le_bytes());
    bytes.extend_from_slice(context.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn key(id: u8, secret: u8) -> Key {
        Key::new(KeyId([id; ID_BYTES]), 1, Zeroizing::new([secret; 32])).unwrap()
    }

    fn sealed(kind: Kind, context: &str, plaintext: &[u8]) -> Vec<u8> {
        let mut out = vec![0; plaintext.len() + OVERHEAD_BYTES];
        seal(&key(1, 1), [9; NONCE_BYTES], kind, context, plaintext, &mut out).unwrap();
        out
    }

    fn opened(key: &Key, kind: Kind, context: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let mut out = vec![0xee; sealed.len().saturating_sub(OVERHEAD_BYTES)];
        let opened = open(key, kind, context, sealed, &mut out);
        opened.map(|()| out)
    }

    fn assert_closed(result: Result<Vec<u8>, KeyringError>, what: &str) {
        match result {
            Err(KeyringError::Decrypt(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
    }

    #[test]
    fn every_change_and_every_cut_stays_closed() {
        let bytes = sealed(Kind::Bytes, "desk", b"a strategy");
        assert_eq!(opened(&key(1, 1), Kind::Bytes, "desk", &bytes).unwrap(), b"a strategy");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // The ring looks for the key that the header names; a changed number may be that of another key.
            let named = header(&changed).map_or(KeyId([1; ID_BYTES]), |header| header.key);
            let key = Key::new(named, 1, Zeroizing::new([1; 32])).unwrap();
            assert_closed(opened(&key, Kind::Bytes, "desk", &changed), &format!("bit {bit}"));
        }
        for length in 0..bytes.len() {
            assert_closed(
                opened(&key(1, 1), Kind::Bytes, "desk", &bytes[..length]),
                &format!("{length} bytes"),
            );
        }
        assert_closed(
            opened(&key(1, 1), Kind::Bytes, "desk", &[&bytes[..], b"\0"].concat()),
            "one byte more",
        );
    }

    #[test]
    fn it_opens_in_its_context_as_its_kind_with_its_key_alone() {
        let bytes = sealed(Kind::Series, "desk", &[0; 16]);
        for context in ["", "des", "desk\0", "Desk", "desk4"] {
            assert_closed(opened(&key(1, 1), Kind::Series, context, &bytes), context);
        }
        assert_closed(opened(&key(1, 1), Kind::Bytes, "desk", &bytes), "as bytes");
        assert_closed(opened(&key(1, 2), Kind::Series, "desk", &bytes), "with another secret");
        let mut claimed = bytes.clone();
        claimed[6] = 0;
        assert_closed(opened(&key(1, 1), Kind::Bytes, "desk", &claimed), "claimed to be bytes");
        let mut moved = bytes.clone();
        moved[ID_AT..NONCE_AT].fill(2);
        assert_closed(
            opened(&key(2, 1), Kind::Series, "desk", &moved),
            "under another number of the same secret",
        );
        assert_eq!(opened(&key(1, 1), Kind::Series, "desk", &bytes).unwrap(), [0; 16]);
    }

    #[test]
    fn nothing_of_what_did_not_open_is_left() {
        let mut bytes = sealed(Kind::Bytes, "", &[7; 64]);
        *bytes.last_mut().unwrap() ^= 1;
        let mut out = [0xee; 64];
        assert!(open(&key(1, 1), Kind::Bytes, "", &bytes, &mut out).is_err());
        assert_eq!(out, [0; 64]);
    }

    #[test]
    fn limits_come_before_memory() {
        let context = "x".repeat(LONGEST_CONTEXT + 1);
        let refused = check(&context, 0).unwrap_err();
        assert!(matches!(refused, KeyringError::Invalid { argument: "context", .. }), "{refused}");
        check(&context[1..], MOST_PLAINTEXT_BYTES).unwrap();
        let refused = check("", MOST_PLAINTEXT_BYTES + 1).unwrap_err();
        assert!(matches!(refused, KeyringError::TooLarge { .. }), "{refused}");
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_what_opens(
            plaintext in prop::collection::vec(any::<u8>(), 0..300),
            context in ".{0,40}",
            other in ".{0,40}",
        ) {
            let bytes = sealed(Kind::Bytes, &context, &plaintext);
            prop_assert_eq!(opened(&key(1, 1), Kind::Bytes, &context, &bytes).unwrap(), plaintext);
            if other != context {
                prop_assert!(opened(&key(1, 1), Kind::Bytes, &other, &bytes).is_err());
            }
        }
    }
}
