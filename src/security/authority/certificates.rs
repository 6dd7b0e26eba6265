//! Certificates: what stands in one, and the key that signs.

use super::AuthorityError;
use crate::security::hex;
use crate::security::identity::Serial;
use crate::security::key::SigningKey;
use crate::security::now_ms;
use crate::security::spiffe::PeerName;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::ServerName;
use std::time::Duration;

use super::{BACKDATED_MS, DAY_MS};

/// Addresses in one certificate.
const MOST_HOSTS: usize = 64;

/// Characters of a common name: ub-common-name of RFC 5280, appendix A.1.
const LONGEST_COMMON_NAME: usize = 64;

/// A new authority: its certificate in PEM, and its key.
pub(super) fn root(swarm: &str, valid_days: u32) -> Result<(String, SigningKey), AuthorityError> {
    let key = SigningKey::generate()?;
    let now = now_ms();
    let mut params = CertificateParams::default();
    let end = now.saturating_add(u64::from(valid_days) * DAY_MS);
    set_validity(&mut params, now.saturating_sub(BACKDATED_MS), end);
    params.serial_number = Some(random_serial()?.0);
    params.distinguished_name = common_name(&subject(swarm, &key));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok((params.self_signed(&key)?.pem(), key))
}

/// The common name of an authority. Two authorities of one name still have different subjects, so that a certificate of
/// the other one is seen to be that, and not one with a broken signature.
pub(super) fn subject(swarm: &str, key: &SigningKey) -> String {
    let own = hex(&digest(&SHA256, key.der_bytes()).as_ref()[..8]);
    format!("{} swarm {own}", &swarm[..swarm.len().min(40)])
}

/// What goes into the certificate of a member.
pub(super) struct Leaf<'a> {
    pub(super) name: &'a PeerName,
    pub(super) hosts: &'a [String],
    /// In milliseconds since the Unix epoch.
    pub(super) not_before: u64,
    /// In milliseconds since the Unix epoch, a whole second.
    pub(super) not_after: u64,
}

/// A certificate in PEM.
pub(super) struct Signed {
    pub(super) certificate: String,
    pub(super) serial: Serial,
}

/// Signs a certificate for a key.
pub(super) fn leaf(
    issuer: &Issuer<'_, SigningKey>,
    leaf: &Leaf<'_>,
    key: &impl PublicKeyData,
) -> Result<Signed, AuthorityError> {
    let Leaf { name, hosts, not_before, not_after } = leaf;
    let (number, serial) = random_serial()?;
    let role = name.role();
    let mut params = CertificateParams::default();
    set_validity(&mut params, *not_before, *not_after);
    params.serial_number = Some(number);
    // For people who list certificates; nothing here reads it.
    let id = name.id();
    params.distinguished_name = common_name(if id.len() <= LONGEST_COMMON_NAME { id } else { role.as_str() });
    params.subject_alt_names = alternative_names(name, hosts)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usages = [
        role.dials().then_some(ExtendedKeyUsagePurpose::ClientAuth),
        role.serves().then_some(ExtendedKeyUsagePurpose::ServerAuth),
    ];
    params.extended_key_usages = usages.into_iter().flatten().collect();
    params.use_authority_key_identifier_extension = true;
    Ok(Signed { certificate: params.signed_by(key, issuer)?.pem(), serial })
}

/// The SPIFFE name, and the addresses: RFC 5280, section 4.2.1.6.
fn alternative_names(name: &PeerName, hosts: &[String]) -> Result<Vec<SanType>, AuthorityError> {
    let invalid = |what| AuthorityError::Invalid { argument: "hosts", what };
    if hosts.len() > MOST_HOSTS {
        return Err(invalid(format!("holds {} addresses, more than {MOST_HOSTS}", hosts.len())));
    }
    let text = |text: &str| text.to_owned().try_into().ok();
    let mut names =
        vec![SanType::URI(text(&name.to_string()).ok_or(AuthorityError::Crypto("a name in ASCII is not"))?)];
    for (at, host) in hosts.iter().enumerate() {
        let found = match ServerName::try_from(host.as_str()) {
            Ok(ServerName::IpAddress(address)) => Some(SanType::IpAddress(address.into())),
            Ok(ServerName::DnsName(name)) => text(name.as_ref()).map(SanType::DnsName),
            _ => None,
        };
        let shown: String = host.chars().take(80).collect();
        names.push(
            found.ok_or_else(|| {
                invalid(format!("[{at}] is neither a DNS name nor an IP address: {shown:?}"))
            })?,
        );
    }
    Ok(names)
}

/// 126 random bits, 16 bytes whatever they are, positive: RFC 5280, section 4.1.2.2.
fn random_serial() -> Result<(SerialNumber, Serial), AuthorityError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| AuthorityError::Crypto("no random bytes"))?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok((SerialNumber::from_slice(&bytes), Serial::from_bytes(&bytes)))
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// Down to a second, which is what certificates count in. In milliseconds.
pub(super) fn seconds_of(ms: u64) -> u64 {
    ms / 1000 * 1000
}

/// Both in milliseconds since the Unix epoch, at most the longest life of an authority away, so within the calendar.
fn set_validity(params: &mut CertificateParams, not_before: u64, not_after: u64) {
    let instant = |ms| date_time_ymd(1970, 1, 1) + Duration::from_millis(seconds_of(ms));
    params.not_before = instant(not_before);
    params.not_after = instant(not_after);
}
