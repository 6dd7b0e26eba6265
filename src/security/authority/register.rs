//! The register of an authority: which certificates there are, what their holders may do, and which were taken back.

use super::AuthorityError;
use crate::security::hex;
use crate::security::identity::{Peer, Serial};
use crate::security::spiffe::{Role, check_id};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Names in one list of grants, and bytes of one name.
const MOST_GRANTS: usize = 1024;
const LONGEST_GRANT: usize = 256;

/// Bytes of a reason.
const LONGEST_REASON: usize = 1024;

/// An ended certificate is remembered for so long: for questions about what was. In milliseconds.
const REMEMBERED_MS: u64 = 400 * 24 * 60 * 60 * 1000;

/// One that was followed by another and not taken back: for so long. Who is renewed twice a day would else fill the file.
const FOLLOWED_MS: u64 = 24 * 60 * 60 * 1000;

const VERSION: u32 = 1;

/// What an identity may do, checked for each message. `None`: everything of its role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grants {
    /// As what it may register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_types: Option<Vec<String>>,
    /// Which kinds of task it may be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// To which topics it may publish and subscribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<String>>,
    /// Which databases it may replicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<String>>,
}

impl Grants {
    /// Names with content, and not too many of them.
    pub(super) fn check(&self) -> Result<(), AuthorityError> {
        let lists = [
            ("grants.agentTypes", &self.agent_types),
            ("grants.kinds", &self.kinds),
            ("grants.topics", &self.topics),
            ("grants.databases", &self.databases),
        ];
        for (argument, list) in lists {
            let Some(list) = list else { continue };
            if list.len() > MOST_GRANTS {
                let what = format!("holds {} names, more than {MOST_GRANTS}", list.len());
                return Err(AuthorityError::Invalid { argument, what });
            }
            if let Some(at) = list.iter().position(|name| name.is_empty() || name.len() > LONGEST_GRANT) {
                let what =
                    format!("holds a name at index {at} that is empty or longer than {LONGEST_GRANT} bytes");
                return Err(AuthorityError::Invalid { argument, what });
            }
        }
        Ok(())
    }
}

/// A certificate that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Why, if somebody said so.
    pub reason: Option<String>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its number.
    pub serial: Serial,
    /// Whose it is.
    pub id: String,
    /// As what.
    pub role: Role,
    /// Its end, in milliseconds since the Unix epoch.
    pub not_after: u64,
    /// SHA-256 of the certificate: its number alone could be given to another one.
    pub fingerprint: [u8; 32],
    /// The certificate that it was renewed from.
    pub replaces: Option<Serial>,
    /// What the holder may do.
    pub grants: Grants,
    /// Whether it was taken back.
    pub revoked: Option<Revocation>,
}

impl Issued {
    /// Whether it is about this certificate, to the last bit.
    pub fn is_of(&self, peer: &Peer) -> bool {
        self.serial == peer.serial
            && self.fingerprint == peer.fingerprint
            && self.id == peer.name.id()
            && self.role == peer.name.role()
    }
}

/// The certificates, in the order in which they were issued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Register(Vec<Issued>);

/// The file. JSON, because an operator has to be able to read it when nothing else runs any more.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    issued: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    serial: String,
    id: String,
    role: String,
    not_after: u64,
    fingerprint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    grants: Grants,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Register {
    pub(super) fn issued(&self) -> &[Issued] {
        &self.0
    }

    /// Adds a certificate, and forgets those that ended long ago, or that ended and were followed by another.
    pub(super) fn add(&mut self, issued: Issued, now_ms: u64) {
        self.0.push(issued);
        let mut last: HashMap<(&str, Role), u64> = HashMap::new();
        for issued in &self.0 {
            let end = last.entry((&issued.id, issued.role)).or_default();
            *end = issued.not_after.max(*end);
        }
        let keep = |old: &Issued| {
            let followed = old.revoked.is_none() && last[&(&*old.id, old.role)] > old.not_after;
            let remembered = if followed { FOLLOWED_MS } else { REMEMBERED_MS };
            old.not_after.saturating_add(remembered) > now_ms
        };
        let kept: Vec<bool> = self.0.iter().map(keep).collect();
        let mut kept = kept.into_iter();
        // As many as there are entries.
        self.0.retain(|_| kept.next().unwrap_or(true));
    }

    /// Whether somebody of this id, in whatever role, has a certificate with which he gets in.
    pub(super) fn is_taken(&self, id: &str, now_ms: u64) -> bool {
        self.0.iter().any(|issued| issued.id == id && issued.revoked.is_none() && issued.not_after > now_ms)
    }

    /// Forgets a certificate that nobody has.
    pub(super) fn remove(&mut self, serial: &Serial) {
        self.0.retain(|issued| issued.serial != *serial);
    }

    /// Takes over entries of another register, unless they are there; one that was taken back there is taken back here.
    /// Returns how many changed something.
    pub(super) fn adopt(&mut self, entries: &[Issued], now_ms: u64) -> usize {
        let mut changed = 0;
        let known: HashMap<Serial, usize> =
            self.0.iter().enumerate().map(|(at, issued)| (issued.serial.clone(), at)).collect();
        for entry in entries {
            match known.get(&entry.serial).and_then(|&at| self.0.get_mut(at)) {
                None if entry.not_after.saturating_add(REMEMBERED_MS) > now_ms => self.0.push(entry.clone()),
                Some(known) if known.revoked.is_none() && entry.revoked.is_some() => {
                    known.revoked.clone_from(&entry.revoked);
                }
                _ => continue,
            }
            changed += 1;
        }
        changed
    }

    /// Takes back all certificates of the member with this id and, if `serial` is given, the one with that number and those
    /// that it was renewed into: who had the one may have made the others. What was taken back before keeps its time and
    /// its reason. Returns whether there is anything of that name.
    pub(super) fn revoke(&mut self, id: &str, serial: Option<&str>, at: u64, reason: Option<&str>) -> bool {
        let serial = serial.map(str::to_ascii_lowercase);
        let mut taken: HashSet<Serial> = HashSet::new();
        let mut found = false;
        // A renewal stands behind what it replaces.
        for issued in &mut self.0 {
            let numbered = serial.as_deref() == Some(issued.serial.as_str())
                || issued.replaces.as_ref().is_some_and(|replaced| taken.contains(replaced));
            if numbered {
                taken.insert(issued.serial.clone());
            }
            let meant = numbered || issued.id == id;
            found |= meant;
            if meant && issued.revoked.is_none() {
                issued.revoked = Some(Revocation { at, reason: reason.map(str::to_owned) });
            }
        }
        found
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, AuthorityError> {
        let entry = |issued: &Issued| Entry {
            serial: issued.serial.to_string(),
            id: issued.id.clone(),
            role: issued.role.to_string(),
            not_after: issued.not_after,
            fingerprint: hex(&issued.fingerprint),
            replaces: issued.replaces.as_ref().map(Serial::to_string),
            grants: issued.grants.clone(),
            revoked_at: issued.revoked.as_ref().map(|revoked| revoked.at),
            reason: issued.revoked.as_ref().and_then(|revoked| revoked.reason.clone()),
        };
        let document = Document { version: VERSION, issued: self.0.iter().map(entry).collect() };
        serde_json::to_vec_pretty(&document)
            .map_err(|_| AuthorityError::Crypto("the register has no JSON form"))
    }

    pub(super) fn from_json(text: &str, path: &Path) -> Result<Self, AuthorityError> {
        let corrupt = |what: String| AuthorityError::Corrupt { path: path.to_owned(), what };
        let document: Document = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
        if document.version != VERSION {
            return Err(corrupt(format!("version {}, this release reads {VERSION}", document.version)));
        }
        let read = |entry: Entry| {
            let role = entry.role.parse::<Role>().map_err(|error| corrupt(error.to_string()))?;
            check_id(&entry.id).map_err(|error| corrupt(error.to_string()))?;
            let serial = Serial::parse(&entry.serial)
                .ok_or_else(|| corrupt("a serial number is not one".to_owned()))?;
            if entry.reason.is_some() && entry.revoked_at.is_none() {
                return Err(corrupt("a reason without a revocation".to_owned()));
            }
            let fingerprint = digest_of(&entry.fingerprint)
                .ok_or_else(|| corrupt("a fingerprint is not SHA-256 in hexadecimal".to_owned()))?;
            let replaces = entry.replaces.as_deref().map(Serial::parse);
            if replaces == Some(None) {
                return Err(corrupt("a serial number is not one".to_owned()));
            }
            let replaces = replaces.flatten();
            let revoked = entry.revoked_at.map(|at| Revocation { at, reason: entry.reason });
            Ok(Issued {
                serial,
                id: entry.id,
                role,
                not_after: entry.not_after,
                fingerprint,
                replaces,
                grants: entry.grants,
                revoked,
            })
        };
        Ok(Self(document.issued.into_iter().map(read).collect::<Result<_, _>>()?))
    }
}

/// 64 hexadecimal digits.
fn digest_of(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// A reason that somebody gave.
pub(crate) fn check_reason(reason: Option<&str>) -> Result<(), AuthorityError> {
    match reason {
        Some(text) if text.len() > LONGEST_REASON => {
            let what = format!("takes {} bytes, more than {LONGEST_REASON}", text.len());
            Err(AuthorityError::Invalid { argument: "reason", what })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(serial: u8, id: &str, not_after: u64) -> Issued {
        let serial_byte = serial;
        let serial = Serial::from_bytes(&[serial; 16]);
        Issued {
            serial,
            id: id.to_owned(),
            role: Role::Agent,
            not_after,
            fingerprint: [serial_byte; 32],
            replaces: None,
            grants: Grants::default(),
            revoked: None,
        }
    }

    #[test]
    fn a_register_survives_its_file() {
        let mut register = Register::default();
        register.add(issued(1, "a", 10), 0);
        let kinds = Some(vec!["dtw".to_owned(), "lcs".to_owned()]);
        let grants = Grants { kinds, databases: Some(vec![]), ..Grants::default() };
        register.add(Issued { grants, ..issued(2, "b", 20) }, 0);
        assert!(register.revoke("a", None, 5, Some("lost \"laptop\"")));
        let json = String::from_utf8(register.to_json().unwrap()).unwrap();
        assert_eq!(Register::from_json(&json, Path::new("register")).unwrap(), register);
    }

    #[test]
    fn a_serial_is_one_certificate_and_an_id_all_of_a_member() {
        let mut register = Register::default();
        for (serial, id) in [(1, "a"), (2, "a"), (3, "b")] {
            register.add(issued(serial, id, 10), 0);
        }
        let revoked =
            |register: &Register| register.0.iter().map(|x| x.revoked.is_some()).collect::<Vec<_>>();
        assert!(register.revoke(&"01".repeat(16), Some(&"01".repeat(16)), 7, Some("first")));
        assert_eq!(revoked(&register), [true, false, false]);
        assert!(register.revoke("a", Some("a"), 8, None));
        assert_eq!(revoked(&register), [true, true, false]);
        assert_eq!(register.0[0].revoked, Some(Revocation { at: 7, reason: Some("first".to_owned()) }));
        assert!(!register.revoke("c", Some("c"), 9, None));
    }

    #[test]
    fn what_a_predecessor_issued_and_took_back_counts_here() {
        let (mut old, mut new) = (Register::default(), Register::default());
        old.add(issued(1, "a", 10), 0);
        old.add(issued(2, "b", 10), 0);
        new.add(issued(3, "c", 10), 0);
        assert_eq!(new.adopt(old.issued(), 0), 2);
        assert_eq!(new.adopt(old.issued(), 0), 0);
        old.revoke("a", None, 5, None);
        assert_eq!(new.adopt(old.issued(), 0), 1);
        let state: Vec<_> = new.0.iter().map(|x| (x.id.as_str(), x.revoked.is_some())).collect();
        assert_eq!(state, [("c", false), ("a", true), ("b", false)]);
        // What was taken back here is not given back by a register that does not know it.
        new.revoke("b", None, 6, None);
        assert_eq!(new.adopt(old.issued(), 0), 0);
        assert!(new.0[2].revoked.is_some());
    }

    #[test]
    fn a_number_is_taken_back_with_what_it_was_renewed_into() {
        let mut register = Register::default();
        let renewed = |serial, from: u8| {
            let replaces = Some(Serial::from_bytes(&[from; 16]));
            Issued { replaces, ..issued(serial, "a", 10) }
        };
        register.add(issued(1, "a", 10), 0);
        register.add(issued(2, "a", 10), 0);
        register.add(renewed(3, 1), 0);
        register.add(renewed(4, 3), 0);
        register.add(renewed(5, 2), 0);
        // Somebody whose name is that number: both are meant.
        register.add(issued(6, &"01".repeat(16), 10), 0);
        assert!(register.revoke(&"01".repeat(16), Some(&"01".repeat(16)), 7, None));
        let revoked: Vec<bool> = register.0.iter().map(|issued| issued.revoked.is_some()).collect();
        assert_eq!(revoked, [true, false, true, true, false, true]);
    }

    #[test]
    fn what_was_followed_by_another_is_soon_forgotten() {
        let mut register = Register::default();
        let hour = 60 * 60 * 1000;
        for round in 0..1000_u64 {
            let end = (round + 1) * 12 * hour;
            let serial = Serial::from_bytes(&(round + 1).to_be_bytes());
            register.add(Issued { serial, ..issued(1, "a", end) }, round * 12 * hour);
        }
        assert!(register.0.len() <= 5, "{}", register.0.len());
        // What was taken back is not, and neither is the last one of a member.
        let mut register = Register::default();
        register.add(issued(1, "a", hour), 0);
        register.revoke("a", None, 1, None);
        register.add(issued(2, "a", 2 * hour), 0);
        register.add(issued(3, "b", hour), 0);
        register.add(issued(4, "c", 100 * hour), 99 * hour);
        let left: Vec<&str> = register.0.iter().map(|issued| &*issued.id).collect();
        assert_eq!(left, ["a", "a", "b", "c"]);
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let mut register = Register::default();
        register.add(issued(1, "a", 1_000), 0);
        register.add(issued(2, "b", 1_000), 1_000 + REMEMBERED_MS - 1);
        assert_eq!(register.0.len(), 2);
        register.add(issued(3, "c", 2 * REMEMBERED_MS), 1_000 + REMEMBERED_MS);
        assert_eq!(register.0.len(), 1);
    }

    #[test]
    fn a_damaged_file_is_named_as_such() {
        let good = r#"{"version":1,"issued":[{"serial":"01","id":"a","role":"agent","notAfter":1,"fingerprint":"FF","grants":{}}]}"#
            .replace("FF", &"0f".repeat(32));
        let read = |text: &str| Register::from_json(text, Path::new("register.json"));
        assert_eq!(read(&good).unwrap().0.len(), 1);
        let spoilt = [
            ("01", "zz"),
            ("\"a\"", "\"../a\""),
            ("agent", "root"),
            ("0f0f", "0f"),
            ("0f0f", "0F0f"),
            ("\"grants\"", "\"reason\":\"x\",\"grants\""),
            ("\"grants\"", "\"replaces\":\"0\",\"grants\""),
            ("\"version\":1", "\"version\":2"),
            ("\"issued\"", "\"more\":1,\"issued\""),
        ];
        let spoilt = spoilt.iter().map(|(part, by)| good.replacen(part, by, 1));
        for text in spoilt.chain(["", "{}", "[]"].map(str::to_owned)) {
            let error = read(&text).unwrap_err();
            assert!(matches!(error, AuthorityError::Corrupt { .. }), "{text}: {error}");
        }
    }
}
