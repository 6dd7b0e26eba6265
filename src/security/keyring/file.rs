//! The file of a keyring: who may read it, who changes it at the moment, and what stands in it.
//!
//! JSON, so that an operator can see which keys there are when nothing else runs any more. With a passphrase it holds a
//! random file key, sealed with the passphrase once, and the keys, sealed with the file key at each change: a passphrase
//! costs a good part of a second, and what others changed is read in between two calls. `docs/keyring.md` describes the
//! fields.

use super::KeyringError;
use super::key::{Key, KeyId, SECRET_BYTES, random};
use super::ring::{KeyState, Ring, Slot};
use crate::security::passphrase::{self, Sealed};
use crate::security::private_file::{self, Contents, FileLock, FileVersion, PrivateFileError, directory_of};
use crate::security::{hex, unhex};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a file that is read: more than the most keys take.
const LARGEST_FILE: u64 = 1 << 20;

/// Without a key that follows another one, as it was before there were any; and with one.
const FIRST_VERSION: u32 = 1;
const VERSION: u32 = 2;
const FILE_KEY_CONTEXT: &[u8] = b"midstreamer keyring file key 1";
const KEYS_CONTEXT: &[u8] = b"midstreamer keyring file 1";

/// The file: either `keys` with their checksum, or both sealed parts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<Entry>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_key: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_keys: Option<SealedKeys>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    state: String,
    created_at: u64,
    key: String,
    /// The naming secret, of a key that follows another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    naming: Option<String>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.key.zeroize();
        self.naming.zeroize();
    }
}

/// Bytes in hexadecimal: the JSON text of the entries.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SealedKeys {
    nonce: String,
    ciphertext: String,
}

/// Where a ring is kept.
pub(super) struct KeyringFile {
    path: PathBuf,
    file_key: Option<FileKey>,
}

struct FileKey {
    cipher: LessSafeKey,
    /// As it stands in the file.
    sealed: Sealed,
}

/// A ring as it was read.
pub(super) struct Found {
    pub(super) ring: Arc<Ring>,
    pub(super) version: FileVersion,
    /// Keeps the number of the file, see [`Contents::held`].
    _held: Option<fs::File>,
}

impl KeyringFile {
    /// Opens the file, or makes it with a key that is current.
    pub(super) fn open(
        path: &Path,
        passphrase: Option<&[u8]>,
        now_ms: u64,
    ) -> Result<(Self, Found), KeyringError> {
        if let Some(opened) = Self::existing(path, passphrase)? {
            return Ok(opened);
        }
        // Only who makes or changes it needs to be able to write beside it.
        let lock = lock(path)?;
        if let Some(opened) = Self::existing(path, passphrase)? {
            return Ok(opened);
        }
        let file = Self { path: path.to_owned(), file_key: passphrase.map(FileKey::new).transpose()? };
        file.write(&lock, &Ring::new(Key::random(now_ms, None)?))?;
        let found = file.read()?;
        Ok((file, found))
    }

    /// Opens the file, if there is one.
    pub(super) fn existing(
        path: &Path,
        passphrase: Option<&[u8]>,
    ) -> Result<Option<(Self, Found)>, KeyringError> {
        let Some(contents) = private_file::read(path, LARGEST_FILE)? else { return Ok(None) };
        let document = parse(path, &contents.text)?;
        let refused = |what| KeyringError::Passphrase { path: path.to_owned(), what };
        let file_key = match (&document.file_key, passphrase) {
            (None, None) => None,
            (None, Some(_)) => return Err(refused("is not encrypted, so it has no passphrase")),
            (Some(_), None) => return Err(refused("is encrypted: a passphrase is needed")),
            (Some(sealed), Some(passphrase)) => {
                let plain = sealed.open(passphrase, FILE_KEY_CONTEXT).map_err(|what| corrupt(path, what))?;
                let plain = plain.ok_or_else(|| refused("does not open with this passphrase"))?;
                Some(FileKey { cipher: cipher(&plain)?, sealed: sealed.clone() })
            }
        };
        let file = Self { path: path.to_owned(), file_key };
        let found = file.found(document, contents)?;
        Ok(Some((file, found)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody else changes the file.
    pub(super) fn lock(&self) -> Result<FileLock, KeyringError> {
        lock(&self.path)
    }

    /// Which contents it has now.
    pub(super) fn version(&self) -> Result<FileVersion, KeyringError> {
        private_file::version(&self.path)?.ok_or_else(|| self.gone())
    }

    /// What stands in it now.
    pub(super) fn read(&self) -> Result<Found, KeyringError> {
        let contents = private_file::read(&self.path, LARGEST_FILE)?.ok_or_else(|| self.gone())?;
        self.found(parse(&self.path, &contents.text)?, contents)
    }

    /// Puts a ring in place of what it held.
    pub(super) fn write(&self, lock: &FileLock, ring: &Ring) -> Result<(), KeyringError> {
        let entries = ring.slots().iter().map(entry).collect::<Vec<_>>();
        let follows = ring.slots().iter().any(|slot| slot.key.inherited().is_some());
        let version = if follows { VERSION } else { FIRST_VERSION };
        let document = match &self.file_key {
            None => {
                let checksum = Some(checksum(&entries));
                Document { version, keys: Some(entries), checksum, file_key: None, sealed_keys: None }
            }
            Some(FileKey { cipher, sealed }) => {
                let mut text = json(&entries, entries.len())?;
                let nonce: [u8; 12] = random()?;
                let (unique, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(KEYS_CONTEXT));
                let tag = cipher.seal_in_place_separate_tag(unique, aad, &mut text);
                let tag = tag.map_err(|_| KeyringError::Crypto("the keys could not be sealed"))?;
                let sealed_keys =
                    Some(SealedKeys { nonce: hex(&nonce), ciphertext: hex(&text) + &hex(tag.as_ref()) });
                let file_key = Some(sealed.clone());
                Document { version, keys: None, checksum: None, file_key, sealed_keys }
            }
        };
        let text = json(&document, 2 * ring.slots().len())?;
        Ok(private_file::replace(lock, &target(&self.path)?, &text)?)
    }

    fn found(&self, document: Document, contents: Contents) -> Result<Found, KeyringError> {
        let entries = self.entries(document)?;
        let slots = entries.iter().map(|entry| self.slot(entry)).collect::<Result<_, _>>()?;
        let ring = Ring::from_slots(slots).map_err(|what| self.corrupt(what))?;
        Ok(Found { ring: Arc::new(ring), version: contents.version, _held: contents.held })
    }

    fn entries(&self, document: Document) -> Result<Vec<Entry>, KeyringError> {
        let refused = |what| Err(KeyringError::Passphrase { path: self.path.clone(), what });
        match (document, &self.file_key) {
            (
                Document { keys: Some(keys), checksum: Some(sum), file_key: None, sealed_keys: None, .. },
                None,
            ) => match checksum(&keys) == sum {
                true => Ok(keys),
                false => Err(self.corrupt("the keys do not match their checksum")),
            },
            (
                Document {
                    keys: None, checksum: None, file_key: Some(sealed), sealed_keys: Some(keys), ..
                },
                Some(own),
            ) => {
                if sealed != own.sealed {
                    return refused("was replaced by another keyring: open it again");
                }
                self.unsealed(&own.cipher, &keys)
            }
            (Document { file_key, .. }, own) if file_key.is_some() != own.is_some() => {
                refused("was replaced by another keyring: open it again")
            }
            _ => Err(self.corrupt("it holds neither keys nor sealed keys, or both")),
        }
    }

    fn unsealed(&self, cipher: &LessSafeKey, keys: &SealedKeys) -> Result<Vec<Entry>, KeyringError> {
        let bytes = |text: &str| unhex(text).ok_or_else(|| self.corrupt("what should be hexadecimal is not"));
        let nonce: [u8; 12] =
            bytes(&keys.nonce)?.try_into().map_err(|_| self.corrupt("the nonce has another length"))?;
        let mut text = Zeroizing::new(bytes(&keys.ciphertext)?);
        let unique = Nonce::assume_unique_for_key(nonce);
        let opened = cipher.open_in_place(unique, Aad::from(KEYS_CONTEXT), &mut text);
        let opened = opened.map_err(|_| self.corrupt("the sealed keys were changed"))?;
        // What the parser says could quote a key.
        serde_json::from_slice(opened).map_err(|_| self.corrupt("the sealed keys are not what was written"))
    }

    fn slot(&self, entry: &Entry) -> Result<Slot, KeyringError> {
        let id = KeyId::parse(&entry.id).ok_or_else(|| self.corrupt("an id is not one"))?;
        let state = KeyState::parse(&entry.state).ok_or_else(|| self.corrupt("a state is not one"))?;
        let secret = secret_of(&entry.key).ok_or_else(|| self.corrupt("a key is not one"))?;
        let key = match &entry.naming {
            None => Key::new(id, entry.created_at, secret)?,
            Some(naming) => {
                let naming = secret_of(naming).ok_or_else(|| self.corrupt("a naming secret is not one"))?;
                Key::following(id, entry.created_at, secret, naming)?
            }
        };
        Ok(Slot { key: Arc::new(key), state })
    }

    fn corrupt(&self, what: &'static str) -> KeyringError {
        corrupt(&self.path, what)
    }

    fn gone(&self) -> KeyringError {
        KeyringError::Gone { path: self.path.clone() }
    }
}

impl FileKey {
    fn new(passphrase: &[u8]) -> Result<Self, KeyringError> {
        let secret = Zeroizing::new(random::<SECRET_BYTES>()?);
        let sealed = passphrase::seal(secret.as_ref(), passphrase, FILE_KEY_CONTEXT);
        let sealed = sealed.ok_or(KeyringError::Crypto("the file key could not be sealed"))?;
        Ok(Self { cipher: cipher(secret.as_ref())?, sealed })
    }
}

fn cipher(secret: &[u8]) -> Result<LessSafeKey, KeyringError> {
    let key = UnboundKey::new(&AES_256_GCM_SIV, secret);
    key.map(LessSafeKey::new).map_err(|_| KeyringError::Crypto("no key for the file"))
}

/// The file that `path` means: at the end of links, so that these stay, and all who use the file meet at one lock.
fn target(path: &Path) -> Result<PathBuf, KeyringError> {
    let resolved = |path: &Path| fs::canonicalize(path).map_err(private_file::io_error(path, "open"));
    match (fs::canonicalize(path), path.file_name()) {
        (Ok(target), _) => Ok(target),
        (Err(_), Some(name)) => Ok(resolved(directory_of(path))?.join(name)),
        (Err(source), None) => {
            Err(PrivateFileError::Io { path: path.to_owned(), action: "open", source }.into())
        }
    }
}

fn lock(path: &Path) -> Result<FileLock, KeyringError> {
    let mut beside = target(path)?.into_os_string();
    beside.push(".lock");
    Ok(private_file::lock(Path::new(&beside))?)
}

/// What every version of the file says.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn parse(path: &Path, text: &str) -> Result<Document, KeyringError> {
    // What the parser says could quote a key.
    let not_one = |_| corrupt(path, "not the file of a keyring");
    // First: what a later version has besides is not known here.
    let Versioned { version } = serde_json::from_str(text).map_err(not_one)?;
    if !(FIRST_VERSION..=VERSION).contains(&version) {
        return Err(KeyringError::Schema { path: path.to_owned(), found: version, supported: VERSION });
    }
    serde_json::from_str(text).map_err(not_one)
}

fn corrupt(path: &Path, what: &'static str) -> KeyringError {
    PrivateFileError::Corrupt { path: path.to_owned(), what }.into()
}

fn entry(slot: &Slot) -> Entry {
    let (id, state) = (slot.key.id.to_string(), slot.state.as_str().to_owned());
    let naming = slot.key.inherited().map(digits_of);
    Entry { id, state, created_at: slot.key.created_at, key: digits_of(slot.key.secret()), naming }
}

/// Not by format!, which would leave the digits of a secret all over the heap.
fn digits_of(secret: &[u8; SECRET_BYTES]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut digits = String::with_capacity(2 * SECRET_BYTES);
    for byte in secret {
        digits.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    digits
}

fn secret_of(digits: &str) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    if digits.len() != 2 * SECRET_BYTES || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(secret)
}

/// SHA-256 of the entries, a line each: a key with one wrong digit would otherwise seal what nobody can open.
fn checksum(entries: &[Entry]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for Entry { id, state, created_at, key, naming } in entries {
        for field in [id, state, &created_at.to_string(), key].into_iter().chain(naming) {
            context.update(field.as_bytes());
            context.update(b"\n");
        }
    }
    hex(context.finish().as_ref())
}

/// As text, in memory that is wiped and was large enough from the beginning: what grows leaves copies behind.
fn json(value: &impl Serialize, keys: usize) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let mut text = Zeroizing::new(Vec::with_capacity(4096 + 384 * keys));
    serde_json::to_writer_pretty(&mut *text, value)
        .map_err(|_| KeyringError::Crypto("the keys have no JSON form"))?;
    Ok(text)
}
