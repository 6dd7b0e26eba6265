//! Secrets under a passphrase: AES-256-GCM-SIV (RFC 8452) with a key from PBKDF2-HMAC-SHA-256 (RFC 8018).
//!
//! Both come with aws-lc-rs, which is here for TLS anyway. scrypt and Argon2 cost an attacker with graphics cards more
//! per guess, but each would bring a family of crates for files that are readable by their owner alone; the number of
//! iterations is that of OWASP's recommendation of 2023 and stands in the file, so it can grow. GCM-SIV, because the
//! nonce is random: with a repeated one it still gives nothing away but equality.

use super::{hex, unhex};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{pbkdf2, rand};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// What is written now.
pub(super) const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("it is a constant above zero");

/// A file that asks for more was not written by this code, and would hold a thread for minutes.
const MOST_ITERATIONS: u32 = 20_000_000;

/// As it stands in the file; bytes in hexadecimal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    kdf: String,
    iterations: u32,
    salt: String,
    cipher: String,
    nonce: String,
    ciphertext: String,
}

const KDF: &str = "pbkdf2-hmac-sha256";
const CIPHER: &str = "aes-256-gcm-siv";

/// The key that a passphrase gives with this salt. Takes a good part of a second with the usual iterations.
pub(super) fn key(passphrase: &[u8], salt: &[u8], iterations: NonZeroU32) -> Option<LessSafeKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, passphrase, bytes.as_mut());
    UnboundKey::new(&AES_256_GCM_SIV, bytes.as_ref()).ok().map(LessSafeKey::new)
}

/// Encrypts; `context` says what it is, so that no other sealed text of ours opens as it. `None`: the cryptography
/// failed, which it does not do on account of any input.
pub(super) fn seal(plaintext: &[u8], passphrase: &[u8], context: &[u8]) -> Option<Sealed> {
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    rand::fill(&mut salt).ok()?;
    rand::fill(&mut nonce).ok()?;
    let key = key(passphrase, &salt, ITERATIONS)?;
    let mut text = Vec::with_capacity(plaintext.len() + key.algorithm().tag_len());
    text.extend_from_slice(plaintext);
    let nonce_of = Nonce::assume_unique_for_key;
    key.seal_in_place_append_tag(nonce_of(nonce), Aad::from(context), &mut text).ok()?;
    Some(Sealed {
        kdf: KDF.to_owned(),
        iterations: ITERATIONS.get(),
        salt: hex(&salt),
        cipher: CIPHER.to_owned(),
        nonce: hex(&nonce),
        ciphertext: hex(&text),
    })
}

impl Sealed {
    /// Decrypts. `None`: the passphrase is another one, or the text was changed; the cipher cannot tell the two apart.
    /// `Err`: this is nothing that [`seal`] wrote, in words.
    pub(super) fn open(
        &self,
        passphrase: &[u8],
        context: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, &'static str> {
        if self.kdf != KDF || self.cipher != CIPHER {
            return Err("the key is sealed in a way that this version does not know");
        }
        let iterations = NonZeroU32::new(self.iterations).filter(|n| n.get() <= MOST_ITERATIONS);
        let iterations = iterations.ok_or("the number of iterations is out of range")?;
        let bytes = |text: &str| unhex(text).ok_or("what should be hexadecimal is not");
        let (salt, mut text) = (bytes(&self.salt)?, Zeroizing::new(bytes(&self.ciphertext)?));
        let nonce: [u8; 12] = bytes(&self.nonce)?.try_into().map_err(|_| "the nonce has another length")?;
        let key = key(passphrase, &salt, iterations).ok_or("no key")?;
        let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut text);
        let length = match opened {
            Ok(plain) => plain.len(),
            Err(_) => return Ok(None),
        };
        text.truncate(length);
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &[u8] = b"a kind of secret";

    #[test]
    fn opens_with_the_same_passphrase_alone() {
        let sealed = seal(b"a key", b"open sesame", CONTEXT).unwrap();
        assert_eq!(sealed.open(b"open sesame", CONTEXT).unwrap().unwrap().as_slice(), b"a key");
        assert!(sealed.open(b"open sesam", CONTEXT).unwrap().is_none());
        assert!(sealed.open(b"", CONTEXT).unwrap().is_none());
        assert!(sealed.open(b"open sesame", b"another kind of secret").unwrap().is_none());
        assert_ne!(sealed.ciphertext, seal(b"a key", b"open sesame", CONTEXT).unwrap().ciphertext);
    }

    #[test]
    fn a_changed_file_neither_opens_nor_hangs() {
        let sealed = || seal(b"a key", b"open sesame", CONTEXT).unwrap();
        let changed = |change: fn(&mut Sealed)| {
            let mut sealed = sealed();
            change(&mut sealed);
            sealed.open(b"open sesame", CONTEXT)
        };
        assert!(changed(|sealed| sealed.iterations = 0).is_err());
        assert!(changed(|sealed| sealed.iterations = u32::MAX).is_err());
        assert!(changed(|sealed| sealed.kdf = "md5".to_owned()).is_err());
        assert!(changed(|sealed| sealed.nonce = "00".to_owned()).is_err());
        assert!(changed(|sealed| sealed.salt = "\u{e9}".to_owned()).is_err());
        assert!(changed(|sealed| sealed.salt = "0".to_owned()).is_err());
        assert!(changed(|sealed| sealed.iterations -= 1).unwrap().is_none());
        assert!(changed(|sealed| sealed.ciphertext.clear()).unwrap().is_none());
        assert!(changed(|sealed| sealed.ciphertext.replace_range(0..2, "zz")).is_err());
    }
}
