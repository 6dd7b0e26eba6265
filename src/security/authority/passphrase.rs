//! A private key under a passphrase: AES-256-GCM-SIV (RFC 8452) with a key from PBKDF2-HMAC-SHA-256 (RFC 8018).
//!
//! Both come with aws-lc-rs, which is here for TLS anyway. scrypt and Argon2 cost an attacker with graphics cards more
//! per guess, but each would bring a family of crates for one file that is readable by its owner alone; the number of
//! iterations is that of OWASP's recommendation of 2023 and stands in the file, so it can grow. GCM-SIV, because the
//! nonce is random: with a repeated one it still gives nothing away but equality.

use super::AuthorityError;
use crate::security::hex;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{pbkdf2, rand};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

const ITERATIONS: u32 = 600_000;

/// A file that asks for more was not written by this code, and would hold a thread for minutes.
const MOST_ITERATIONS: u32 = 20_000_000;

/// So that no other sealed text of ours opens as a key.
const CONTEXT: &[u8] = b"midstreamer authority key 1";

/// As it stands in the file; bytes in hexadecimal.
#[derive(Serialize, Deserialize)]
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

fn key(passphrase: &[u8], salt: &[u8], iterations: NonZeroU32) -> Option<LessSafeKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, passphrase, bytes.as_mut());
    UnboundKey::new(&AES_256_GCM_SIV, bytes.as_ref()).ok().map(LessSafeKey::new)
}

/// Encrypts.
pub(super) fn seal(plaintext: &[u8], passphrase: &[u8]) -> Result<Sealed, AuthorityError> {
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    let random = |bytes: &mut [u8]| rand::fill(bytes).map_err(|_| AuthorityError::Crypto("no random bytes"));
    random(&mut salt)?;
    random(&mut nonce)?;
    let iterations = const { NonZeroU32::new(ITERATIONS).expect("it is a constant above zero") };
    let key = key(passphrase, &salt, iterations).ok_or(AuthorityError::Crypto("no key"))?;
    let mut text = plaintext.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(CONTEXT), &mut text)
        .map_err(|_| AuthorityError::Crypto("the key could not be sealed"))?;
    Ok(Sealed {
        kdf: KDF.to_owned(),
        iterations: ITERATIONS,
        salt: hex(&salt),
        cipher: CIPHER.to_owned(),
        nonce: hex(&nonce),
        ciphertext: hex(&text),
    })
}

impl Sealed {
    /// Decrypts. `None`: the passphrase is another one, or the text was changed; the cipher cannot tell the two apart.
    /// `Err`: this is nothing that [`seal`] wrote, in words.
    pub(super) fn open(&self, passphrase: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, &'static str> {
        if self.kdf != KDF || self.cipher != CIPHER {
            return Err("the key is sealed in a way that this version does not know");
        }
        let iterations = NonZeroU32::new(self.iterations).filter(|n| n.get() <= MOST_ITERATIONS);
        let iterations = iterations.ok_or("the number of iterations is out of range")?;
        let bytes = |text: &str| unhex(text).ok_or("what should be hexadecimal is not");
        let (salt, mut text) = (bytes(&self.salt)?, Zeroizing::new(bytes(&self.ciphertext)?));
        let nonce: [u8; 12] = bytes(&self.nonce)?.try_into().map_err(|_| "the nonce has another length")?;
        let key = key(passphrase, &salt, iterations).ok_or("no key")?;
        let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(CONTEXT), &mut text);
        let length = match opened {
            Ok(plain) => plain.len(),
            Err(_) => return Ok(None),
        };
        text.truncate(length);
        Ok(Some(text))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_the_same_passphrase_alone() {
        let sealed = seal(b"a key", b"open sesame").unwrap();
        assert_eq!(sealed.open(b"open sesame").unwrap().unwrap().as_slice(), b"a key");
        assert!(sealed.open(b"open sesam").unwrap().is_none());
        assert!(sealed.open(b"").unwrap().is_none());
        assert_ne!(sealed.ciphertext, seal(b"a key", b"open sesame").unwrap().ciphertext);
    }

    #[test]
    fn a_changed_file_neither_opens_nor_hangs() {
        let sealed = || seal(b"a key", b"open sesame").unwrap();
        let changed = |change: fn(&mut Sealed)| {
            let mut sealed = sealed();
            change(&mut sealed);
            sealed.open(b"open sesame")
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
