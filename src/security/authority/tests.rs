//! The authority by itself. What its certificates do in a handshake: `tests/swarm/security.rs`.

use super::*;
use proptest::prelude::*;
use std::fs;
use x509_parser::prelude::{GeneralName, X509Certificate};

fn scratch() -> PathBuf {
    let name = format!("midstreamer-authority-{}-{:016x}", std::process::id(), fastrand::u64(..));
    std::env::temp_dir().join(name)
}

/// A directory that is gone after the test.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(scratch())
    }

    pub(super) fn open(&self) -> Result<CertificateAuthority, AuthorityError> {
        CertificateAuthority::open(&self.0, &AuthorityOptions::default())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn with_certificate<T>(identity: &Identity, look: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
    let (_, certificate) = x509_parser::parse_x509_certificate(&identity.chain()[0]).unwrap();
    look(&certificate)
}

#[test]
fn a_certificate_says_what_was_asked_for() {
    let authority = CertificateAuthority::in_memory("Desk").unwrap();
    let hosts = ["localhost", "10.1.2.3", "::1", "node-1.example.org"].map(str::to_owned);
    for (role, client, server) in
        [(Role::Agent, true, false), (Role::Coordinator, false, true), (Role::Peer, true, true)]
    {
        let request = IssueRequest { hosts: &hosts, valid_ms: Some(60_000), ..IssueRequest::new("n", role) };
        let before = now_ms();
        let issued = authority.issue(&request).unwrap();
        let after = now_ms();
        assert!(
            (before + 59_000..=after + 60_000).contains(&issued.not_after)
                && issued.not_after.is_multiple_of(1000)
        );
        let peer = issued.identity.peer();
        assert_eq!(peer.name.to_string(), format!("spiffe://desk.midstreamer/swarm/Desk/{role}/n"));
        assert_eq!((&peer.serial, peer.not_after), (&issued.serial, issued.not_after));
        assert!(peer.not_before <= before - BACKDATED_MS + 1000 && !peer.expired(after));
        assert!(!peer.expired(issued.not_after + 999) && peer.expired(issued.not_after + 1000));
        with_certificate(&issued.identity, |certificate| {
            let usage = certificate.extended_key_usage().unwrap().unwrap().value;
            assert_eq!((usage.client_auth, usage.server_auth, usage.any), (client, server, false));
            assert!(!certificate.is_ca());
            assert_eq!(certificate.raw_serial().len(), 16);
            let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
            let uris = names.iter().filter(|name| matches!(name, GeneralName::URI(_))).count();
            let dns = names.iter().filter(|name| matches!(name, GeneralName::DNSName(_))).count();
            let addresses: Vec<usize> = (names.iter())
                .filter_map(|name| if let GeneralName::IPAddress(ip) = name { Some(ip.len()) } else { None })
                .collect();
            assert_eq!((uris, dns, addresses), (1, 2, vec![4, 16]));
        });
    }
}

#[test]
fn nothing_outlives_its_authority() {
    let scratch = Scratch::new();
    let options = AuthorityOptions { valid_days: Some(1), ..AuthorityOptions::default() };
    let authority = CertificateAuthority::open(&scratch.0, &options).unwrap();
    let issued = authority.issue(&IssueRequest::new("a", Role::Agent)).unwrap();
    assert_eq!(issued.not_after, authority.not_after);
    let longest = IssueRequest { valid_ms: Some(u64::MAX), ..IssueRequest::new("a", Role::Agent) };
    assert_eq!(authority.issue(&longest).unwrap().not_after, authority.not_after);
    assert_eq!(authority.list().unwrap().len(), 2);
}

#[test]
fn an_authority_is_the_same_after_a_restart() {
    let scratch = Scratch::new();
    let options = AuthorityOptions { name: Some("desk"), ..AuthorityOptions::default() };
    let first = CertificateAuthority::open(&scratch.0, &options).unwrap();
    let grants = Grants { kinds: Some(vec!["dtw".to_owned()]), ..Grants::default() };
    let request = IssueRequest { grants, ..IssueRequest::new("a", Role::Agent) };
    let serial = first.issue(&request).unwrap().serial;
    first.issue(&IssueRequest::new("b", Role::Agent)).unwrap();
    first.revoke("b", Some("lost")).unwrap();
    let again = scratch.open().unwrap();
    assert_eq!((again.certificate(), again.fingerprint()), (first.certificate(), first.fingerprint()));
    assert_eq!((again.name(), again.trust_domain()), ("desk", "desk.midstreamer"));
    assert_eq!(again.list().unwrap(), first.list().unwrap());
    assert_eq!(again.list().unwrap()[0].grants, request.grants);
    let revoked = again.revoked_serials().unwrap();
    assert!(revoked.len() == 1 && revoked[0] != serial);
    // What the second one issues, the first one sees, and the first one's identities trust.
    again.issue(&IssueRequest::new("c", Role::Peer)).unwrap();
    assert_eq!(first.list().unwrap().len(), 3);
    let other = AuthorityOptions { name: Some("other"), ..AuthorityOptions::default() };
    let error = CertificateAuthority::open(&scratch.0, &other).unwrap_err();
    assert!(matches!(error, AuthorityError::Invalid { argument: "name", .. }), "{error}");
}

#[test]
fn what_makes_no_sense_names_its_argument() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let argument = |result: Result<IssuedIdentity, AuthorityError>| match result.unwrap_err() {
        AuthorityError::Invalid { argument, .. } => argument,
        error => panic!("{error}"),
    };
    let usual = || IssueRequest::new("a", Role::Agent);
    for id in ["", "..", "a/b", "a b", "\u{e4}", &"x".repeat(129)] {
        assert_eq!(argument(authority.issue(&IssueRequest::new(id, Role::Agent))), "id");
    }
    for host in ["", "a b", "http://a", "1.2.3.4.5.6/7", "a:1", "\u{e4}.example"] {
        let hosts = [host.to_owned()];
        assert_eq!(argument(authority.issue(&IssueRequest { hosts: &hosts, ..usual() })), "hosts", "{host}");
    }
    assert_eq!(
        argument(authority.issue(&IssueRequest { hosts: &vec!["a".to_owned(); 65], ..usual() })),
        "hosts"
    );
    assert_eq!(argument(authority.issue(&IssueRequest { valid_ms: Some(0), ..usual() })), "validMs");
    let grants = Grants { topics: Some(vec!["a".to_owned(), String::new()]), ..Grants::default() };
    assert_eq!(argument(authority.issue(&IssueRequest { grants, ..usual() })), "grants.topics");
    assert!(matches!(authority.revoke("a", None), Err(AuthorityError::Unknown(_))));
    assert!(authority.revoke("a", Some(&"x".repeat(1025))).is_err());
    assert!(authority.list().unwrap().is_empty());
    for name in ["", "a b", "a/b"] {
        assert!(CertificateAuthority::in_memory(name).is_err(), "{name}");
    }
    for name in ["x".repeat(64), "a.b_C-9".to_owned()] {
        CertificateAuthority::in_memory(&name).unwrap().issue(&usual()).unwrap();
    }
    let long = "i".repeat(128);
    let issued = authority.issue(&IssueRequest::new(&long, Role::Agent)).unwrap();
    assert_eq!(issued.identity.peer().name.id(), long);
}

#[test]
fn the_passphrase_is_asked_for() {
    let scratch = Scratch::new();
    let open = |passphrase: Option<&[u8]>| {
        CertificateAuthority::open(
            &scratch.0,
            &AuthorityOptions { passphrase, ..AuthorityOptions::default() },
        )
    };
    let fingerprint = open(Some(b"sesame")).unwrap().fingerprint();
    assert_eq!(open(Some(b"sesame")).unwrap().fingerprint(), fingerprint);
    for passphrase in [None, Some(b"other".as_slice())] {
        let error = open(passphrase).unwrap_err();
        assert!(matches!(error, AuthorityError::Passphrase { .. }), "{error}");
    }
    assert!(matches!(open(Some(b"")).unwrap_err(), AuthorityError::Invalid { argument: "passphrase", .. }));
    let text = fs::read_to_string(scratch.0.join(AUTHORITY)).unwrap();
    assert!(!text.contains("PRIVATE KEY") && !text.contains("sesame"));
    // A key that lies open is not taken for one that is locked.
    let plain = Scratch::new();
    plain.open().unwrap();
    let options = AuthorityOptions { passphrase: Some(b"sesame"), ..AuthorityOptions::default() };
    let error = CertificateAuthority::open(&plain.0, &options).unwrap_err();
    assert!(matches!(error, AuthorityError::Passphrase { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn whatever_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    scratch.open().unwrap().issue(&IssueRequest::new("a", Role::Agent)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(mode(&scratch.0), 0o700);
    for name in [AUTHORITY, REGISTER, "lock"] {
        let path = scratch.0.join(name);
        assert_eq!(mode(&path), 0o600, "{name}");
        for wide in [0o640, 0o604, 0o620] {
            set(&path, wide);
            let error = scratch.open().unwrap_err();
            assert!(
                matches!(&error, AuthorityError::Permissions { mode, .. } if *mode == wide),
                "{name}: {error}"
            );
        }
        set(&path, 0o600);
    }
    for wide in [0o750, 0o705, 0o701] {
        set(&scratch.0, wide);
        assert!(matches!(scratch.open(), Err(AuthorityError::Permissions { .. })));
    }
    set(&scratch.0, 0o700);
    scratch.open().unwrap();
}

#[test]
fn a_damaged_directory_is_an_error_and_not_another_authority() {
    let scratch = Scratch::new();
    let intact = scratch.open().unwrap();
    intact.issue(&IssueRequest::new("a", Role::Agent)).unwrap();
    let (authority, register) = (scratch.0.join(AUTHORITY), scratch.0.join(REGISTER));
    let (whole, listed) = (fs::read(&authority).unwrap(), fs::read(&register).unwrap());
    for length in (0..whole.len() - 1).step_by(7) {
        fs::write(&authority, &whole[..length]).unwrap();
        assert!(matches!(scratch.open(), Err(AuthorityError::Corrupt { .. })), "{length} bytes");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x04;
        fs::write(&authority, &changed).unwrap();
        // Some changes mean nothing, in the white space and the frame of the PEM texts: then it is the same authority.
        if let Ok(opened) = scratch.open() {
            assert_eq!(
                (opened.name(), opened.fingerprint()),
                (intact.name(), intact.fingerprint()),
                "byte {at}"
            );
            opened.issue(&IssueRequest::new("b", Role::Agent)).unwrap();
        }
    }
    fs::write(&register, &listed).unwrap();
    let aside = scratch.0.join("aside");
    fs::rename(&authority, &aside).unwrap();
    assert!(matches!(scratch.open(), Err(AuthorityError::Corrupt { .. })));
    fs::rename(&aside, &authority).unwrap();
    fs::write(&authority, &whole).unwrap();
    for length in (0..listed.len() - 1).step_by(7) {
        fs::write(&register, &listed[..length]).unwrap();
        assert!(matches!(scratch.open(), Err(AuthorityError::Corrupt { .. })), "{length} bytes");
    }
    fs::write(&register, &listed).unwrap();
    assert_eq!(scratch.open().unwrap().list().unwrap().len(), 1);
}

#[test]
fn what_a_crash_left_behind_is_no_obstacle() {
    let scratch = Scratch::new();
    let authority = scratch.open().unwrap();
    let beside = scratch.0.join(format!("{REGISTER}.new"));
    fs::write(&beside, b"{\"vers").unwrap();
    authority.issue(&IssueRequest::new("a", Role::Agent)).unwrap();
    assert!(!beside.exists());
    assert_eq!(scratch.open().unwrap().list().unwrap().len(), 1);
}

#[test]
fn changes_take_turns() {
    let scratch = Scratch::new();
    let shared = scratch.open().unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (shared, scratch) = (&shared, &scratch);
            scope.spawn(move || {
                // Half of them through an authority of their own, as another process would.
                let own = scratch.open().unwrap();
                let authority = if worker % 2 == 0 { shared } else { &own };
                for index in 0..5 {
                    let id = format!("w{worker}-{index}");
                    authority.issue(&IssueRequest::new(&id, Role::Agent)).unwrap();
                    authority.revoke(&id, None).unwrap();
                }
            });
        }
    });
    let listed = shared.list().unwrap();
    assert_eq!(listed.len(), 20);
    assert!(listed.iter().all(|issued| issued.revoked.is_some()));
    let mut serials: Vec<_> = listed.iter().map(|issued| issued.serial.clone()).collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 20);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_issued_can_be_used(id in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", role in 0..3_usize, valid_ms in 2_000..u64::MAX) {
        let authority = CertificateAuthority::in_memory("test").unwrap();
        let role = [Role::Agent, Role::Coordinator, Role::Peer][role];
        let request = IssueRequest { valid_ms: Some(valid_ms), ..IssueRequest::new(&id, role) };
        let issued = authority.issue(&request).unwrap();
        prop_assert_eq!(issued.identity.peer().name.id(), id.as_str());
        prop_assert_eq!(issued.identity.peer().name.role(), role);
        prop_assert!(issued.not_after <= authority.not_after);
    }
}

#[test]
fn a_certificate_is_renewed_a_few_times_and_what_nobody_has_does_not_count() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let current = authority.issue(&IssueRequest::new("a", Role::Agent)).unwrap().identity.peer().clone();
    let renew = || {
        let key = crate::security::KeyRequest::new().unwrap();
        authority.renew(key.csr_der(), &current, 60_000)
    };
    // Signed and given to nobody, or taken back: any number of them.
    for _ in 0..5 {
        authority.withdraw(&renew().unwrap().serial).unwrap();
    }
    for _ in 0..5 {
        authority.revoke(renew().unwrap().serial.as_str(), None).unwrap();
    }
    assert_eq!(authority.list().unwrap().len(), 1 + 5);
    for _ in 0..3 {
        renew().unwrap();
    }
    assert!(matches!(renew(), Err(AuthorityError::Renewed(_))));
    authority.revoke_member("a", None).unwrap();
    assert!(matches!(renew(), Err(AuthorityError::Revoked(_))));
}
