//! Keys for patterns, at rest and between nodes: what is sealed carries the number of its key, and a ring holds the keys.
//!
//! A key is generated, exported and installed on all other nodes, and used from then on; the one before still opens what
//! it sealed, until everything was sealed anew and it is removed. So at no moment is there anything that somebody who
//! should cannot read. `docs/keyring.md` is the normative description of all formats here.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `key` | a secret, its number, and the keys that follow from it |
//! | `ring` | which steps a key may take, and which are refused |
//! | `envelope` | one sealed text: bytes in, bytes out |
//! | `stream` | files, sealed in chunks |
//! | `export` | a key under a passphrase, on its way to another node |
//! | `file` | where a ring is kept |
//!
//! Any number of processes may use one file: their changes take turns, and each sees those of the others at its next call.

mod envelope;
mod export;
mod file;
mod key;
mod ring;
mod stream;

pub use envelope::{Header, Kind, LONGEST_CONTEXT, MOST_PLAINTEXT_BYTES, OVERHEAD_BYTES, header};
pub use key::KeyId;
pub use ring::KeyState;
pub use stream::{MAGIC as STREAM_MAGIC, StreamReader, StreamSealer, StreamWriter};

use super::passphrase::ITERATIONS;
use super::{PrivateFileError, now_ms};
use file::{Found, KeyringFile};
use key::Key;
use ring::Ring;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// Why a keyring refused, or could not do what it was asked. No message holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// An argument that makes no sense, or a step that a key may not take.
    #[error("{argument} {what}")]
    Invalid {
        /// Its name.
        argument: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// More than one envelope holds.
    #[error("{bytes} bytes are more than the {most} that can be sealed at once")]
    TooLarge {
        /// What was to be sealed.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// No room for another key.
    #[error("the keyring holds {} keys, and no more fit: remove some", ring::MOST_KEYS)]
    Full,
    /// No key has this number.
    #[error("this keyring has no key {0:?}")]
    Unknown(String),
    /// What was given is not the number of a key. It is not shown: it may be something else that is secret.
    #[error("keyId is not the id of a key: 16 hexadecimal digits")]
    NotAnId,
    /// There is no file, and none was to be made.
    #[error("there is no keyring in {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What was sealed does not open.
    #[error("{0}")]
    Decrypt(&'static str),
    /// What was sealed does not open, for want of the key that it names.
    #[error("sealed with the key {0}, which this keyring does not have")]
    NoKey(KeyId),
    /// The passphrase does not open the file, or it needs one, or was replaced.
    #[error("the keyring in {} {what}", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        what: &'static str,
    },
    /// Written by a later version.
    #[error("the keyring in {} has format version {found}, this version reads {supported}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that can be read.
        supported: u32,
    },
    /// The file was there when the keyring was opened.
    #[error("the file of the keyring, {}, is gone", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The file, its permissions or its lock.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The cryptography failed, which it does not do on account of any input.
    #[error("internal error of the keyring: {0}")]
    Crypto(&'static str),
}

/// A key, as its owner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its number.
    pub id: KeyId,
    /// What is done with it.
    pub state: KeyState,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
}

/// Seals and opens. Shared by all threads.
pub struct Keyring {
    file: KeyringFile,
    /// What the file held when it was read last.
    seen: RwLock<Found>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.seen();
        let keys = ring.slots().iter().map(|slot| (slot.key.id, slot.state)).collect::<Vec<_>>();
        f.debug_struct("Keyring")
            .field("path", &self.file.path())
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Opens the keyring in a file, or makes one there with a key that is current. Blocks, as all that changes the ring:
    /// it reads and writes files, and a passphrase takes a good part of a second.
    pub fn open(path: &Path, passphrase: Option<&[u8]>) -> Result<Self, KeyringError> {
        if let Some(passphrase) = passphrase {
            check_passphrase(passphrase)?;
        }
        let (file, found) = KeyringFile::open(path, passphrase, now_ms())?;
        Ok(Self { file, seen: RwLock::new(found) })
    }

    /// Opens the keyring in a file that has to be there: where it is missing, nothing is sealed with a new key that nobody
    /// else has.
    pub fn open_existing(path: &Path, passphrase: Option<&[u8]>) -> Result<Self, KeyringError> {
        if let Some(passphrase) = passphrase {
            check_passphrase(passphrase)?;
        }
        let missing = || KeyringError::Missing { path: path.to_owned() };
        let (file, found) = KeyringFile::existing(path, passphrase)?.ok_or_else(missing)?;
        Ok(Self { file, seen: RwLock::new(found) })
    }

    /// The key that seals.
    pub fn current(&self) -> Result<KeyId, KeyringError> {
        Ok(self.ring()?.current().id)
    }

    /// All keys, in the order in which they came.
    pub fn keys(&self) -> Result<Vec<KeyInfo>, KeyringError> {
        let info = |slot: &ring::Slot| KeyInfo {
            id: slot.key.id,
            state: slot.state,
            created_at: slot.key.created_at,
        };
        Ok(self.ring()?.slots().iter().map(info).collect())
    }

    /// The keys that open: those of the file, or those that it had when it could be read last.
    pub fn keys_to_open(&self) -> Vec<KeyId> {
        self.ring_to_open().slots().iter().map(|slot| slot.key.id).collect()
    }

    /// Makes a key, which seals nothing yet.
    pub fn generate(&self) -> Result<KeyId, KeyringError> {
        self.change(|ring| {
            let mut key = Key::random(now_ms(), Some(ring.current()))?;
            while ring.key(key.id).is_some() {
                key = Key::random(now_ms(), Some(ring.current()))?;
            }
            let id = key.id;
            ring.install(key)?;
            Ok(id)
        })
    }

    /// A key for another node, sealed with a passphrase.
    pub fn export(&self, id: &str, passphrase: &[u8]) -> Result<Vec<u8>, KeyringError> {
        check_passphrase(passphrase)?;
        let ring = self.ring()?;
        let key = ring.key(ring.find(id)?).expect("find() found it");
        export::export(key, passphrase, ITERATIONS)
    }

    /// Takes a key that another node exported. It seals nothing yet; one that is here already stays what it is.
    pub fn install(&self, exported: &[u8], passphrase: &[u8]) -> Result<KeyId, KeyringError> {
        check_passphrase(passphrase)?;
        // Before the lock: this is what takes long.
        let key = export::import(exported, passphrase)?;
        let id = key.id;
        self.change(|ring| ring.install(key).map(|()| id))
    }

    /// From now on this key seals; the one before is retired.
    pub fn make_current(&self, id: &str) -> Result<(), KeyringError> {
        self.change(|ring| ring.make_current(id))
    }

    /// A new key that seals from now on. It is durable before anybody can see that it is to be used.
    pub fn rotate(&self) -> Result<KeyId, KeyringError> {
        let id = self.generate()?;
        self.make_current(&id.to_string())?;
        Ok(id)
    }

    /// A key that is not current will not be used any more.
    pub fn retire(&self, id: &str) -> Result<(), KeyringError> {
        self.change(|ring| ring.retire(id))
    }

    /// Forgets a retired key: what was sealed with it never opens again.
    pub fn remove(&self, id: &str) -> Result<(), KeyringError> {
        self.change(|ring| ring.remove(id))
    }

    /// Seals with the current key into `out`, which is [`OVERHEAD_BYTES`] longer than `plaintext`.
    pub fn seal_into(
        &self,
        kind: Kind,
        plaintext: &[u8],
        context: &str,
        out: &mut [u8],
    ) -> Result<(), KeyringError> {
        envelope::seal(self.ring()?.current(), key::random()?, kind, context, plaintext, out)
    }

    /// [`seal_into`](Self::seal_into) memory of its own.
    pub fn seal(&self, kind: Kind, plaintext: &[u8], context: &str) -> Result<Vec<u8>, KeyringError> {
        envelope::check(context, plaintext.len())?;
        let mut out = vec![0; plaintext.len() + OVERHEAD_BYTES];
        self.seal_into(kind, plaintext, context, &mut out)?;
        Ok(out)
    }

    /// Opens into `out`, which is [`OVERHEAD_BYTES`] shorter than `sealed`.
    pub fn open_into(
        &self,
        kind: Kind,
        sealed: &[u8],
        context: &str,
        out: &mut [u8],
    ) -> Result<(), KeyringError> {
        let key = self.key_of(header(sealed)?.key)?;
        envelope::open(&key, kind, context, sealed, out)
    }

    /// [`open_into`](Self::open_into) memory of its own, which is wiped when it goes.
    pub fn open_sealed(
        &self,
        kind: Kind,
        sealed: &[u8],
        context: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let key = self.key_of(header(sealed)?.key)?;
        let mut out = Zeroizing::new(vec![0; sealed.len() - OVERHEAD_BYTES]);
        envelope::open(&key, kind, context, sealed, &mut out)?;
        Ok(out)
    }

    /// The same content under the current key, or `None` when it is under the current key already; whether it opens is
    /// then not looked at.
    pub fn reseal(&self, sealed: &[u8], context: &str) -> Result<Option<Vec<u8>>, KeyringError> {
        let Header { kind, key } = header(sealed)?;
        envelope::check(context, 0)?;
        if self.current()? == key {
            return Ok(None);
        }
        let plaintext = self.open_sealed(kind, sealed, context)?;
        self.seal(kind, &plaintext, context).map(Some)
    }

    /// Keys for keyed hashes of one purpose, one for each line of keys here, that of the current key first. They stay the
    /// same when keys change, as long as the next key was made where the one before it was current.
    pub fn namings(&self, purpose: &[u8]) -> Result<Vec<Zeroizing<[u8; 32]>>, KeyringError> {
        let ring = self.ring()?;
        let mut lines = vec![ring.current().clone()];
        for slot in ring.slots() {
            if !lines.iter().any(|line| line.same_line(&slot.key)) {
                lines.push(slot.key.clone());
            }
        }
        lines.iter().map(|line| line.naming(purpose)).collect()
    }

    /// For one file, under the current key.
    pub fn stream_sealer(&self, context: &str) -> Result<StreamSealer, KeyringError> {
        StreamSealer::new(self.ring()?.current(), context)
    }

    /// Opens a file of `total` bytes. The inner error is that of `source`.
    pub fn stream_reader<R: Read>(
        &self,
        source: R,
        total: u64,
        context: &str,
    ) -> Result<io::Result<StreamReader<R>>, KeyringError> {
        StreamReader::new(&self.ring_to_open(), source, total, context)
    }

    fn seen(&self) -> Arc<Ring> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).ring.clone()
    }

    /// The ring as the file has it now. Looking at the file costs a microsecond; sealing with a key that another
    /// process has removed meanwhile would cost what was sealed.
    fn ring(&self) -> Result<Arc<Ring>, KeyringError> {
        let version = self.file.version()?;
        {
            let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
            if seen.version == version {
                return Ok(seen.ring.clone());
            }
        }
        self.take_over(self.file.read()?)
    }

    /// The ring as the file has it now, or as it was seen last: a file that was damaged or lost meanwhile is no reason
    /// to refuse to open what can be opened.
    fn ring_to_open(&self) -> Arc<Ring> {
        self.ring().unwrap_or_else(|_| self.seen())
    }

    fn key_of(&self, id: KeyId) -> Result<Arc<Key>, KeyringError> {
        self.ring_to_open().key(id).cloned().ok_or(KeyringError::NoKey(id))
    }

    fn take_over(&self, found: Found) -> Result<Arc<Ring>, KeyringError> {
        let ring = found.ring.clone();
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(ring)
    }

    /// Changes what the file holds, which is what all others have changed before, and only then what is used here.
    fn change<T>(&self, step: impl FnOnce(&mut Ring) -> Result<T, KeyringError>) -> Result<T, KeyringError> {
        let lock = self.file.lock()?;
        let mut ring = Ring::clone(&self.file.read()?.ring);
        let answer = step(&mut ring)?;
        self.file.write(&lock, &ring)?;
        self.take_over(self.file.read()?)?;
        Ok(answer)
    }
}

fn check_passphrase(passphrase: &[u8]) -> Result<(), KeyringError> {
    match passphrase.is_empty() {
        true => Err(KeyringError::Invalid { argument: "passphrase", what: "is empty".to_owned() }),
        false => Ok(()),
    }
}
