//! Signatures over the head of the chain: Ed25519 (RFC 8032), with a key pair that the log makes for itself.

use super::line::{Anchor, Line, sha256, unhex_into};
use super::{Action, AuditError, Entry};
use crate::security::hex;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rcgen::{PKCS_ED25519, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Who writes the log's own entries.
pub(super) const LOG: &str = "log";

/// A SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4) up to the 32 bytes of the key.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Bytes of a public key as PEM; it takes 113.
const LONGEST_PEM: usize = 4096;

/// A signed statement: up to here the log is this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    /// Which log: SHA-256 of the public key.
    log: String,
    seq: u64,
    head: String,
    /// Milliseconds since the Unix epoch.
    at: u64,
    signature: String,
}

/// What is signed.
fn statement(log: &str, seq: u64, head: &str, at: u64) -> String {
    format!("midstreamer audit checkpoint 1\n{log}\n{seq}\n{head}\n{at}\n")
}

impl Checkpoint {
    pub(super) fn anchor(&self) -> Option<Anchor> {
        let mut head = [0; 32];
        unhex_into(&self.head, &mut head).then_some(Anchor { seq: self.seq, head })
    }

    /// The statement as the text of a file.
    pub(super) fn to_text(&self) -> String {
        let mut text = serde_json::to_string(self).expect("texts and numbers");
        text.push('\n');
        text
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let read: Self = serde_json::from_slice(bytes).ok()?;
        (read.to_text().as_bytes() == bytes).then_some(read)
    }

    /// As an entry; the signature covers everything before it.
    pub(super) fn into_entry(self) -> Entry {
        let mut detail = Map::new();
        detail.insert("head".to_owned(), self.head.into());
        detail.insert("seq".to_owned(), self.seq.into());
        detail.insert("signature".to_owned(), self.signature.into());
        Entry { actor: LOG.to_owned(), action: Action::Checkpoint, object: self.log, digest: None, detail }
    }

    /// What a line of the action `checkpoint` states; `None` when it is not as [`Self::into_entry`] makes them.
    pub(super) fn of_line(line: &Line) -> Option<Self> {
        let text = |name: &str| Some(line.detail.get(name)?.as_str()?.to_owned());
        let checkpoint = Self {
            log: line.object.clone(),
            seq: line.detail.get("seq")?.as_u64()?,
            head: text("head")?,
            at: line.at,
            signature: text("signature")?,
        };
        let plain = line.actor == LOG && line.object_hash.is_none() && line.detail.len() == 3;
        plain.then_some(checkpoint)
    }
}

/// The private key, and what belongs to it.
pub(super) struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
    public_pem: String,
}

impl Signer {
    /// A new key pair, as PEM (PKCS #8).
    pub(super) fn generate() -> Result<Zeroizing<String>, AuditError> {
        let pair = rcgen::KeyPair::generate_for(&PKCS_ED25519)
            .map_err(|_| AuditError::Store("no key could be made".to_owned()))?;
        Ok(Zeroizing::new(pair.serialize_pem()))
    }

    /// Of the PEM that [`Self::generate`] gave.
    pub(super) fn of_pem(pem: &str) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
        let public_pem = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).ok()?;
        let public = PublicKey::of_spki(&public_pem.subject_public_key_info())?;
        Some(Self { pair, public, public_pem: public_pem.public_key_pem() })
    }

    pub(super) fn log(&self) -> &str {
        &self.public.log
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    pub(super) fn sign(&self, place: Anchor, at: u64) -> Checkpoint {
        let (log, seq, head) = (self.public.log.clone(), place.seq, hex(&place.head));
        let signature = hex(self.pair.sign(statement(&log, seq, &head, at).as_bytes()).as_ref());
        Checkpoint { log, seq, head, at, signature }
    }
}

/// A public key, by which checkpoints are verified.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    key: [u8; 32],
    log: String,
}

impl PublicKey {
    /// Of PEM with a SubjectPublicKeyInfo.
    pub(super) fn of_pem(pem: &str) -> Option<Self> {
        if pem.len() > LONGEST_PEM {
            return None;
        }
        Self::of_spki(SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?.as_ref())
    }

    fn of_spki(spki: &[u8]) -> Option<Self> {
        let key = spki.strip_prefix(&SPKI)?.try_into().ok()?;
        Some(Self { key, log: hex(&sha256(spki)) })
    }

    pub(super) fn verifies(&self, checkpoint: &Checkpoint) -> bool {
        let Checkpoint { log, seq, head, at, signature: digits } = checkpoint;
        let mut signature = [0; 64];
        *log == self.log
            && unhex_into(digits, &mut signature)
            && UnparsedPublicKey::new(&ED25519, self.key)
                .verify(statement(log, *seq, head, *at).as_bytes(), &signature)
                .is_ok()
    }
}

/// Whether this is an entry's value for what an opening found to be gone.
pub(super) fn tells_of_missing(line: &Line) -> bool {
    line.action == Action::LogOpened.as_str()
        && line.actor == LOG
        && line.detail.get("missing").is_some_and(|missing| *missing != Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_holds_for_its_log_its_place_and_its_time_alone() {
        let signer = Signer::of_pem(&Signer::generate().unwrap()).unwrap();
        let other = Signer::of_pem(&Signer::generate().unwrap()).unwrap();
        let public = PublicKey::of_pem(signer.public_pem()).unwrap();
        let checkpoint = signer.sign(Anchor { seq: 7, head: [1; 32] }, 12);
        assert!(public.verifies(&checkpoint));
        assert!(!PublicKey::of_pem(other.public_pem()).unwrap().verifies(&checkpoint));
        let read = Checkpoint::parse(checkpoint.to_text().as_bytes()).unwrap();
        assert_eq!(read, checkpoint);
        for changed in [
            Checkpoint { seq: 8, ..checkpoint.clone() },
            Checkpoint { head: "02".repeat(32), ..checkpoint.clone() },
            Checkpoint { at: 13, ..checkpoint.clone() },
            Checkpoint { log: other.log().to_owned(), ..checkpoint.clone() },
            Checkpoint { signature: String::new(), ..checkpoint.clone() },
            Checkpoint { signature: checkpoint.signature.to_uppercase(), ..checkpoint.clone() },
        ] {
            assert!(!public.verifies(&changed), "{changed:?}");
        }
    }

    #[test]
    fn what_is_no_public_key_of_ed25519_is_none() {
        let p256 = rcgen::KeyPair::generate().unwrap();
        let private = Signer::generate().unwrap();
        let signer = Signer::of_pem(&private).unwrap();
        let long = format!("{}{}", " ".repeat(LONGEST_PEM), signer.public_pem());
        for pem in ["", "PEM", &p256.public_key_pem(), &private, &long] {
            assert!(PublicKey::of_pem(pem).is_none(), "{pem}");
        }
        for pem in ["", signer.public_pem(), &p256.serialize_pem()] {
            assert!(Signer::of_pem(pem).is_none(), "{pem}");
        }
    }
}
