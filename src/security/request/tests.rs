use super::*;
use crate::security::{AuthorityError, CertificateAuthority, Grants, Role, SignRequest};
use proptest::prelude::*;
use rcgen::{KeyPair, SanType};

fn sign(authority: &CertificateAuthority, request: &[u8]) -> Result<String, AuthorityError> {
    let grants = Grants { kinds: Some(vec!["dtw".to_owned()]), ..Grants::default() };
    let request = SignRequest {
        certificate_request: request,
        id: "agent-7",
        role: Role::Agent,
        valid_ms: 60_000,
        grants: grants.clone(),
    };
    let signed = authority.sign(&request)?;
    let entry = authority.list().unwrap().pop().unwrap();
    assert_eq!((&entry.serial, entry.not_after, &entry.grants), (&signed.serial, signed.not_after, &grants));
    Ok(signed.certificate)
}

#[test]
fn a_request_becomes_an_identity_whose_key_never_left() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let request = KeyRequest::new().unwrap();
    assert!(!format!("{request:?}").contains("PRIVATE"));
    let certificate = sign(&authority, request.csr_der()).unwrap();
    let identity = request.into_identity(&certificate, authority.certificate()).unwrap();
    let name = &identity.peer().name;
    assert_eq!((name.id(), name.role(), name.swarm()), ("agent-7", Role::Agent, "test"));
    assert_eq!(identity.peer().serial, authority.list().unwrap()[0].serial);
    // The answer to somebody else's request is not ours.
    let other = KeyRequest::new().unwrap();
    let mismatch = other.into_identity(&certificate, authority.certificate()).unwrap_err();
    assert!(matches!(mismatch, IdentityError::KeyMismatch), "{mismatch}");
}

#[test]
fn names_and_extensions_of_a_request_are_ignored() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["coordinator.example.org".to_owned()]).unwrap();
    let claimed = "spiffe://test.midstreamer/swarm/test/coordinator/boss".to_owned();
    params.subject_alt_names.push(SanType::URI(claimed.try_into().unwrap()));
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let request = params.serialize_request(&key).unwrap();
    let certificate = sign(&authority, request.der()).unwrap();
    let identity = Identity::parse(&certificate, &key.serialize_pem(), authority.certificate()).unwrap();
    assert_eq!((identity.peer().name.id(), identity.peer().name.role()), ("agent-7", Role::Agent));
    let (_, parsed) = x509_parser::parse_x509_certificate(&identity.chain()[0]).unwrap();
    let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert_eq!((names.len(), usage.server_auth, usage.client_auth), (1, false, true));
}

#[test]
fn other_keys_and_broken_signatures_are_refused() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let refused = |request: &[u8]| match sign(&authority, request) {
        Err(AuthorityError::Request(error)) => error,
        other => panic!("{other:?}"),
    };
    let params = || {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
    };
    for algorithm in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let request = params().serialize_request(&key).unwrap();
        assert_eq!(refused(request.der()), RequestError::Key, "{algorithm:?}");
    }
    // Somebody else's key, with a signature that is not that one's: the last 40 bytes are of the signature.
    let good = KeyRequest::new().unwrap();
    let good = good.csr_der();
    for at in good.len() - 40..good.len() {
        let mut broken = good.to_vec();
        broken[at] ^= 1;
        assert_eq!(refused(&broken), RequestError::Signature, "byte {at}");
    }
    // The point is another one, or none at all.
    let point = good.windows(P256_PREFIX.len()).position(|window| window == P256_PREFIX).unwrap();
    let mut broken = good.to_vec();
    broken[point + P256_PREFIX.len() + 40] ^= 1;
    assert_eq!(refused(&broken), RequestError::Signature);
    let mut compressed = good.to_vec();
    compressed[point + P256_PREFIX.len()] = 2;
    assert_eq!(refused(&compressed), RequestError::Key);

    let mut longer = good.to_vec();
    longer.push(0);
    assert_eq!(refused(&longer), RequestError::Malformed);
    assert_eq!(refused(&[]), RequestError::Malformed);
    assert_eq!(refused(&vec![0x30; LONGEST_REQUEST + 1]), RequestError::TooLong);
    assert!(authority.list().unwrap().is_empty(), "nothing of that may be in the register");
}

proptest! {
    #[test]
    fn no_bytes_are_a_request_by_accident(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(requested_key(&bytes).is_err());
    }

    /// Whatever is changed in a request: it is refused, or the key and what was signed are the same.
    #[test]
    fn a_changed_request_is_another_or_none(at in 0_usize..200, bit in 0_u8..8) {
        let request = KeyRequest::new().unwrap();
        let mut changed = request.csr_der().to_vec();
        let at = at % changed.len();
        changed[at] ^= 1 << bit;
        if let Ok(key) = requested_key(&changed) {
            let known = requested_key(request.csr_der()).unwrap();
            prop_assert_eq!(key, known);
        }
    }
}
