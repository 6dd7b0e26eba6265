//! Rows that are sealed with the keys of a keyring: what replication asks of it, as envelopes of [`crate::security::keyring`].

use crate::security::keyring::{Keyring, KeyringError, Kind};
use crate::sync::seal::{Naming, Seal, SealError};
use std::sync::Arc;

/// What envelopes of rows are sealed for begins so; no other envelope opens as a row then.
const CONTEXT: &str = "midstreamer.sync 1 ";

/// What names are hashed with follows from it (HKDF-SHA-256).
const NAMING_PURPOSE: &[u8] = b"midstreamer sync names 1";

/// A keyring that seals rows.
#[derive(Debug)]
pub struct KeyringSeal(pub Arc<Keyring>);

impl Seal for KeyringSeal {
    fn seal(&self, context: &[u8], body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.seal(Kind::Bytes, body, &text(context)).map_err(|error| SealError::Failed(error.to_string()))
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        match self.0.open_sealed(Kind::Bytes, sealed, &text(context)) {
            Ok(mut body) => Ok(std::mem::take(&mut *body)),
            Err(KeyringError::NoKey(id)) => Err(SealError::UnknownKey(id.to_string())),
            Err(KeyringError::Crypto(what)) => Err(SealError::Failed(what.to_owned())),
            Err(_) => Err(SealError::Damaged),
        }
    }

    fn namings(&self, database: &str) -> Result<Vec<Naming>, SealError> {
        let secrets = self.0.namings(NAMING_PURPOSE).map_err(|error| SealError::Failed(error.to_string()))?;
        Ok(secrets.iter().map(|secret| Naming::new(secret, database)).collect())
    }

    fn keys(&self) -> Vec<String> {
        // One that cannot be read now has the keys that it had.
        self.0.keys_to_open().iter().map(ToString::to_string).collect()
    }
}

/// The contexts of a keyring are text.
fn text(context: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(CONTEXT.len() + 2 * context.len());
    text.push_str(CONTEXT);
    for byte in context {
        text.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}
