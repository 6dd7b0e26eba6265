//! The formats of docs/keyring.md, written a second time from that page alone.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;

pub(super) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(super) fn hkdf(secret: &[u8], salt: &[u8], info: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let info = [info.as_bytes()];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(&info, HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    key
}

/// Ciphertext and tag.
pub(super) fn gcm_siv(key: &[u8], nonce: &[u8], authenticated: &[u8], plain: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let mut text = plain.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(authenticated), &mut text).unwrap();
    text
}

fn with_context(header: &[u8], context: &str) -> Vec<u8> {
    [header, &(context.len() as u64).to_le_bytes(), context.as_bytes()].concat()
}

/// `kind`: 0 bytes, 1 a series.
pub(super) fn envelope(
    id: &[u8],
    secret: &[u8],
    nonce: [u8; 12],
    kind: u8,
    context: &str,
    plain: &[u8],
) -> Vec<u8> {
    let header = [&[0x89, 0x4D, 0x53, 0x45, 1, 1, kind, 0][..], id, &nonce].concat();
    let key = hkdf(secret, b"", "midstreamer keyring envelope 1");
    let body = gcm_siv(&key, &nonce, &with_context(&header, context), plain);
    [header, body].concat()
}

pub(super) fn stream(id: &[u8], secret: &[u8], salt: [u8; 32], context: &str, plain: &[u8]) -> Vec<u8> {
    let magic = [0x89, 0x4D, 0x53, 0x53, 0x0D, 0x0A, 0x1A, 0x0A];
    let header = [&magic[..], &[1, 1, 0, 0, 0, 0, 0, 0], id, &salt].concat();
    let key = hkdf(secret, &salt, "midstreamer keyring stream 1");
    let authenticated = with_context(&header, context);
    let mut out = header;
    let count = plain.len().div_ceil(65_536).max(1);
    for index in 0..count {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&(index as u64).to_le_bytes());
        nonce[8] = u8::from(index + 1 == count);
        let chunk = &plain[index * 65_536..plain.len().min((index + 1) * 65_536)];
        out.extend(gcm_siv(&key, &nonce, &authenticated, chunk));
    }
    out
}

pub(super) fn export(
    id: &[u8],
    created_at: u64,
    secret: &[u8],
    passphrase: &[u8],
    iterations: u32,
) -> Vec<u8> {
    let (salt, nonce) = ([0x5a; 16], [0xa5; 12]);
    let mut header = vec![0x89, 0x4D, 0x53, 0x4B, 1, 1, 1, 0];
    header.extend(iterations.to_le_bytes());
    header.extend(salt);
    header.extend(nonce);
    let mut key = [0; 32];
    let rounds = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, passphrase, &mut key);
    let plain = [id, &created_at.to_le_bytes(), secret].concat();
    let body = gcm_siv(&key, &nonce, &header, &plain);
    [header, body].concat()
}
