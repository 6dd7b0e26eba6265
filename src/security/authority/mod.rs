//! The certificate authority of a swarm: a key that signs, and a register of what it signed.
//!
//! On disk it is a directory of four files: `authority.json` (certificate and key, written once, whole), `register.json`
//! and `tokens.json` (replaced with each change) and `lock`. Any number of processes may use one directory; their changes take turns. A
//! certificate is in the register before anybody is given it, so what can be presented can be revoked.
//!
//! Certificates follow RFC 5280 and SPIFFE's X509-SVID: version 3, ECDSA on P-256 with SHA-256, a random serial number,
//! one SPIFFE name, and the extended key usage of the role: an agent dials, a coordinator listens, a peer does both.

mod certificates;
mod changes;
mod directory;
mod enrolment;
mod register;
mod renewal;
mod signing;
mod tokens;

pub use changes::RegisterVersion;
pub use enrolment::{RedeemError, RedeemRequest, TokenRequest};
pub(crate) use register::check_reason;
pub use register::{Grants, Issued, Revocation};
pub use signing::{SignRequest, SignedCertificate};
pub use tokens::TokenRefusal;

use crate::security::identity::{Identity, IdentityError, Serial};
use crate::security::key::SigningKey;
use crate::security::passphrase::{self, Sealed};
use crate::security::request::RequestError;
use crate::security::spiffe::{NameError, Role, check_swarm};
use crate::security::{hex, now_ms, sha256};
use directory::Directory;
use rcgen::{Issuer, PublicKeyData};
use register::Register;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use signing::Member;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokens::Tokens;
use zeroize::{Zeroize, Zeroizing};

/// A certificate begins so long before it is issued, for clocks that are behind.
pub(crate) const BACKDATED_MS: u64 = 5 * 60 * 1000;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How long a certificate is valid when nobody says: as docker swarm's, for identities that nobody renews.
const DEFAULT_VALID_MS: u64 = 90 * DAY_MS;

/// Days that an authority is valid when nobody says.
const DEFAULT_VALID_DAYS: u32 = 3650;

/// The longest life of an authority, in days.
const MOST_VALID_DAYS: u32 = 36_500;

const AUTHORITY: &str = "authority.json";
const REGISTER: &str = "register.json";
const VERSION: u32 = 1;

/// Under which the key is sealed with a passphrase.
const KEY_CONTEXT: &[u8] = b"midstreamer authority key 1";

/// Why an authority refused, or could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// An argument that makes no sense.
    #[error("{argument} {what}")]
    Invalid {
        /// Its name.
        argument: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// Others can read the directory or a file in it.
    #[error("{} has the permissions {mode:04o}: others may have read it. Nobody but its owner may have access (0700 for the directory, 0600 for the files)", path.display())]
    Permissions {
        /// Which one.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The passphrase does not open the key, or it needs one, or the sealed key was changed.
    #[error("the key in {} {what}", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        what: &'static str,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The operating system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// Another process holds the lock and does not let go.
    #[error("{} is held by another process", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// No certificate has this number, and no member this id.
    #[error("this authority issued nothing to or under {0:?}")]
    Unknown(String),
    /// The certificate that was to be renewed was taken back.
    #[error("the certificate {0} was revoked")]
    Revoked(String),
    /// The certificate was renewed often, and what it was renewed into is valid.
    #[error("the certificate {0} was renewed already")]
    Renewed(String),
    /// A certificate request that is not signed.
    #[error("the certificate request {0}")]
    Request(#[from] RequestError),
    /// As many join tokens as there may be.
    #[error("there are {count} join tokens that can still be used: more are not kept")]
    TooManyTokens {
        /// How many.
        count: usize,
    },
    /// The authority's own certificate has ended: nobody would accept what it signs.
    #[error("the certificate of this authority has expired")]
    Expired,
    /// The cryptography failed, which it does not do on account of any input.
    #[error("internal error of the authority: {0}")]
    Crypto(&'static str),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(_: rcgen::Error) -> Self {
        Self::Crypto("a certificate could not be made")
    }
}

/// For [`CertificateAuthority::open`].
#[derive(Default)]
pub struct AuthorityOptions<'a> {
    /// The swarm. `None` when it is created: `swarm`. An existing authority has to have this name, if one is given.
    pub name: Option<&'a str>,
    /// Days that a new authority is valid; `None`: ten years.
    pub valid_days: Option<u32>,
    /// Encrypts the key.
    pub passphrase: Option<&'a [u8]>,
}

/// For [`CertificateAuthority::issue`].
#[derive(Debug, Clone)]
pub struct IssueRequest<'a> {
    /// Who.
    pub id: &'a str,
    /// As what.
    pub role: Role,
    /// DNS names and IP addresses to put in beside the SPIFFE name; members of a swarm do not look at them.
    pub hosts: &'a [String],
    /// From now; `None`: 90 days. Never beyond the authority's own end.
    pub valid_ms: Option<u64>,
    /// What the holder may do.
    pub grants: Grants,
}

impl<'a> IssueRequest<'a> {
    /// With everything else as usual.
    pub fn new(id: &'a str, role: Role) -> Self {
        Self { id, role, hosts: &[], valid_ms: None, grants: Grants::default() }
    }
}

/// An identity and where it stands in the register.
#[derive(Debug)]
pub struct IssuedIdentity {
    /// Certificate, key, authority.
    pub identity: Identity,
    /// Its number in the register.
    pub serial: Serial,
    /// Its end, in milliseconds since the Unix epoch.
    pub not_after: u64,
}

/// Issues identities and takes them back.
pub struct CertificateAuthority {
    name: Box<str>,
    trust_domain: Box<str>,
    certificate: Box<str>,
    der: CertificateDer<'static>,
    spki_digest: [u8; 32],
    not_before: u64,
    not_after: u64,
    issuer: Issuer<'static, SigningKey>,
    register: Place,
}

/// Where the register and the tokens are.
enum Place {
    Memory(Mutex<Held>),
    Directory(Directory),
}

/// Of an authority without a directory.
#[derive(Default)]
struct Held {
    register: Register,
    tokens: Tokens,
}

/// `authority.json`. Certificate and key stand in one file, so that there is never one without the other.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    name: String,
    certificate: String,
    /// Of the certificate: it can be changed without being unreadable.
    fingerprint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_key: Option<Sealed>,
}

impl Drop for Document {
    fn drop(&mut self) {
        self.private_key.zeroize();
    }
}

impl CertificateAuthority {
    /// An authority that nobody outside this process knows, and that is gone with it.
    pub fn in_memory(name: &str) -> Result<Self, AuthorityError> {
        check_name(name)?;
        let (certificate, key) = certificates::root(name, DEFAULT_VALID_DAYS)?;
        Self::assemble(name, certificate, key, Place::Memory(Mutex::default()))
    }

    /// Opens the authority of a directory, or makes one there. Blocks: it reads and writes files, and a passphrase takes
    /// a good part of a second.
    pub fn open(path: &Path, options: &AuthorityOptions<'_>) -> Result<Self, AuthorityError> {
        if let Some(name) = options.name {
            check_name(name)?;
        }
        let valid_days = options.valid_days.unwrap_or(DEFAULT_VALID_DAYS);
        if !(1..=MOST_VALID_DAYS).contains(&valid_days) {
            let what = format!("must be 1 to {MOST_VALID_DAYS}, got {valid_days}");
            return Err(AuthorityError::Invalid { argument: "validDays", what });
        }
        if options.passphrase.is_some_and(<[u8]>::is_empty) {
            return Err(AuthorityError::Invalid { argument: "passphrase", what: "is empty".to_owned() });
        }
        let directory = Directory::open(path)?;
        let lock = directory.lock()?;
        let file = directory.path(AUTHORITY);
        let (name, certificate, key) = match directory.read(AUTHORITY)? {
            Some(text) => {
                let text = Zeroizing::new(text);
                let found = parse(&text, &file, options.passphrase)?;
                match options.name {
                    Some(name) if *name != *found.0 => {
                        let what =
                            format!("is {name:?}, but the authority in this directory is {:?}", found.0);
                        return Err(AuthorityError::Invalid { argument: "name", what });
                    }
                    _ => found,
                }
            }
            None if directory.read(REGISTER)?.is_some() => {
                let what = "the register is there, but this file is gone".to_owned();
                return Err(AuthorityError::Corrupt { path: file, what });
            }
            None => {
                let name = options.name.unwrap_or("swarm").to_owned();
                let (certificate, key) = certificates::root(&name, valid_days)?;
                let contents = document(&name, &certificate, &key, options.passphrase)?;
                directory.replace(&lock, AUTHORITY, contents.as_bytes())?;
                (name, certificate, key)
            }
        };
        // Now rather than at the first certificate: whoever opens it wants to know.
        read_register(&directory)?;
        tokens::read(&directory)?;
        drop(lock);
        Self::assemble(&name, certificate, key, Place::Directory(directory)).map_err(|_| {
            AuthorityError::Corrupt { path: file, what: "not the certificate of an authority".to_owned() }
        })
    }

    fn assemble(
        name: &str,
        certificate: String,
        key: SigningKey,
        register: Place,
    ) -> Result<Self, AuthorityError> {
        let unusable = || AuthorityError::Crypto("not the certificate of an authority");
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| unusable())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| unusable())?;
        let millis =
            |seconds: i64| u64::try_from(seconds).map_err(|_| unusable()).map(|s| s.saturating_mul(1000));
        let not_before = millis(parsed.validity().not_before.timestamp())?;
        let not_after = millis(parsed.validity().not_after.timestamp())?;
        let subject = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let fits = parsed.public_key().subject_public_key.data.as_ref() == key.der_bytes();
        if !fits || subject != Some(&certificates::subject(name, &key)) {
            return Err(unusable());
        }
        let spki_digest = sha256(parsed.public_key().raw);
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        let trust_domain = format!("{}.midstreamer", name.to_ascii_lowercase()).into();
        let (name, certificate) = (name.into(), certificate.into());
        Ok(Self {
            name,
            trust_domain,
            certificate,
            der,
            spki_digest,
            not_before,
            not_after,
            issuer,
            register,
        })
    }

    /// The swarm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `<name>.midstreamer`, in lower case.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Its own certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// SHA-256 of its own certificate, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }

    /// SHA-256 of its public key (SubjectPublicKeyInfo in DER, as RFC 7469 pins keys).
    pub fn spki_digest(&self) -> [u8; 32] {
        self.spki_digest
    }

    /// Makes a key, signs a certificate for it, and returns both once the register has it. The key is kept nowhere.
    pub fn issue(&self, request: &IssueRequest<'_>) -> Result<IssuedIdentity, AuthorityError> {
        let IssueRequest { id, role, hosts, valid_ms, grants } = request;
        let key = SigningKey::generate()?;
        let member =
            Member { id, role: *role, hosts, valid_ms: valid_ms.unwrap_or(DEFAULT_VALID_MS), grants };
        let (signed, entry) = self.certify(&member, &key)?;
        let SignedCertificate { certificate, serial, not_after } = signed;
        let identity = Identity::parse(&certificate, &key.to_pem(), &self.certificate).map_err(|error| {
            match error {
                // The clock was set back while this ran, or the process stood still for the whole life of it.
                IdentityError::Certificate(_) => AuthorityError::Expired,
                _ => AuthorityError::Crypto("a certificate that was just issued does not parse"),
            }
        })?;
        self.register(entry)?;
        Ok(IssuedIdentity { identity, serial, not_after })
    }

    /// Takes back the certificate with this serial number and those that it was renewed into, or all certificates of the
    /// member with this id. Certificates that the member is issued later are not concerned. Once this returns, it outlives
    /// a crash.
    pub fn revoke(&self, id_or_serial: &str, reason: Option<&str>) -> Result<(), AuthorityError> {
        self.take_back(id_or_serial, Some(id_or_serial), reason)
    }

    /// Takes back all certificates of the member with this id, whatever numbers there are.
    pub fn revoke_member(&self, id: &str, reason: Option<&str>) -> Result<(), AuthorityError> {
        self.take_back(id, None, reason)
    }

    fn take_back(&self, id: &str, serial: Option<&str>, reason: Option<&str>) -> Result<(), AuthorityError> {
        check_reason(reason)?;
        self.change(|register| match register.revoke(id, serial, now_ms(), reason) {
            true => Ok(()),
            false => Err(AuthorityError::Unknown(id.chars().take(80).collect())),
        })
    }

    /// The certificates that it issued, in order of issue; also what other processes issued and took back meanwhile. Those
    /// that ended more than 400 days ago are forgotten, and one that was followed by another and not taken back a day
    /// after its end.
    pub fn list(&self) -> Result<Vec<Issued>, AuthorityError> {
        match &self.register {
            Place::Memory(held) => {
                Ok(held.lock().unwrap_or_else(PoisonError::into_inner).register.issued().to_vec())
            }
            // Without the lock: the file is replaced whole, so what is read is the one or the other.
            Place::Directory(directory) => Ok(read_register(directory)?.issued().to_vec()),
        }
    }

    /// The serial numbers of the certificates that were taken back, for [`Revocations`](crate::security::Revocations).
    pub fn revoked_serials(&self) -> Result<Vec<Serial>, AuthorityError> {
        let revoked = self.list()?.into_iter().filter(|issued| issued.revoked.is_some());
        Ok(revoked.map(|issued| issued.serial).collect())
    }

    /// Changes the register; when this returns, the change is kept.
    fn change(
        &self,
        change: impl FnOnce(&mut Register) -> Result<(), AuthorityError>,
    ) -> Result<(), AuthorityError> {
        match &self.register {
            Place::Memory(held) => change(&mut held.lock().unwrap_or_else(PoisonError::into_inner).register),
            Place::Directory(directory) => {
                let lock = directory.lock()?;
                let before = read_register(directory)?;
                let mut after = before.clone();
                change(&mut after)?;
                if after != before {
                    directory.replace(&lock, REGISTER, &after.to_json()?)?;
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for CertificateAuthority {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority").field("name", &self.name).finish_non_exhaustive()
    }
}

fn name_error(argument: &'static str, value: &str, error: NameError) -> AuthorityError {
    let value: String = value.chars().take(40).collect();
    AuthorityError::Invalid { argument, what: format!("{value:?}: {error}") }
}

fn check_name(name: &str) -> Result<(), AuthorityError> {
    check_swarm(name).map_err(|error| name_error("name", name, error))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex(&sha256(certificate))
}

fn document(
    name: &str,
    certificate: &str,
    key: &SigningKey,
    passphrase: Option<&[u8]>,
) -> Result<Zeroizing<String>, AuthorityError> {
    let pem = key.to_pem();
    let seal = |passphrase| {
        passphrase::seal(pem.as_bytes(), passphrase, KEY_CONTEXT)
            .ok_or(AuthorityError::Crypto("the key could not be sealed"))
    };
    let sealed_key = passphrase.map(seal).transpose()?;
    let private_key = if sealed_key.is_none() { Some(String::clone(&pem)) } else { None };
    let der = CertificateDer::from_pem_slice(certificate.as_bytes());
    let fingerprint =
        fingerprint(&der.map_err(|_| AuthorityError::Crypto("its own certificate does not parse"))?);
    let (name, certificate) = (name.to_owned(), certificate.to_owned());
    let document = Document { version: VERSION, name, certificate, fingerprint, private_key, sealed_key };
    let json = serde_json::to_string_pretty(&document);
    json.map(Zeroizing::new).map_err(|_| AuthorityError::Crypto("the authority has no JSON form"))
}

/// Name, certificate and key of `authority.json`.
fn parse(
    text: &str,
    path: &Path,
    passphrase: Option<&[u8]>,
) -> Result<(String, String, SigningKey), AuthorityError> {
    let corrupt = |what: &str| AuthorityError::Corrupt { path: path.to_owned(), what: what.to_owned() };
    let refused = |what| AuthorityError::Passphrase { path: path.to_owned(), what };
    // What the parser says could quote the key.
    let document: Document = serde_json::from_str(text).map_err(|error| {
        corrupt(&format!("not what was written, at line {} column {}", error.line(), error.column()))
    })?;
    if document.version != VERSION {
        return Err(corrupt(&format!("version {}, this release reads {VERSION}", document.version)));
    }
    check_swarm(&document.name).map_err(|error| corrupt(&error.to_string()))?;
    let der = CertificateDer::from_pem_slice(document.certificate.as_bytes());
    if der.map_or(true, |der| fingerprint(&der) != document.fingerprint) {
        return Err(corrupt("the certificate is not the one that was written"));
    }
    let key = match (&document.private_key, &document.sealed_key, passphrase) {
        (Some(pem), None, None) => SigningKey::from_pem(pem),
        (Some(_), None, Some(_)) => return Err(refused("is not encrypted, so it has no passphrase")),
        (None, Some(_), None) => return Err(refused("is encrypted: a passphrase is needed")),
        (None, Some(sealed), Some(passphrase)) => {
            let pem = sealed.open(passphrase, KEY_CONTEXT).map_err(corrupt)?;
            let pem = pem.ok_or_else(|| refused("does not open with this passphrase"))?;
            std::str::from_utf8(&pem).ok().and_then(SigningKey::from_pem)
        }
        _ => return Err(corrupt("it holds not one key")),
    };
    let key = key.ok_or_else(|| corrupt("the key is not a P-256 key"))?;
    Ok((document.name.clone(), document.certificate.clone(), key))
}

/// None yet: nothing was issued.
fn read_register(directory: &Directory) -> Result<Register, AuthorityError> {
    match directory.read(REGISTER)? {
        Some(text) => Register::from_json(&text, &directory.path(REGISTER)),
        None => Ok(Register::default()),
    }
}

#[cfg(test)]
mod tests;
