//! Who gets in, over real QUIC on loopback: research rows "no certificate", "another CA", "expired" and so on. Each row
//! says what the server saw, what its observer was told, and what the client was told.

use midstreamer::security::{
    Admission, CertificateAuthority, Identity, IssueRequest, PeerName, Refusal, Revocations, Role,
    client_config, peer_of, server_config,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionError, Endpoint};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const ALPN: &[u8] = b"nt-swarm/1";

/// A handshake that hangs is a failed test, not a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of one dial.
#[derive(Debug)]
struct Dial {
    /// Who the server let in, or why it did not.
    server: Result<PeerName, String>,
    /// What the server's observer was told.
    observed: Vec<Refusal>,
    /// What the client's observer was told.
    client_observed: Vec<Refusal>,
    /// `None`: the server's first bytes arrived. Else how the connection ended for the client.
    client: Option<ConnectionError>,
    /// Whether the client's handshake came back without an error.
    client_connected: bool,
}

/// The TLS alert in the end of a connection, sent by either side.
pub(crate) fn alert(error: &ConnectionError) -> Option<u8> {
    let code = match error {
        ConnectionError::TransportError(error) => u64::from(error.code),
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        _ => return None,
    };
    (0x100..0x200).contains(&code).then_some(code as u8)
}

impl Dial {
    fn client_refusal(&self) -> Option<Refusal> {
        alert(self.client.as_ref()?).and_then(Refusal::of_alert)
    }

    #[track_caller]
    fn assert_refused(&self, observed: &[Refusal], told: Refusal) {
        assert!(self.server.is_err(), "{self:?}");
        assert_eq!(self.observed, observed, "{self:?}");
        assert_eq!(self.client_refusal(), Some(told), "{self:?}");
    }
}

fn observing(revocations: Revocations) -> (Admission, Arc<Mutex<Vec<Refusal>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observer = seen.clone();
    let observer = Arc::new(move |refusal| observer.lock().unwrap().push(refusal));
    (Admission { revocations, observer: Some(observer) }, seen)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// One server, one client, one dial; the server greets with two bytes whom it lets in.
fn dial(server: &Identity, client: Result<&Identity, ClientConfig>) -> Dial {
    dial_with(server, client, ALPN, Revocations::new())
}

fn dial_with(
    server: &Identity,
    client: Result<&Identity, ClientConfig>,
    protocol: &[u8],
    revocations: Revocations,
) -> Dial {
    let (admission, observed) = observing(revocations);
    let (client_admission, client_observed) = observing(Revocations::new());
    let server = server_config(server, &[ALPN], &admission).unwrap();
    let client = match client {
        Ok(identity) => client_config(identity, &[protocol], &client_admission).unwrap(),
        Err(config) => Arc::new(config),
    };
    let server = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).unwrap()));
    let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
    let (result, client, client_connected) = runtime().block_on(async {
        let work = async {
            let listening = Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listening.local_addr().unwrap();
            let accepting = tokio::spawn(async move {
                let connection = match listening.accept().await.unwrap().await {
                    Ok(connection) => connection,
                    Err(error) => return (Err(error.to_string()), listening),
                };
                let chain =
                    connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'_>>>().unwrap();
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(b"hi").await.unwrap();
                stream.finish().unwrap();
                connection.closed().await;
                (Ok(peer_of(&chain).unwrap().name), listening)
            });
            let dialling = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let (client, connected) = match dialling.connect_with(client, address, "swarm").unwrap().await {
                Err(error) => (Some(error), false),
                Ok(connection) => {
                    let greeting = async {
                        let mut stream = connection.accept_uni().await?;
                        let greeting = stream.read_to_end(2).await.map_err(|_| {
                            connection.close_reason().unwrap_or(ConnectionError::LocallyClosed)
                        })?;
                        assert_eq!(greeting, b"hi");
                        Ok::<_, ConnectionError>(())
                    };
                    let failed = greeting.await.err();
                    connection.close(0_u32.into(), b"");
                    (failed, true)
                }
            };
            dialling.wait_idle().await;
            let (result, listening) = accepting.await.unwrap();
            listening.wait_idle().await;
            (result, client, connected)
        };
        tokio::time::timeout(PATIENCE, work).await.unwrap()
    });
    let observed = observed.lock().unwrap().clone();
    let client_observed = client_observed.lock().unwrap().clone();
    Dial { server: result, observed, client_observed, client, client_connected }
}

fn issue(authority: &CertificateAuthority, id: &str, role: Role) -> Identity {
    authority.issue(&IssueRequest::new(id, role)).unwrap().identity
}

// --------------------------------------------------------------- certificates that our authority would never sign

/// An authority without rules, and an identity of its coordinator.
pub(crate) struct Lawless {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub(crate) struct Wild<'a> {
    pub(crate) uris: &'a [&'a str],
    pub(crate) usage: ExtendedKeyUsagePurpose,
    /// Seconds from now.
    pub(crate) from: i64,
    pub(crate) to: i64,
}

pub(crate) const AGENT: &str = "spiffe://test.midstreamer/swarm/test/agent/a";
pub(crate) const COORDINATOR: &str = "spiffe://test.midstreamer/swarm/test/coordinator/c";

pub(crate) fn of_agent<'a>(uris: &'a [&'a str]) -> Wild<'a> {
    Wild { uris, usage: ExtendedKeyUsagePurpose::ClientAuth, from: -60, to: 3600 }
}

pub(crate) fn of_coordinator<'a>(uris: &'a [&'a str]) -> Wild<'a> {
    Wild { usage: ExtendedKeyUsagePurpose::ServerAuth, ..of_agent(uris) }
}

impl Lawless {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, wild: &Wild<'_>) -> (CertificateDer<'static>, String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            wild.uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.extended_key_usages = vec![wild.usage.clone()];
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let instant = |offset: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs((now + offset) as u64);
        (params.not_before, params.not_after) = (instant(wild.from), instant(wild.to));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), certificate.pem(), key)
    }

    pub(crate) fn identity(&self, wild: &Wild<'_>) -> Identity {
        let (_, certificate, key) = self.sign(wild);
        Identity::parse(&certificate, &key.serialize_pem(), &self.pem).unwrap()
    }

    /// A client that presents whatever it likes and accepts whatever it gets.
    pub(crate) fn client(&self, wild: Option<&Wild<'_>>) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible));
        let mut config = match wild {
            None => builder.with_no_client_auth(),
            Some(wild) => {
                let (certificate, _, key) = self.sign(wild);
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config
    }
}

#[derive(Debug)]
pub(crate) struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

// --------------------------------------------------------------------------------------------- who gets in

#[test]
fn members_of_one_swarm_get_in() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    for (serves, dials) in [
        (Role::Coordinator, Role::Agent),
        (Role::Coordinator, Role::Peer),
        (Role::Peer, Role::Peer),
        (Role::Peer, Role::Agent),
    ] {
        let dial = dial(&issue(&authority, "c", serves), Ok(&issue(&authority, "a", dials)));
        assert_eq!(
            dial.server.as_ref().unwrap().to_string(),
            format!("spiffe://test.midstreamer/swarm/test/{dials}/a")
        );
        assert!(
            dial.client.is_none() && dial.observed.is_empty() && dial.client_observed.is_empty(),
            "{dial:?}"
        );
    }
}

#[test]
fn without_a_certificate_nobody_gets_in() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let dial = dial(&issue(&authority, "c", Role::Coordinator), Err(Lawless::new().client(None)));
    // rustls does not ask the verifier about nothing; the shell reads this one off the alert.
    dial.assert_refused(&[], Refusal::NoCertificate);
    assert!(dial.client_connected, "a TLS 1.3 client is connected before the server has looked: {dial:?}");
}

#[test]
fn the_certificate_of_another_authority_is_refused() {
    let own = CertificateAuthority::in_memory("test").unwrap();
    let server = issue(&own, "c", Role::Coordinator);
    let wild = of_agent(&[AGENT]);
    let dial = dial(&server, Err(Lawless::new().client(Some(&wild))));
    dial.assert_refused(&[Refusal::OtherAuthority], Refusal::OtherAuthority);
    assert!(dial.client_connected);
}

#[test]
fn agents_refuse_the_coordinator_of_another_authority() {
    let (own, other) =
        (CertificateAuthority::in_memory("test").unwrap(), CertificateAuthority::in_memory("test").unwrap());
    let dial = dial(&issue(&other, "c", Role::Coordinator), Ok(&issue(&own, "a", Role::Agent)));
    assert!(dial.server.is_err() && !dial.client_connected && dial.observed.is_empty(), "{dial:?}");
    assert_eq!(dial.client_observed, [Refusal::OtherAuthority]);
    assert_eq!(dial.client_refusal(), Some(Refusal::OtherAuthority));
}

#[test]
fn outside_its_time_a_certificate_is_refused() {
    let lawless = Lawless::new();
    let server = lawless.identity(&of_coordinator(&[COORDINATOR]));
    for (from, to, refusal) in [(-7200, -60, Refusal::Expired), (3600, 7200, Refusal::NotYetValid)] {
        let wild = Wild { from, to, ..of_agent(&[AGENT]) };
        let dial = dial(&server, Err(lawless.client(Some(&wild))));
        // TLS has one alert for both.
        dial.assert_refused(&[refusal], Refusal::Expired);
        assert!(dial.client_connected);
    }
}

#[test]
fn a_certificate_that_ends_after_it_was_configured_is_refused_too() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let request = IssueRequest { valid_ms: Some(1), ..IssueRequest::new("c", Role::Coordinator) };
    let server = authority.issue(&request).unwrap();
    let agent = issue(&authority, "a", Role::Agent);
    while !server.identity.peer().expired(
        u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap(),
    ) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let dial = dial(&server.identity, Ok(&agent));
    assert_eq!(dial.client_observed, [Refusal::Expired], "{dial:?}");
    assert_eq!(dial.client_refusal(), Some(Refusal::Expired));
}

#[test]
fn coordinators_do_not_dial_and_agents_do_not_listen() {
    let lawless = Lawless::new();
    let server = lawless.identity(&of_coordinator(&[COORDINATOR]));
    // By key usage.
    let wild = of_coordinator(&[COORDINATOR]);
    dial(&server, Err(lawless.client(Some(&wild)))).assert_refused(&[Refusal::WrongRole], Refusal::WrongRole);
    // By name, though the key usage would do.
    let wild = of_agent(&[COORDINATOR]);
    dial(&server, Err(lawless.client(Some(&wild)))).assert_refused(&[Refusal::WrongRole], Refusal::WrongRole);
}

#[test]
fn without_exactly_one_name_a_certificate_is_refused() {
    let lawless = Lawless::new();
    let server = lawless.identity(&of_coordinator(&[COORDINATOR]));
    let uris: [&[&str]; 5] = [
        &[AGENT, "spiffe://test.midstreamer/swarm/test/agent/b"],
        &[AGENT, "https://example.org/"],
        &["https://example.org/"],
        &["spiffe://test.midstreamer/swarm/test/agent/.."],
        &[],
    ];
    for uris in uris {
        let wild = of_agent(uris);
        dial(&server, Err(lawless.client(Some(&wild))))
            .assert_refused(&[Refusal::Malformed], Refusal::Malformed);
    }
}

#[test]
fn another_swarm_of_the_same_authority_is_refused() {
    let lawless = Lawless::new();
    let server = lawless.identity(&of_coordinator(&[COORDINATOR]));
    for uri in
        ["spiffe://test.midstreamer/swarm/other/agent/a", "spiffe://other.midstreamer/swarm/test/agent/a"]
    {
        let uris = [uri];
        let wild = of_agent(&uris);
        let dialled = dial(&server, Err(lawless.client(Some(&wild))));
        dialled.assert_refused(&[Refusal::OtherSwarm], Refusal::OtherSwarm);
        // And the same from the other side.
        let agent = lawless.identity(&wild);
        let dialled = dial(&server, Ok(&agent));
        assert_eq!(dialled.client_observed, [Refusal::OtherSwarm], "{dialled:?}");
        assert!(dialled.server.is_err() && !dialled.client_connected);
    }
}

#[test]
fn another_protocol_is_refused_on_both_sides_at_once() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let (server, agent) = (issue(&authority, "c", Role::Coordinator), issue(&authority, "a", Role::Agent));
    let dial = dial_with(&server, Ok(&agent), b"h3", Revocations::new());
    assert!(dial.server.is_err() && !dial.client_connected, "{dial:?}");
    assert_eq!(dial.client.as_ref().and_then(alert), Some(120));
    assert_eq!(dial.client_refusal(), None);
    assert!(dial.observed.is_empty() && dial.client_observed.is_empty());
}

#[test]
fn what_is_revoked_is_refused_from_the_next_handshake_on() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let server = issue(&authority, "c", Role::Coordinator);
    let (a, b) = (issue(&authority, "a", Role::Agent), issue(&authority, "b", Role::Agent));
    let revocations = Revocations::new();
    let attempt = |agent: &Identity| dial_with(&server, Ok(agent), ALPN, revocations.clone());
    assert!(attempt(&a).client.is_none());
    authority.revoke(a.peer().serial.as_str(), Some("test")).unwrap();
    revocations.replace(authority.revoked_serials().unwrap(), []);
    attempt(&a).assert_refused(&[Refusal::Revoked], Refusal::Revoked);
    assert!(attempt(&b).client.is_none());
    // A new certificate of the same member is another matter, unless the member itself is refused.
    let again = issue(&authority, "a", Role::Agent);
    assert!(attempt(&again).client.is_none());
    revocations.refuse_id("a");
    attempt(&again).assert_refused(&[Refusal::Revoked], Refusal::Revoked);
    attempt(&a).assert_refused(&[Refusal::Revoked], Refusal::Revoked);
}

#[test]
fn the_key_exchange_is_hybrid() {
    use rustls::NamedGroup;
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let admission = Admission::default();
    let server = server_config(&issue(&authority, "c", Role::Coordinator), &[ALPN], &admission).unwrap();
    let client = client_config(&issue(&authority, "a", Role::Agent), &[ALPN], &admission).unwrap();
    let mut server = rustls::ServerConnection::new(server).unwrap();
    let mut client = rustls::ClientConnection::new(client, "swarm".try_into().unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    let group = client.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(client.tls13_tickets_received(), 0);
}
