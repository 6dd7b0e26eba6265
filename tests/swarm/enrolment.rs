//! Enrolment over real QUIC on loopback: operators with tokens, machines without identities, and people in the middle.
//!
//! `hostile`: what strangers send. `races`: two processes and one token.

mod hostile;
mod races;

use crate::live::{PATIENCE, close, close_agent, connect, echo, start, submit, task};
use midstreamer::security::{
    AuthorityOptions, CertificateAuthority, Grants, Identity, IssueRequest, JoinToken, Role, TokenRequest,
};
use midstreamer::swarm::coordinator::CoordinatorConfig;
use midstreamer::swarm::enrolment::{EnrolConfig, enrol};
use midstreamer::swarm::{Coordinator, SwarmCode, SwarmError};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const HOUR_MS: u64 = 3_600_000;

/// The directory of an authority, removed at the end of its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("midstreamer-enrolment-{name}-{}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        drop(fs::remove_dir_all(&place.0));
        place
    }

    /// As another process would open it.
    fn open(&self) -> Arc<CertificateAuthority> {
        let options = AuthorityOptions { name: Some("test"), ..AuthorityOptions::default() };
        Arc::new(CertificateAuthority::open(&self.0, &options).unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn authority() -> Arc<CertificateAuthority> {
    Arc::new(CertificateAuthority::in_memory("test").unwrap())
}

fn config(authority: &Arc<CertificateAuthority>) -> CoordinatorConfig {
    CoordinatorConfig {
        authority: Some(authority.clone()),
        enroll_listen: Some("127.0.0.1:0".to_owned()),
        ..CoordinatorConfig::default()
    }
}

fn open(authority: &Arc<CertificateAuthority>) -> Coordinator {
    start(config(authority)).0
}

fn make_token(coordinator: &Coordinator, uses: u32, grants: Grants) -> Result<JoinToken, SwarmError> {
    let (sender, made) = channel();
    coordinator.create_join_token(HOUR_MS, uses, grants, move |outcome| sender.send(outcome).unwrap());
    made.recv_timeout(PATIENCE).unwrap()
}

fn token(coordinator: &Coordinator, uses: u32) -> JoinToken {
    make_token(coordinator, uses, Grants::default()).unwrap()
}

/// At the address in the token.
fn join(token: &JoinToken, id: &str) -> Result<Identity, SwarmError> {
    join_at(None, token, id)
}

fn join_at(address: Option<&str>, token: &JoinToken, id: &str) -> Result<Identity, SwarmError> {
    let (sender, joined) = channel();
    let config =
        EnrolConfig { address: address.map(str::to_owned), token: token.clone(), agent_id: id.to_owned() };
    // Kept: dropping it changes nothing, but the name says that it may be aborted.
    let _enrolling = enrol(config, move |outcome| drop(sender.send(outcome)))?;
    joined.recv_timeout(PATIENCE).unwrap()
}

fn code(outcome: Result<Identity, SwarmError>) -> SwarmCode {
    outcome.unwrap_err().code
}

/// The number behind a name in the metrics.
fn counted(coordinator: &Coordinator, outcome: &str) -> u64 {
    let name = format!("midstreamer_enrolments_total{{outcome=\"{outcome}\"}} ");
    let text = coordinator.metrics();
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_machine_with_a_token_becomes_an_agent_with_its_grants() {
    let authority = authority();
    let coordinator = open(&authority);
    let grants = Grants { kinds: Some(vec!["echo".to_owned()]), ..Grants::default() };
    let token = make_token(&coordinator, 1, grants.clone()).unwrap();
    assert_eq!(token.address(), coordinator.enroll_address().unwrap());
    // As an operator hands it over.
    let token: JoinToken = token.to_text().parse().unwrap();
    let identity = join(&token, "agent-7").unwrap();
    let name = &identity.peer().name;
    assert_eq!((name.id(), name.role(), name.swarm()), ("agent-7", Role::Agent, "test"));
    let listed = authority.list().unwrap();
    let entry = listed.iter().find(|issued| issued.serial == identity.peer().serial).unwrap();
    assert_eq!(entry.grants, grants);
    let life = identity.peer().not_after - identity.peer().not_before;
    assert!((24 * HOUR_MS..25 * HOUR_MS).contains(&life), "{life} ms");

    let agent = connect(coordinator.address(), identity.clone(), &["echo", "other"], echo).unwrap();
    let result = submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(&*result.agent, "agent-7");
    let other = midstreamer::swarm::coordinator::TaskRequest { timeout_ms: Some(300), ..task("other", b"x") };
    let refused = submit(&coordinator, other).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(refused.code, SwarmCode::NoAgent, "{refused}");
    close_agent(&agent.agent);
    assert_eq!(counted(&coordinator, "enrolled"), 1);
    close(&coordinator);
}

#[test]
fn a_token_that_is_not_good_is_refused_and_says_why_to_its_holder_alone() {
    let authority = authority();
    let coordinator = open(&authority);
    let token = token(&coordinator, 1);
    let text = token.to_text();
    let wrong_secret: JoinToken = format!("{}{}", &text[..text.len() - 32], "0".repeat(32)).parse().unwrap();
    let (start, id) = text[..text.len() - 33].rsplit_once('.').unwrap();
    let flipped: String = id.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
    let unknown: JoinToken = format!("{start}.{flipped}.{}", &text[text.len() - 32..]).parse().unwrap();
    let errors = [join(&wrong_secret, "a").unwrap_err(), join(&unknown, "a").unwrap_err()];
    for error in &errors {
        assert_eq!(error.code, SwarmCode::Unauthenticated);
        assert!(error.message.ends_with("the join token is not valid"), "{error}");
        assert!(!error.message.contains(&text[text.len() - 32..]), "{error}");
    }
    assert_eq!(errors[0].message, errors[1].message);

    let identity = join(&token, "agent-7").unwrap();
    let again = join(&token, "agent-8").unwrap_err();
    assert_eq!(again.code, SwarmCode::Unauthenticated);
    assert!(again.message.ends_with("was used up"), "{again}");

    let (sender, short) = channel();
    coordinator.create_join_token(1, 1, Grants::default(), move |outcome| sender.send(outcome).unwrap());
    let short = short.recv_timeout(PATIENCE).unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(5));
    let expired = join(&short, "agent-8").unwrap_err();
    assert_eq!(expired.code, SwarmCode::Unauthenticated);
    assert!(expired.message.ends_with("has expired"), "{expired}");
    assert_eq!((counted(&coordinator, "bad_token"), counted(&coordinator, "enrolled")), (4, 1));
    drop(identity);
    close(&coordinator);
}

#[test]
fn an_id_that_is_somebodys_is_refused_without_taking_a_use() {
    let authority = authority();
    let coordinator = open(&authority);
    authority.issue(&IssueRequest::new("agent-7", Role::Agent)).unwrap();
    let (sender, revoked) = channel();
    coordinator.revoke("banned", "stolen", move |outcome| sender.send(outcome).unwrap());
    revoked.recv_timeout(PATIENCE).unwrap().unwrap();
    let token = token(&coordinator, 1);
    for (id, why) in [
        ("agent-7", "has a certificate that is valid"),
        (coordinator.id(), "is not given to any agent"),
        ("banned", "is not given to any agent"),
    ] {
        let taken = join(&token, id).unwrap_err();
        assert!(taken.code == SwarmCode::Forbidden && taken.message.contains(why), "{taken}");
    }
    assert_eq!(code(join(&token, "no/id")), SwarmCode::InvalidArgument);
    authority.revoke("agent-7", Some("replaced")).unwrap();
    let identity = join(&token, "agent-7").unwrap();
    close_agent(&connect(coordinator.address(), identity, &["echo"], echo).unwrap().agent);
    close(&coordinator);
}

#[test]
fn tokens_need_an_authority_and_an_endpoint() {
    let authority = authority();
    let (without, _told) = start(CoordinatorConfig::default());
    let error = make_token(&without, 1, Grants::default()).unwrap_err();
    assert!(error.code == SwarmCode::Forbidden && error.message.contains("`authority`"), "{error}");
    close(&without);
    let closed = CoordinatorConfig { enroll_listen: None, ..config(&authority) };
    let (closed, _told) = start(closed);
    assert_eq!(closed.enroll_address(), None);
    let error = make_token(&closed, 1, Grants::default()).unwrap_err();
    assert!(error.code == SwarmCode::Forbidden && error.message.contains("`enrollListen`"), "{error}");
    close(&closed);
    let error = make_token(&closed, 1, Grants::default()).unwrap_err();
    assert_eq!(error.code, SwarmCode::Closed);

    let nobody = CoordinatorConfig { authority: None, ..config(&authority) };
    let (sender, started) = channel();
    Coordinator::start(nobody, Arc::new(|_| {}), move |outcome| sender.send(outcome.map(drop)).unwrap());
    let error = started.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(error.code == SwarmCode::InvalidArgument && error.message.contains("enrollListen"), "{error}");
}

#[test]
fn tokens_outlive_the_coordinator_and_its_end_frees_the_port() {
    let place = Place::new("restart");
    let coordinator = open(&place.open());
    let address = coordinator.enroll_address().unwrap().to_owned();
    let token = token(&coordinator, 2);
    join(&token, "agent-1").unwrap();
    close(&coordinator);
    let gone = join(&token, "agent-2").unwrap_err();
    assert_eq!(gone.code, SwarmCode::Connection, "{gone}");

    let again = CoordinatorConfig { enroll_listen: Some(address), ..config(&place.open()) };
    let (coordinator, _told) = start(again);
    join(&token, "agent-2").unwrap();
    assert_eq!(code(join(&token, "agent-3")), SwarmCode::Unauthenticated);
    close(&coordinator);
}

#[test]
fn the_endpoint_follows_the_coordinators_identity() {
    let authority = authority();
    let coordinator = open(&authority);
    let token = token(&coordinator, 2);
    join(&token, "agent-1").unwrap();
    let next = authority.issue(&IssueRequest::new(coordinator.id(), Role::Coordinator)).unwrap().identity;
    coordinator.rotate_identity(&next).unwrap();
    let presented = hostile::handshake(&coordinator);
    assert_eq!(presented[0], next.chain()[0]);
    join(&token, "agent-2").unwrap();
    close(&coordinator);
}

/// As many as there may be, and what a program learns that makes one after the other.
#[test]
fn there_are_only_so_many_tokens() {
    let authority = authority();
    let coordinator = open(&authority);
    let grants = Grants::default();
    let request = TokenRequest { address: "h:1", ttl_ms: HOUR_MS, uses: 1, grants: &grants };
    for _ in 0..999 {
        authority.create_token(&request).unwrap();
    }
    let last = token(&coordinator, 1);
    let error = make_token(&coordinator, 1, Grants::default()).unwrap_err();
    assert_eq!(error.code, SwarmCode::Overloaded, "{error}");
    join(&last, "agent-1").unwrap();
    token(&coordinator, 1);
    close(&coordinator);
}

/// While a root is replaced: the coordinator is still of the old one, its authority is the new one.
#[test]
fn nobody_is_given_a_token_that_could_not_be_believed() {
    let (old, new) = (authority(), authority());
    let both = format!("{}{}", old.certificate(), new.certificate());
    let of_old = old.issue(&IssueRequest::new("boss", Role::Coordinator)).unwrap().identity;
    let of_old = Identity::parse(of_old.certificate(), of_old.private_key(), &both).unwrap();
    new.adopt(&old).unwrap();
    let (coordinator, _told) = start(CoordinatorConfig { identity: Some(of_old), ..config(&new) });
    let error = make_token(&coordinator, 1, Grants::default()).unwrap_err();
    assert!(error.code == SwarmCode::Forbidden && error.message.contains("rotateIdentity"), "{error}");
    let of_new = new.issue(&IssueRequest::new("boss", Role::Coordinator)).unwrap().identity;
    let of_new = Identity::parse(of_new.certificate(), of_new.private_key(), &both).unwrap();
    coordinator.rotate_identity(&of_new).unwrap();
    let identity = join(&token(&coordinator, 1), "agent-1").unwrap();
    // It trusts both, as everybody does meanwhile.
    assert_eq!(identity.ca().matches("BEGIN CERTIFICATE").count(), 2);
    close_agent(&connect(coordinator.address(), identity, &["echo"], echo).unwrap().agent);
    close(&coordinator);
}

#[test]
fn the_address_that_is_given_wins_over_the_one_in_the_token() {
    let place = Place::new("address");
    let (one, other) = (open(&place.open()), open(&place.open()));
    let token = token(&one, 2);
    join_at(other.enroll_address(), &token, "agent-1").unwrap();
    assert_eq!((counted(&one, "enrolled"), counted(&other, "enrolled")), (0, 1));
    // Where tasks are given out, and where nobody is.
    let wrong = join_at(Some(one.address()), &token, "agent-2").unwrap_err();
    assert_eq!(wrong.code, SwarmCode::Protocol, "{wrong}");
    close(&other);
    let begin = Instant::now();
    let nobody = join_at(other.enroll_address(), &token, "agent-2").unwrap_err();
    assert!(nobody.code == SwarmCode::Connection && begin.elapsed() < PATIENCE, "{nobody}");
    close(&one);
}

#[test]
fn an_enrolment_can_be_aborted() {
    // Somebody who never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let coordinator = open(&authority());
    let (sender, outcome) = channel();
    let address = Some(silent.local_addr().unwrap().to_string());
    let config = EnrolConfig { address, token: token(&coordinator, 1), agent_id: "a".to_owned() };
    let enrolling = enrol(config, move |outcome| sender.send(outcome).unwrap()).unwrap();
    enrolling.abort();
    enrolling.abort();
    let aborted = outcome.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(aborted.code, SwarmCode::Aborted);
    close(&coordinator);
}
