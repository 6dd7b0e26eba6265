//! What strangers send, and who answers for somebody else. The attackers here speak QUIC and TLS correctly; it is what
//! they say that is wrong.

use super::{authority, code, config, counted, join, join_at, open, token};
use crate::live::{PATIENCE, close, start};
use bytes::BytesMut;
use midstreamer::protocol::enrolment::{self, ALPN, EnrolmentError};
use midstreamer::protocol::messages::Code;
use midstreamer::security::{
    CertificateAuthority, Identity, IssueRequest, JoinToken, KeyRequest, Role, enrolment_client_config,
    enrolment_server_config,
};
use midstreamer::swarm::coordinator::CoordinatorConfig;
use midstreamer::swarm::{Coordinator, SwarmCode};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint};
use rustls_pki_types::CertificateDer;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a stranger; one that takes too long is a failed test.
fn run<T>(stranger: impl Future<Output = T>) -> T {
    run_for(PATIENCE, stranger)
}

fn run_for<T>(patience: Duration, stranger: impl Future<Output = T>) -> T {
    runtime().block_on(async { timeout(patience, stranger).await.expect("a stranger waits in vain") })
}

fn pin(coordinator: &Coordinator) -> [u8; 32] {
    *token(coordinator, 1).pin()
}

async fn dial(coordinator: &Coordinator, pin: [u8; 32]) -> Result<(Endpoint, Connection), ConnectionError> {
    let tls = enrolment_client_config(pin, ALPN).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = coordinator.enroll_address().unwrap().parse().unwrap();
    let connection = endpoint.connect_with(config, address, "coordinator").unwrap().await?;
    Ok((endpoint, connection))
}

/// The chain that an endpoint presents.
pub(super) fn handshake(coordinator: &Coordinator) -> Vec<CertificateDer<'static>> {
    let pin = pin(coordinator);
    run(async {
        let (_endpoint, connection) = dial(coordinator, pin).await.unwrap();
        let chain = connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
        *chain
    })
}

/// How an endpoint answers these bytes: with a frame, or by closing the connection.
fn answer(coordinator: &Coordinator, bytes: &[u8]) -> Result<Code, Code> {
    let pin = pin(coordinator);
    run(async {
        let (_endpoint, connection) = dial(coordinator, pin).await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // The endpoint may be tired of it before the end.
        drop(send.write_all(bytes).await);
        drop(send.finish());
        match receive.read_to_end(1 << 17).await {
            Ok(answer) if !answer.is_empty() => match enrolment::answer(answer.into()) {
                Err(EnrolmentError::Refused { code, .. }) => Ok(code),
                other => panic!("{other:?}"),
            },
            _ => Err(closed(&connection.closed().await)),
        }
    })
}

fn closed(error: &ConnectionError) -> Code {
    let ConnectionError::ApplicationClosed(closed) = error else { panic!("{error:?}") };
    Code::try_from(i32::try_from(closed.error_code.into_inner()).unwrap()).unwrap()
}

fn question(token: &JoinToken, id: &str, request: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    enrolment::ask(token.id().as_bytes(), token.secret().as_bytes(), id, request, &mut out).unwrap();
    out.to_vec()
}

#[test]
fn what_is_no_question_is_no_trouble() {
    let coordinator = open(&authority());
    let token = token(&coordinator, 1);
    let key = KeyRequest::new().unwrap();
    let good = question(&token, "agent-1", key.csr_der());
    let mut lie = good.clone();
    lie[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("garbage", vec![0x47; 300]),
        ("half a question", good[..good.len() / 2].to_vec()),
        ("two of them", [&good[..], &good[..]].concat()),
        ("a length that lies", lie),
        ("a megabyte", vec![0; 1 << 20]),
        ("an answer", {
            let mut out = BytesMut::new();
            enrolment::grant("certificate", "ca", &mut out).unwrap();
            out.to_vec()
        }),
    ] {
        assert_eq!(answer(&coordinator, &bytes), Err(Code::Protocol), "{what}");
    }
    // The form is right, what is in it is not.
    let mut unsigned = key.csr_der().to_vec();
    *unsigned.last_mut().unwrap() ^= 1;
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let rsa = rcgen::CertificateParams::default().serialize_request(&rsa).unwrap();
    for request in [&unsigned[..], rsa.der(), &[0x30; 4096]] {
        assert_eq!(answer(&coordinator, &question(&token, "agent-1", request)), Ok(Code::Protocol));
    }
    assert_eq!(answer(&coordinator, &question(&token, "../agent", key.csr_der())), Ok(Code::Protocol));
    // None of that has taken the use.
    join(&token, "agent-1").unwrap();
    assert_eq!((counted(&coordinator, "malformed"), counted(&coordinator, "enrolled")), (11, 1));
    close(&coordinator);
}

#[test]
fn a_connection_has_one_stream_and_five_seconds() {
    let coordinator = open(&authority());
    let pin = pin(&coordinator);
    run(async {
        let (_endpoint, connection) = dial(&coordinator, pin).await.unwrap();
        let begin = Instant::now();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        let drip = async {
            loop {
                if send.write_all(&[1]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let second = timeout(Duration::from_millis(500), connection.open_bi());
        let (_, second) = tokio::join!(drip, second);
        assert!(second.is_err(), "a second stream");
        assert_eq!(closed(&connection.closed().await), Code::Timeout);
        assert!(begin.elapsed() > Duration::from_secs(4), "{:?}", begin.elapsed());
    });
    close(&coordinator);
}

#[test]
fn who_fails_too_often_has_to_wait() {
    let coordinator = open(&authority());
    let pin = pin(&coordinator);
    let other = open(&authority());
    let bad = question(&token(&other, 1), "agent-1", KeyRequest::new().unwrap().csr_der());
    close(&other);
    let (mut refusals, begin) = (0, Instant::now());
    let turned_away = run_for(6 * PATIENCE, async {
        loop {
            let (_endpoint, connection) = match dial(&coordinator, pin).await {
                Ok(dialled) => dialled,
                Err(error) => return error,
            };
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            send.write_all(&bad).await.unwrap();
            send.finish().unwrap();
            let refused = enrolment::answer(receive.read_to_end(1 << 17).await.unwrap().into()).unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated);
            connection.close(0_u32.into(), b"");
            refusals += 1;
        }
    });
    let ConnectionError::ConnectionClosed(closed) = &turned_away else { panic!("{turned_away:?}") };
    assert_eq!(closed.error_code, quinn::TransportErrorCode::CONNECTION_REFUSED);
    // Twenty at once, and one more every three seconds.
    let forgiven = begin.elapsed().as_secs() / 3;
    assert!((20..=21 + forgiven).contains(&refusals), "{refusals}, {forgiven} forgiven");
    assert_eq!((counted(&coordinator, "bad_token"), counted(&coordinator, "limited")), (refusals, 1));
    close(&coordinator);
}

/// An endpoint that looks like one for enrolment, and counts the streams that somebody opens to it.
struct Impostor {
    address: String,
    asked: Arc<AtomicUsize>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Impostor {
    fn new(identity: &Identity) -> Self {
        let tls = enrolment_server_config(identity, ALPN).unwrap();
        let server = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let (sender, address) = std::sync::mpsc::channel();
        let count = asked.clone();
        let thread = thread::spawn(move || {
            runtime().block_on(async move {
                let endpoint = Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
                sender.send(endpoint.local_addr().unwrap().to_string()).unwrap();
                loop {
                    let incoming = tokio::select! {
                        incoming = endpoint.accept() => incoming.unwrap(),
                        _ = &mut stopped => return,
                    };
                    let Ok(connection) = incoming.await else { continue };
                    if let Ok(Ok(_)) = timeout(Duration::from_secs(2), connection.accept_bi()).await {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        });
        Self { address: address.recv().unwrap(), asked, stop: Some(stop), thread: Some(thread) }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic in there was reported where it happened.
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

fn issue(authority: &CertificateAuthority, role: Role) -> Identity {
    authority.issue(&IssueRequest::new("coordinator", role)).unwrap().identity
}

#[test]
fn who_stands_in_the_middle_with_an_authority_of_his_own_is_told_nothing() {
    let ours = authority();
    let coordinator = open(&ours);
    let ours_token = token(&coordinator, 1);
    // His own name is the same, and he sends our authority's certificate too, which is no secret.
    let theirs = authority();
    let own = issue(&theirs, Role::Coordinator);
    let both = format!("{}{}", theirs.certificate(), ours.certificate());
    let with_ours = Identity::parse(own.certificate(), own.private_key(), &both).unwrap();
    for identity in [own, with_ours] {
        let impostor = Impostor::new(&identity);
        let error = join_at(Some(&impostor.address), &ours_token, "agent-1").unwrap_err();
        assert_eq!(error.code, SwarmCode::Unauthenticated, "{error}");
        assert!(error.message.contains("token's authority"), "{error}");
        assert_eq!(impostor.asked(), 0);
    }
    // A whole coordinator of another swarm, which would take any question.
    let other = open(&theirs);
    assert_eq!(code(join_at(other.enroll_address(), &ours_token, "agent-1")), SwarmCode::Unauthenticated);
    assert_eq!((counted(&other, "bad_token"), counted(&other, "enrolled")), (0, 0));
    close(&other);
    // And a token of that one is of no use here: the machine does not even ask.
    let other = open(&theirs);
    let foreign = token(&other, 1);
    close(&other);
    assert_eq!(code(join_at(coordinator.enroll_address(), &foreign, "a")), SwarmCode::Unauthenticated);
    assert_eq!(counted(&coordinator, "bad_token"), 0);

    join(&ours_token, "agent-1").unwrap();
    close(&coordinator);
}

#[test]
fn an_honest_coordinator_whose_time_is_over_is_told_nothing() {
    let ours = authority();
    let coordinator = open(&ours);
    let token = token(&coordinator, 1);
    let request =
        IssueRequest { valid_ms: Some(1_000), ..IssueRequest::new("coordinator", Role::Coordinator) };
    let impostor = Impostor::new(&ours.issue(&request).unwrap().identity);
    thread::sleep(Duration::from_millis(2_100));
    let error = join_at(Some(&impostor.address), &token, "agent-1").unwrap_err();
    assert_eq!((error.code, impostor.asked()), (SwarmCode::Unauthenticated, 0), "{error}");
    close(&coordinator);
}

/// Passes packets on in both directions and keeps them.
#[test]
fn who_passes_packets_on_learns_nothing_from_them() {
    let coordinator = open(&authority());
    let token = token(&coordinator, 1);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let relay = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = relay.local_addr().unwrap().to_string();
    let upstream: std::net::SocketAddr = coordinator.enroll_address().unwrap().parse().unwrap();
    let (done, packets) = (Arc::new(AtomicUsize::new(0)), kept.clone());
    let stop = done.clone();
    let relaying = thread::spawn(move || {
        relay.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (mut client, mut packet) = (None, [0; 65_536]);
        while stop.load(Ordering::SeqCst) == 0 {
            let Ok((length, from)) = relay.recv_from(&mut packet) else { continue };
            packets.lock().unwrap().extend_from_slice(&packet[..length]);
            let to = if from == upstream {
                client
            } else {
                client = Some(from);
                Some(upstream)
            };
            relay.send_to(&packet[..length], to.unwrap()).unwrap();
        }
    });
    join_at(Some(&address), &token, "agent-with-a-telling-name").unwrap();
    done.store(1, Ordering::SeqCst);
    relaying.join().unwrap();
    let kept = kept.lock().unwrap();
    assert!(kept.len() > 3_000, "{} bytes went through", kept.len());
    let seen = |needle: &[u8]| kept.windows(needle.len()).any(|window| window == needle);
    assert!(!seen(token.secret().as_bytes()) && !seen(token.id().as_bytes()) && !seen(b"telling-name"));
    close(&coordinator);
}

#[test]
fn nothing_that_is_logged_or_counted_holds_a_secret() {
    let logged = Arc::new(Mutex::new(String::new()));
    let log = logged.clone();
    let listener = move |entry: midstreamer::swarm::logs::LogEntry| {
        log.lock().unwrap().push_str(&format!("{entry:?}\n"));
    };
    let (coordinator, _told) =
        start(CoordinatorConfig { on_log: Some(Arc::new(listener)), ..config(&authority()) });
    let token = token(&coordinator, 1);
    let text = token.to_text();
    let secret = &text[text.len() - 32..];
    join(&token, "agent-1").unwrap();
    let error = join(&token, "agent-2").unwrap_err().to_string();
    let shown = [logged.lock().unwrap().clone(), coordinator.metrics(), error, format!("{token:?}")].concat();
    assert!(shown.contains("agent enrolled") && shown.contains(&token.id().to_string()), "{shown}");
    let bytes = token.secret().as_bytes();
    assert!(!shown.contains(secret) && !shown.contains(&format!("{bytes:?}")), "{shown}");
    close(&coordinator);
}
