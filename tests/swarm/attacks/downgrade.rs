//! Less security than there is: tickets, other protocols, older versions of TLS, a key log, compression.

use crate::hostile::peer::{ALPN, Net, Peer, Stream, dial, encoded, forged, hello, quic};
use crate::hostile::{Swarm, until};
use crate::live::{PATIENCE, close, connect, echo, start};
use crate::security::{AGENT, COORDINATOR, Lawless, alert, of_agent, of_coordinator};
use midstreamer::protocol::messages::{Code, FrameKind, Welcome};
use midstreamer::security::{Admission, CertificateAuthority, IssueRequest, Refusal, Role, server_config};
use midstreamer::swarm::coordinator::CoordinatorConfig;
use rustls::NamedGroup;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn lawless_coordinator(lawless: &Lawless) -> CoordinatorConfig {
    let identity = Some(lawless.identity(&of_coordinator(&[COORDINATOR])));
    CoordinatorConfig { identity, ..CoordinatorConfig::default() }
}

/// A client that would resume, and send early data, if it were ever given a ticket.
#[test]
fn there_is_no_ticket_with_which_a_revoked_agent_gets_in() {
    let lawless = Lawless::new();
    let (coordinator, _events) = start(lawless_coordinator(&lawless));
    let mut eager = lawless.client(Some(&of_agent(&[AGENT])));
    eager.resumption = rustls::client::Resumption::in_memory_sessions(8);
    eager.enable_early_data = true;
    let eager = Arc::new(eager);
    let net = Net::new();
    let endpoint = net.endpoint();
    let welcomed = async || {
        let connecting = endpoint
            .connect_with(quic(eager.clone()), coordinator.address().parse().unwrap(), "coordinator")
            .unwrap();
        // With a ticket of the first connection there would be keys for early data.
        let connection = match connecting.into_0rtt() {
            Ok(_) => panic!("there was a ticket"),
            Err(connecting) => connecting.await.unwrap(),
        };
        // Who is refused may learn it sooner than this.
        let Ok((send, receive)) = connection.open_bi().await else { return (connection, None) };
        let mut control = Stream::of(send, receive);
        control.send(FrameKind::Hello, 0, &hello(), &[]).await;
        (connection, control.next().await.map(|frame| frame.kind))
    };
    net.run(async {
        let (first, answer) = welcomed().await;
        assert_eq!(answer, Some(FrameKind::Welcome));
        first.close(0_u32.into(), b"");
    });
    let revoked = std::sync::mpsc::channel();
    coordinator.revoke("a", "test", move |outcome| revoked.0.send(outcome).unwrap());
    revoked.1.recv_timeout(PATIENCE).unwrap().unwrap();
    net.run(async {
        let (second, answer) = welcomed().await;
        assert_eq!(answer, None);
        let error = second.closed().await;
        assert_eq!(alert(&error).and_then(Refusal::of_alert), Some(Refusal::Revoked), "{error}");
    });
    close(&coordinator);
}

#[test]
fn no_other_protocol_is_spoken() {
    let lawless = Lawless::new();
    let (coordinator, _events) = start(lawless_coordinator(&lawless));
    let net = Net::new();
    let endpoint = net.endpoint();
    let offers: [&[&[u8]]; 5] =
        [&[], &[b"h3"], &[b"nt-swarm/0"], &[b"nt-swarm/"], &[b"nt-swarm/11", b"NT-SWARM/1"]];
    for offer in offers {
        let mut tls = lawless.client(Some(&of_agent(&[AGENT])));
        tls.alpn_protocols = offer.iter().map(|name| name.to_vec()).collect();
        let error = net.run(dial(&endpoint, quic(Arc::new(tls)), coordinator.address())).unwrap_err();
        assert_eq!(alert(&error), Some(120), "{offer:?}: {error}");
    }
    // Among several, the one that both speak.
    let mut tls = lawless.client(Some(&of_agent(&[AGENT])));
    tls.alpn_protocols = vec![b"nt-swarm/0".to_vec(), ALPN.to_vec()];
    net.run(dial(&endpoint, quic(Arc::new(tls)), coordinator.address())).unwrap();
    close(&coordinator);
}

/// A ClientHello of TLS 1.2 (RFC 5246, section 7.4.1.2), as a record: QUIC carries none, so this asks the configuration.
fn client_hello_12() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session; TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384; no compression.
    body.extend([0, 0, 2, 0xc0, 0x2c, 1, 0]);
    // Groups and signature algorithms, and no supported_versions.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend([0, extensions.len() as u8]);
    body.extend(extensions);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn nothing_older_than_tls_1_3_is_spoken() {
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let identity = authority.issue(&IssueRequest::new("c", Role::Coordinator)).unwrap().identity;
    let config = server_config(&identity, &[ALPN], &Admission::default()).unwrap();
    let mut server = rustls::ServerConnection::new(config).unwrap();
    server.read_tls(&mut client_hello_12().as_slice()).unwrap();
    let error = server.process_new_packets().unwrap_err();
    assert!(
        matches!(
            error,
            rustls::Error::PeerIncompatible(
                rustls::PeerIncompatible::SupportedVersionsExtensionRequired
                    | rustls::PeerIncompatible::Tls12NotOffered
                    | rustls::PeerIncompatible::Tls12NotOfferedOrEnabled
                    | rustls::PeerIncompatible::Tls13RequiredForQuic
            )
        ),
        "{error:?}"
    );
    let mut out = Vec::new();
    server.write_tls(&mut out).unwrap();
    // A fatal alert, protocol_version.
    assert_eq!((out[0], &out[5..]), (21, &[2, 70][..]));
}

#[test]
fn the_key_exchange_is_hybrid_and_reported() {
    let (coordinator, _events) = start(CoordinatorConfig::default());
    let identity = |id: &str| coordinator.development_identity(id).unwrap();
    let ours = connect(coordinator.address(), identity("ours"), &["echo"], echo).unwrap();
    let net = Net::new();
    let endpoint = net.endpoint();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    // A peer that has nothing better is let in, and shows as what it is.
    let identity = identity("old");
    let classical = {
        use rustls::client::danger::ServerCertVerifier;
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(crate::security::Gullible);
        let mut classical = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(
                identity.chain().to_vec(),
                rustls::pki_types::pem::PemObject::from_pem_slice(identity.private_key().as_bytes()).unwrap(),
            )
            .unwrap();
        classical.alpn_protocols = vec![ALPN.to_vec()];
        classical
    };
    let _peer = net.run(async {
        let connection = dial(&endpoint, quic(Arc::new(classical)), coordinator.address()).await.unwrap();
        let mut control = Stream::open(&connection).await;
        control.send(FrameKind::Hello, 0, &hello(), &[]).await;
        let _: Welcome = control.next_of(FrameKind::Welcome).await.message().unwrap();
        (connection, control)
    });
    let agents = coordinator.agents();
    let group =
        |id: &str| agents.iter().find(|agent| &*agent.id == id).map(|agent| agent.key_exchange.to_string());
    assert_eq!((group("ours").as_deref(), group("old").as_deref()), (Some("X25519MLKEM768"), Some("X25519")));
    drop(ours);
    close(&coordinator);
}

/// Runs a test of this binary with a variable set, as a process of its own: a process cannot safely set its own.
fn run_with(variable: &str, value: &Path, test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact"])
        .env(variable, value)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    // Also when no test has this name it is a success.
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn no_keys_are_logged_whatever_the_environment_says() {
    let path = std::env::temp_dir().join(format!("midstreamer-keys-{}.log", std::process::id()));
    drop(std::fs::remove_file(&path));
    run_with("SSLKEYLOGFILE", &path, "live::a_handler_that_fails_is_retried_until_its_attempts_are_used_up");
    assert!(!path.exists(), "keys were written to a file");
}

/// No flag of a frame says that it is compressed. One crate that could undo it is linked, for messages of AgentDB sync, which say
/// their length beforehand, and no other module calls it.
#[test]
fn compressed_frames_are_refused() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let known = [
        "flate", "zlib", "zstd", "brotli", "lz4", "lzma", "snap", "bzip2", "miniz", "deflate", "inflate",
        "compress",
    ];
    let found: Vec<_> = names.filter(|name| known.iter().any(|known| name.contains(known))).collect();
    assert_eq!(found, ["zstd", "zstd-safe", "zstd-sys"]);
    let mut callers = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains("zstd::") {
                callers.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    assert_eq!(callers, [std::path::Path::new("src/sync/wire/packet.rs")]);

    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let publish = midstreamer::protocol::messages::Publish { topic: "t".to_owned(), ..Default::default() };
    let whole = encoded(FrameKind::Publish, 0, &publish, &[0; 64]);
    for bit in 1..8 {
        let (identity, endpoint) = (swarm.identity(&format!("a{bit}")), net.endpoint());
        net.run(async {
            let peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
            let mut lane = peer.task_lane().await;
            lane.raw(&forged(FrameKind::Publish.number(), 1 << bit, &whole[14..])).await;
            let (code, reason) = peer.cut_off().await;
            assert_eq!(code, Code::Protocol, "flag {bit}: {reason}");
            assert!(reason.contains("unknown flags"), "flag {bit}: {reason}");
        });
    }
    until("all are gone", || swarm.coordinator.agents().len() == 1);
    swarm.end();
}
