//! What a token is good for. Two values of one authority's directory are what two processes have: each locks the file.

use super::*;
use crate::security::authority::tests::Scratch;
use crate::security::{KeyRequest, RequestError};
use std::fs;
use std::thread;

const HOUR_MS: u64 = 60 * 60 * 1000;

fn create(authority: &CertificateAuthority, uses: u32) -> JoinToken {
    let grants = Grants { kinds: Some(vec!["dtw".to_owned()]), ..Grants::default() };
    let request = TokenRequest { address: "127.0.0.1:7443", ttl_ms: HOUR_MS, uses, grants: &grants };
    authority.create_token(&request).unwrap()
}

fn redeem(
    authority: &CertificateAuthority,
    token: &JoinToken,
    id: &str,
) -> Result<SignedCertificate, RedeemError> {
    let key = KeyRequest::new().unwrap();
    let request = RedeemRequest {
        token: token.id(),
        secret: token.secret(),
        certificate_request: key.csr_der(),
        id,
        valid_ms: HOUR_MS,
        reserved: false,
    };
    let signed = authority.redeem(&request)?;
    key.into_identity(&signed.certificate, authority.certificate()).unwrap();
    Ok(signed)
}

fn refusal(outcome: Result<SignedCertificate, RedeemError>) -> TokenRefusal {
    match outcome {
        Err(RedeemError::Token(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The same on disk and in memory.
fn everywhere(test: impl Fn(&CertificateAuthority)) {
    let scratch = Scratch::new();
    test(&scratch.open().unwrap());
    test(&CertificateAuthority::in_memory("test").unwrap());
}

#[test]
fn a_token_gives_one_identity_with_its_grants() {
    everywhere(|authority| {
        let token = create(authority, 1);
        assert_eq!(token.pin(), &authority.spki_digest());
        let signed = redeem(authority, &token, "agent-7").unwrap();
        let listed = authority.list().unwrap();
        assert_eq!((listed.len(), &listed[0].serial, listed[0].id.as_str()), (1, &signed.serial, "agent-7"));
        assert_eq!(
            (listed[0].role, listed[0].grants.kinds.as_deref()),
            (Role::Agent, Some(&["dtw".to_owned()][..]))
        );
        assert_eq!(refusal(redeem(authority, &token, "agent-8")), TokenRefusal::UsedUp);
        assert_eq!(refusal(redeem(authority, &token, "agent-7")), TokenRefusal::UsedUp);
    });
}

#[test]
fn tokens_are_of_one_authority_and_end() {
    everywhere(|authority| {
        let other = CertificateAuthority::in_memory("test").unwrap();
        assert_eq!(refusal(redeem(authority, &create(&other, 1), "a")), TokenRefusal::Unknown);
        let request = TokenRequest { address: "h:1", ttl_ms: 1, uses: 1, grants: &Grants::default() };
        let short = authority.create_token(&request).unwrap();
        thread::sleep(std::time::Duration::from_millis(3));
        assert_eq!(refusal(redeem(authority, &short, "a")), TokenRefusal::Expired);
        let (one, two) = (create(authority, 1), create(authority, 1));
        let key = KeyRequest::new().unwrap();
        let mixed = RedeemRequest {
            token: one.id(),
            secret: two.secret(),
            certificate_request: key.csr_der(),
            id: "a",
            valid_ms: HOUR_MS,
            reserved: false,
        };
        assert_eq!(refusal(authority.redeem(&mixed)), TokenRefusal::WrongSecret);
        // Neither of them is any the worse for it.
        redeem(authority, &one, "a").unwrap();
        redeem(authority, &two, "b").unwrap();
    });
}

#[test]
fn an_id_that_is_somebodys_is_not_given_away() {
    everywhere(|authority| {
        let token = create(authority, 2);
        for (id, role) in [("boss", Role::Coordinator), ("agent-7", Role::Agent), ("node", Role::Peer)] {
            authority.issue(&crate::security::IssueRequest::new(id, role)).unwrap();
            let taken = redeem(authority, &token, id).unwrap_err();
            assert!(matches!(&taken, RedeemError::Taken { id: found } if found == id), "{taken}");
        }
        let key = KeyRequest::new().unwrap();
        let (csr, secret) = (key.csr_der(), token.secret());
        let reserved = RedeemRequest {
            token: token.id(),
            secret,
            certificate_request: csr,
            id: "free",
            valid_ms: HOUR_MS,
            reserved: true,
        };
        let reserved = authority.redeem(&reserved).unwrap_err();
        assert!(matches!(reserved, RedeemError::Reserved { .. }), "{reserved}");
        // No use was taken, and what was revoked is free.
        authority.revoke("agent-7", None).unwrap();
        redeem(authority, &token, "agent-7").unwrap();
        redeem(authority, &token, "agent-9").unwrap();
        assert_eq!(refusal(redeem(authority, &token, "agent-10")), TokenRefusal::UsedUp);
    });
}

#[test]
fn a_bad_request_takes_no_use() {
    everywhere(|authority| {
        let token = create(authority, 1);
        let (key, before) = (KeyRequest::new().unwrap(), authority.list().unwrap());
        let redeem_with = |csr: &[u8], id: &str, valid_ms: u64| {
            let (token, secret) = (token.id(), token.secret());
            let request =
                RedeemRequest { token, secret, certificate_request: csr, id, valid_ms, reserved: false };
            authority.redeem(&request).unwrap_err()
        };
        let mut broken = key.csr_der().to_vec();
        *broken.last_mut().unwrap() ^= 1;
        for (error, expected) in [
            (redeem_with(&broken, "a", HOUR_MS), "is not signed by the key in it"),
            (redeem_with(&[0; 5000], "a", HOUR_MS), "takes more than 4096 bytes"),
            (redeem_with(&[], "a", HOUR_MS), "is not a PKCS#10 request"),
            (redeem_with(key.csr_der(), "../a", HOUR_MS), "an id is 1 to 128"),
            (redeem_with(key.csr_der(), "a", 0), "validMs must be at least 1"),
        ] {
            assert!(
                matches!(error, RedeemError::Authority(_)) && error.to_string().contains(expected),
                "{error}"
            );
        }
        assert!(matches!(
            redeem_with(&broken, "a", HOUR_MS),
            RedeemError::Authority(AuthorityError::Request(RequestError::Signature))
        ));
        assert_eq!(authority.list().unwrap(), before);
        redeem(authority, &token, "a").unwrap();
    });
}

#[test]
fn a_token_can_be_taken_back() {
    everywhere(|authority| {
        let (one, other) = (create(authority, 5), create(authority, 1));
        redeem(authority, &one, "a").unwrap();
        assert!(authority.withdraw_token(one.id()).unwrap() && !authority.withdraw_token(one.id()).unwrap());
        assert_eq!(refusal(redeem(authority, &one, "b")), TokenRefusal::Unknown);
        redeem(authority, &other, "b").unwrap();
    });
}

#[test]
fn what_makes_no_sense_in_a_token_names_its_argument() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let bad = Grants { topics: Some(vec![String::new()]), ..Grants::default() };
    let good = Grants::default();
    for (address, ttl_ms, uses, grants, argument) in [
        ("nowhere", 1, 1, &good, "address"),
        ("h:1", 0, 1, &good, "ttlMs"),
        ("h:1", LONGEST_TTL_MS + 1, 1, &good, "ttlMs"),
        ("h:1", 1, 0, &good, "uses"),
        ("h:1", 1, MOST_USES + 1, &good, "uses"),
        ("h:1", 1, 1, &bad, "grants.topics"),
    ] {
        let error = authority.create_token(&TokenRequest { address, ttl_ms, uses, grants }).unwrap_err();
        assert!(
            matches!(&error, AuthorityError::Invalid { argument: found, .. } if *found == argument),
            "{error}"
        );
    }
}

#[test]
fn of_many_who_come_at_once_as_many_get_in_as_there_are_uses() {
    for uses in [1, 3] {
        let scratch = Scratch::new();
        let token = create(&scratch.open().unwrap(), uses);
        // Each with a value of its own for the directory, as in processes of their own, and two threads each.
        let won: usize = thread::scope(|scope| {
            let mut rivals = Vec::new();
            for process in 0..4 {
                let authority = std::sync::Arc::new(scratch.open().unwrap());
                for thread in 0..2 {
                    let (authority, token) = (authority.clone(), &token);
                    rivals.push(scope.spawn(move || {
                        let outcome = redeem(&authority, token, &format!("agent-{process}-{thread}"));
                        if outcome.is_err() {
                            assert_eq!(refusal(outcome), TokenRefusal::UsedUp);
                            return 0;
                        }
                        1
                    }));
                }
            }
            rivals.into_iter().map(|rival| rival.join().unwrap()).sum()
        });
        assert_eq!(won, uses as usize);
        assert_eq!(scratch.open().unwrap().list().unwrap().len(), won);
    }
}

#[test]
fn a_crash_between_the_two_files_burns_the_use_and_no_more() {
    let scratch = Scratch::new();
    let token = create(&scratch.open().unwrap(), 1);
    redeem(&scratch.open().unwrap(), &token, "agent-7").unwrap();
    // The register as it was before, the tokens as they are after: what a crash between the two leaves.
    fs::remove_file(scratch.0.join("register.json")).unwrap();
    let authority = scratch.open().unwrap();
    assert_eq!(refusal(redeem(&authority, &token, "agent-7")), TokenRefusal::UsedUp);
    assert!(authority.list().unwrap().is_empty());
    redeem(&authority, &create(&authority, 1), "agent-7").unwrap();
}

#[test]
fn what_could_not_be_kept_takes_no_use() {
    let scratch = Scratch::new();
    let authority = scratch.open().unwrap();
    let token = create(&authority, 1);
    // Nothing can be written beside the one file, then beside the other.
    for name in ["tokens.json.new", "register.json.new"] {
        let obstacle = scratch.0.join(name);
        fs::create_dir_all(obstacle.join("full")).unwrap();
        let error = redeem(&authority, &token, "agent-7").unwrap_err();
        assert!(matches!(error, RedeemError::Authority(AuthorityError::Io { .. })), "{error}");
        assert!(authority.list().unwrap().is_empty());
        fs::remove_dir_all(obstacle).unwrap();
    }
    redeem(&authority, &token, "agent-7").unwrap();
}

#[test]
fn nothing_in_the_directory_is_the_secret() {
    let scratch = Scratch::new();
    let authority = scratch.open().unwrap();
    let token = create(&authority, 1);
    let text = token.to_text();
    let secret = text.rsplit_once('.').unwrap().1;
    let files: Vec<_> = fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("tokens.json")));
    for file in files {
        let metadata = fs::metadata(&file).unwrap();
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777,
            0o600,
            "{file:?}"
        );
        assert!(metadata.is_file() && !fs::read_to_string(&file).unwrap().contains(secret), "{file:?}");
    }
    // A damaged file is an error when the authority is opened, not when the first machine comes.
    fs::write(scratch.0.join("tokens.json"), "{}").unwrap();
    assert!(matches!(scratch.open().unwrap_err(), AuthorityError::Corrupt { .. }));
}
