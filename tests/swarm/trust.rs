//! Whom a coordinator believes, and for how long: revocation, expiry, grants and renewal over real QUIC on loopback.

use crate::live::{
    PATIENCE, TestAgent, close, close_agent, connect, connect_as, echo, start, submit, task, worker,
};
use bytes::Bytes;
use midstreamer::security::{AuthorityOptions, CertificateAuthority, Grants, Identity, IssueRequest, Role};
use midstreamer::swarm::agent::{AgentConfig, AgentEvent};
use midstreamer::swarm::coordinator::{CoordinatorConfig, CoordinatorEvent};
use midstreamer::swarm::{Coordinator, IdentityListener, SwarmCode, SwarmError};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The directory of an authority, removed at the end of its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("midstreamer-trust-{name}-{}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        drop(fs::remove_dir_all(&place.0));
        place
    }

    /// As another process would open it.
    fn open(&self) -> Arc<CertificateAuthority> {
        open(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn open(directory: &Path) -> Arc<CertificateAuthority> {
    let options = AuthorityOptions { name: Some("test"), ..AuthorityOptions::default() };
    Arc::new(CertificateAuthority::open(directory, &options).unwrap())
}

fn agent(authority: &CertificateAuthority, id: &str, grants: Grants) -> Identity {
    authority.issue(&IssueRequest { grants, ..IssueRequest::new(id, Role::Agent) }).unwrap().identity
}

fn short_lived(authority: &CertificateAuthority, id: &str, role: Role, valid_ms: u64) -> Identity {
    let request = IssueRequest { valid_ms: Some(valid_ms), ..IssueRequest::new(id, role) };
    authority.issue(&request).unwrap().identity
}

fn with(authority: &Arc<CertificateAuthority>) -> CoordinatorConfig {
    CoordinatorConfig { authority: Some(authority.clone()), ..CoordinatorConfig::default() }
}

/// The error with which an agent ends.
fn ended(agent: &TestAgent) -> SwarmError {
    loop {
        match agent.events.recv_timeout(PATIENCE).unwrap() {
            AgentEvent::Closed(error) => return error.unwrap(),
            _ => continue,
        }
    }
}

fn works(coordinator: &Coordinator, by: &str) {
    let result = submit(coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(&*result.agent, by);
}

fn refused(coordinator: &Coordinator, identity: Identity) -> SwarmError {
    connect(coordinator.address(), identity, &[], echo).err().unwrap()
}

#[test]
fn a_revocation_reaches_who_is_connected_and_outlives_the_coordinator() {
    let place = Place::new("revocation");
    let (here, elsewhere) = (place.open(), place.open());
    let (coordinator, told) = start(with(&here));
    let identities: Vec<_> =
        ["a", "b", "c"].iter().map(|id| agent(&elsewhere, id, Grants::default())).collect();
    let agents: Vec<_> = identities
        .iter()
        .map(|identity| connect(coordinator.address(), identity.clone(), &["echo"], echo).unwrap())
        .collect();

    // By another process, once by id and once by the number of the certificate.
    elsewhere.revoke("a", Some("lost laptop")).unwrap();
    let error = ended(&agents[0]);
    assert_eq!(
        (error.code, error.message.contains("revoked")),
        (SwarmCode::Unauthenticated, true),
        "{error:?}"
    );
    elsewhere.revoke(identities[1].peer().serial.as_str(), None).unwrap();
    assert_eq!(ended(&agents[1]).code, SwarmCode::Unauthenticated);
    let left = told.iter().filter_map(|event| match event {
        CoordinatorEvent::AgentLeft { agent, reason } => Some((agent.id.to_string(), reason)),
        _ => None,
    });
    let left: Vec<_> = left.take(2).collect();
    let why = "the certificate was revoked".to_owned();
    assert_eq!(left, [("a".to_owned(), why.clone()), ("b".to_owned(), why)]);
    works(&coordinator, "c");
    for identity in &identities[..2] {
        assert_eq!(refused(&coordinator, identity.clone()).code, SwarmCode::Unauthenticated);
    }
    // What is issued after a revocation is not concerned by it.
    let again = agent(&elsewhere, "a", Grants::default());
    close_agent(&connect(coordinator.address(), again, &[], echo).unwrap().agent);
    agents.iter().for_each(|agent| close_agent(&agent.agent));
    close(&coordinator);

    let (coordinator, _told) = start(with(&place.open()));
    for identity in &identities[..2] {
        assert_eq!(refused(&coordinator, identity.clone()).code, SwarmCode::Unauthenticated);
    }
    close_agent(&connect(coordinator.address(), identities[2].clone(), &[], echo).unwrap().agent);
    close(&coordinator);
}

#[test]
fn dropping_an_agent_takes_back_what_the_authority_gave_it() {
    let place = Place::new("drop");
    let authority = place.open();
    let (coordinator, _told) = start(with(&authority));
    let a = connect(coordinator.address(), agent(&authority, "a", Grants::default()), &[], echo).unwrap();
    let (sender, done) = channel();
    coordinator.revoke("a", "gone", move |outcome| sender.send(outcome).unwrap());
    done.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(ended(&a).code, SwarmCode::Unauthenticated);
    let register = place.open().list().unwrap();
    let entry = register.iter().find(|issued| issued.id == "a").unwrap();
    assert_eq!(entry.revoked.as_ref().and_then(|revoked| revoked.reason.as_deref()), Some("gone"));
    close(&coordinator);
}

#[test]
fn a_session_ends_with_its_certificate() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let identity = authority.issue(&IssueRequest::new("desk", Role::Coordinator)).unwrap().identity;
    // No authority, so nothing is renewed.
    let config = CoordinatorConfig { identity: Some(identity), ..CoordinatorConfig::default() };
    let (coordinator, _told) = start(config);
    let short = short_lived(&authority, "short", Role::Agent, 8_000);
    let end = short.peer().not_after;
    let short = connect(coordinator.address(), short, &[], echo).unwrap();
    let long = connect(coordinator.address(), agent(&authority, "long", Grants::default()), &["echo"], echo)
        .unwrap();
    let error = ended(&short);
    assert_eq!(
        (error.code, error.message.contains("expired")),
        (SwarmCode::Unauthenticated, true),
        "{error:?}"
    );
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    assert!(now > u128::from(end), "not before its last second was over");
    works(&coordinator, "long");
    close_agent(&long.agent);
    close(&coordinator);
}

fn list(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn an_agent_is_given_what_it_was_granted_and_nothing_else() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let (coordinator, told) = start(with(&authority));
    let typed = Grants { agent_types: list(&["pattern-matcher"]), ..Grants::default() };
    let error = refused(&coordinator, agent(&authority, "typed", typed));
    assert_eq!(error.code, SwarmCode::Forbidden, "{error:?}");
    assert!(error.message.contains("\"worker\""), "{error:?}");

    let grants = Grants { kinds: list(&["echo"]), topics: list(&["prices"]), ..Grants::default() };
    let some = agent(&authority, "some", grants);
    let some = connect(coordinator.address(), some, &["echo", "secret"], echo).unwrap();
    works(&coordinator, "some");
    // It offers the kind, and is not given the task: also not one that is built in.
    let secret = submit(&coordinator, task("secret", b"x"));
    let built_in = submit(&coordinator, task("dtw", b"x"));
    assert!(secret.recv_timeout(Duration::from_millis(500)).is_err());
    assert!(built_in.try_recv().is_err());
    // A change of its offer does not help.
    some.agent.handle("other");
    assert!(submit(&coordinator, task("other", b"x")).recv_timeout(Duration::from_millis(300)).is_err());

    coordinator.subscribe("prices");
    coordinator.subscribe("orders");
    let publish = |topic: &str| {
        let (sender, done) = channel();
        some.agent.publish(topic, Bytes::from_static(b"1"), move |outcome| sender.send(outcome).unwrap());
        done.recv_timeout(PATIENCE).unwrap()
    };
    publish("prices").unwrap();
    let error = publish("orders").unwrap_err();
    assert_eq!((error.code, error.message.contains("\"orders\"")), (SwarmCode::Forbidden, true), "{error:?}");
    some.agent.subscribe("orders");
    let refused = some.events.iter().find_map(|event| match event {
        AgentEvent::SubscriptionRefused { topic, code, .. } => Some((topic, code)),
        _ => None,
    });
    assert_eq!(refused, Some(("orders".to_owned(), SwarmCode::Forbidden)));
    let messages = told.try_iter().filter(|event| matches!(event, CoordinatorEvent::Message { .. }));
    assert_eq!(messages.count(), 1);

    // Somebody who may.
    let all = connect(coordinator.address(), agent(&authority, "all", Grants::default()), &["secret"], echo)
        .unwrap();
    assert_eq!(&*secret.recv_timeout(PATIENCE).unwrap().unwrap().agent, "all");
    close_agent(&some.agent);
    close_agent(&all.agent);
    close(&coordinator);
}

#[test]
fn a_certificate_that_is_not_in_the_register_is_refused() {
    let place = Place::new("register");
    let authority = place.open();
    let known = agent(&authority, "known", Grants::default());
    let register = place.0.join("register.json");
    let before = fs::read(&register).unwrap();
    // Signed with the authority's key, and not by way of its register.
    let forged = agent(&authority, "forged", Grants::default());
    fs::write(&register, before).unwrap();
    let (coordinator, _told) = start(with(&authority));
    let error = refused(&coordinator, forged);
    assert_eq!(error.code, SwarmCode::Unauthenticated, "{error:?}");
    close_agent(&connect(coordinator.address(), known, &[], echo).unwrap().agent);
    // One that was issued a moment ago, by another process, is known at once.
    for i in 0..5 {
        let new = agent(&place.open(), &format!("new-{i}"), Grants::default());
        close_agent(&connect(coordinator.address(), new, &[], echo).unwrap().agent);
    }
    // A register that cannot be read: what was known still counts, and an operator sees it.
    let known = agent(&authority, "later", Grants::default());
    close_agent(&connect(coordinator.address(), known.clone(), &[], echo).unwrap().agent);
    fs::write(&register, b"{").unwrap();
    let until = Instant::now() + PATIENCE;
    while !coordinator.metrics().contains("midstreamer_register_failing 1") {
        assert!(Instant::now() < until, "{}", coordinator.metrics());
        sleep(Duration::from_millis(20));
    }
    close_agent(&connect(coordinator.address(), known, &[], echo).unwrap().agent);
    close(&coordinator);
}

#[test]
fn identity_and_authority_have_to_belong_together() {
    let (a, b) =
        (CertificateAuthority::in_memory("test").unwrap(), CertificateAuthority::in_memory("test").unwrap());
    let (a, b) = (Arc::new(a), Arc::new(b));
    let identity = a.issue(&IssueRequest::new("desk", Role::Coordinator)).unwrap().identity;
    let start = |identity: &Identity, authority: &Arc<CertificateAuthority>| {
        let (sender, started) = channel();
        let config = CoordinatorConfig { identity: Some(identity.clone()), ..with(authority) };
        Coordinator::start(config, Arc::new(|_| ()), move |outcome| sender.send(outcome).unwrap());
        started.recv_timeout(PATIENCE).unwrap()
    };
    let error = start(&identity, &b).err().unwrap();
    assert_eq!(error.code, SwarmCode::InvalidArgument, "{error:?}");
    a.revoke("desk", None).unwrap();
    let error = start(&identity, &a).err().unwrap();
    assert_eq!(error.code, SwarmCode::Forbidden, "{error:?}");
}

/// Waits until the certificate has ended, and a moment longer.
fn over(identity: &Identity) {
    let now = || u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    while !identity.peer().expired(now()) {
        sleep(Duration::from_millis(50));
    }
    sleep(Duration::from_millis(1_000));
}

/// A listener that says what it was given, and whether it keeps it.
fn keeper(keeps: impl Fn(usize) -> bool + Send + Sync + 'static) -> (IdentityListener, Receiver<Identity>) {
    let (sender, given) = channel();
    let state = Mutex::new((sender, 0));
    let listener: IdentityListener = Arc::new(move |identity, kept| {
        let mut state = state.lock().unwrap();
        state.1 += 1;
        // Nobody looks any more at the end of a test.
        drop(state.0.send(identity.clone()));
        kept(if keeps(state.1) { Ok(()) } else { Err("the disk is full".to_owned()) });
    });
    (listener, given)
}

#[test]
fn an_identity_is_renewed_over_the_connection_and_kept_before_it_counts() {
    let place = Place::new("renewal");
    let authority = place.open();
    let (coordinator, told) = start(with(&authority));
    let grants = Grants { kinds: list(&["echo"]), ..Grants::default() };
    let request = IssueRequest { grants, valid_ms: Some(12_000), ..IssueRequest::new("a", Role::Agent) };
    let first = authority.issue(&request).unwrap().identity;
    // The first attempt to keep it fails.
    let (listener, given) = keeper(|attempt| attempt > 1);
    let config = AgentConfig {
        on_identity: Some(listener),
        ..worker(coordinator.address(), first.clone(), &["echo", "secret"])
    };
    let a = connect_as(config, echo).unwrap();
    let (unkept, second) = (given.recv_timeout(PATIENCE).unwrap(), given.recv_timeout(PATIENCE).unwrap());
    assert_eq!(unkept.peer(), second.peer(), "what could not be kept is offered again, not made again");
    assert_eq!(second.peer().name, first.peer().name);
    assert_ne!(second.private_key(), first.private_key());
    let day = 24 * 60 * 60 * 1000;
    let life = second.peer().not_after - first.peer().not_after;
    assert!((day - 10_000..=day).contains(&life), "{life}");

    // The first one is over, and the session goes on, with the grants that it had.
    over(&first);
    works(&coordinator, "a");
    assert!(submit(&coordinator, task("secret", b"x")).recv_timeout(Duration::from_millis(300)).is_err());
    let left = |event: &CoordinatorEvent| matches!(event, CoordinatorEvent::AgentLeft { .. });
    assert!(!told.try_iter().any(|event| left(&event)), "it was never disconnected");
    assert_eq!(refused(&coordinator, first).code, SwarmCode::Unauthenticated);

    // A process that was given what was kept gets in; and the new certificate can be taken back.
    close_agent(&a.agent);
    let kept = Identity::parse(second.certificate(), second.private_key(), second.ca()).unwrap();
    let again = connect(coordinator.address(), kept, &["echo"], echo).unwrap();
    works(&coordinator, "a");
    authority.revoke(second.peer().serial.as_str(), None).unwrap();
    assert_eq!(ended(&again).code, SwarmCode::Unauthenticated);
    close(&coordinator);
}

#[test]
fn an_agent_dials_again_with_what_it_was_renewed_to() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let identity = authority.issue(&IssueRequest::new("desk", Role::Coordinator)).unwrap().identity;
    let config = CoordinatorConfig { identity: Some(identity.clone()), ..with(&authority) };
    let (coordinator, _told) = start(config);
    let address = coordinator.address().to_owned();
    let first = short_lived(&authority, "a", Role::Agent, 12_000);
    let (listener, given) = keeper(|_| true);
    let config = AgentConfig { on_identity: Some(listener), ..worker(&address, first.clone(), &["echo"]) };
    let a = connect_as(config, echo).unwrap();
    let second = given.recv_timeout(PATIENCE).unwrap();
    // The coordinator goes and comes back after the end of the first certificate.
    close(&coordinator);
    over(&first);
    let config = CoordinatorConfig { listen: address, identity: Some(identity), ..with(&authority) };
    let (coordinator, _told) = start(config);
    works(&coordinator, "a");
    authority.revoke(second.peer().serial.as_str(), None).unwrap();
    assert_eq!(ended(&a).code, SwarmCode::Unauthenticated);
    close(&coordinator);
}

#[test]
fn an_identity_that_is_kept_after_a_reconnection_counts() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let desk = authority.issue(&IssueRequest::new("desk", Role::Coordinator)).unwrap().identity;
    let config = || CoordinatorConfig { identity: Some(desk.clone()), ..with(&authority) };
    let (coordinator, _told) = start(config());
    let address = coordinator.address().to_owned();
    // The application takes its time: until the test says so.
    let (sender, asked) = channel();
    let sender = Mutex::new(sender);
    let listener: IdentityListener =
        Arc::new(move |identity, kept| sender.lock().unwrap().send((identity.clone(), kept)).unwrap());
    let first = short_lived(&authority, "a", Role::Agent, 12_000);
    let config_a = AgentConfig { on_identity: Some(listener), ..worker(&address, first.clone(), &["echo"]) };
    let a = connect_as(config_a, echo).unwrap();
    let (second, kept) = asked.recv_timeout(PATIENCE).unwrap();
    // The connection for which it was signed goes; the next one begins under the old one.
    close(&coordinator);
    let (coordinator, _told) = start(CoordinatorConfig { listen: address, ..config() });
    works(&coordinator, "a");
    kept(Ok(()));
    sleep(Duration::from_millis(500));
    works(&coordinator, "a");
    // Its session ends with the old one, and it comes back by itself with the new one.
    over(&first);
    works(&coordinator, "a");
    assert!(asked.try_recv().is_err(), "the application was asked once");
    authority.revoke(second.peer().serial.as_str(), None).unwrap();
    assert_eq!(ended(&a).code, SwarmCode::Unauthenticated);
    close(&coordinator);
}

#[test]
fn taking_back_a_certificate_takes_back_what_it_was_renewed_into() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let (coordinator, _told) = start(with(&authority));
    let first = short_lived(&authority, "a", Role::Agent, 12_000);
    let (listener, given) = keeper(|_| true);
    let config = AgentConfig {
        on_identity: Some(listener),
        ..worker(coordinator.address(), first.clone(), &["echo"])
    };
    let a = connect_as(config, echo).unwrap();
    let second = given.recv_timeout(PATIENCE).unwrap();
    // Somebody who had the first one may have made the second.
    authority.revoke(first.peer().serial.as_str(), Some("stolen")).unwrap();
    assert_eq!(ended(&a).code, SwarmCode::Unauthenticated);
    assert_eq!(refused(&coordinator, second).code, SwarmCode::Unauthenticated);
    close(&coordinator);
}

#[test]
fn what_the_program_puts_in_its_place_is_not_undone_by_a_renewal() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let first = short_lived(&authority, "desk", Role::Coordinator, 10_000);
    let (sender, asked) = channel();
    let sender = Mutex::new(sender);
    // Nobody looks any more at the end of the test.
    let listener: IdentityListener =
        Arc::new(move |identity, kept| drop(sender.lock().unwrap().send((identity.clone(), kept))));
    let config = CoordinatorConfig { identity: Some(first), on_identity: Some(listener), ..with(&authority) };
    let (coordinator, _told) = start(config);
    let (_renewed, kept) = asked.recv_timeout(PATIENCE).unwrap();
    let chosen = short_lived(&authority, "desk", Role::Coordinator, 3_600_000);
    coordinator.rotate_identity(&chosen).unwrap();
    kept(Ok(()));
    sleep(Duration::from_millis(500));
    let ends = format!("midstreamer_identity_not_after_seconds {}", chosen.peer().not_after / 1000);
    assert!(coordinator.metrics().contains(&ends), "{}", coordinator.metrics());
    close(&coordinator);
}

#[test]
fn a_disk_that_does_not_answer_turns_nobody_away_for_good() {
    let place = Place::new("unreadable");
    let authority = place.open();
    let (coordinator, _told) = start(with(&authority));
    let register = place.0.join("register.json");
    let good = fs::read(&register).unwrap();
    fs::write(&register, b"{").unwrap();
    let later = agent_of_an_unread_register(&place, &good);
    let address = coordinator.address().to_owned();
    let connecting = std::thread::spawn(move || {
        let config = AgentConfig { connect_timeout_ms: 20_000, ..worker(&address, later, &["echo"]) };
        connect_as(config, echo).map(|agent| close_agent(&agent.agent)).map_err(|error| error.code)
    });
    sleep(Duration::from_millis(1_500));
    assert!(!connecting.is_finished(), "it is not refused, it tries again");
    let whole = fs::read(place.0.join("register.whole")).unwrap();
    fs::write(&register, whole).unwrap();
    assert_eq!(connecting.join().unwrap(), Ok(()));
    close(&coordinator);
}

/// Issues to somebody in a copy of the authority, so that nobody reads of it before the register is put in place.
fn agent_of_an_unread_register(place: &Place, good: &[u8]) -> Identity {
    let copy = Place::new("unreadable-copy");
    // So that both files are there, and for nobody else.
    drop(agent(&copy.open(), "nobody", Grants::default()));
    fs::write(copy.0.join("authority.json"), fs::read(place.0.join("authority.json")).unwrap()).unwrap();
    fs::write(copy.0.join("register.json"), good).unwrap();
    let identity = agent(&copy.open(), "later", Grants::default());
    fs::copy(copy.0.join("register.json"), place.0.join("register.whole")).unwrap();
    identity
}

#[test]
fn a_revocation_that_is_not_possible_does_nothing() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let (coordinator, _told) = start(with(&authority));
    let a =
        connect(coordinator.address(), agent(&authority, "a", Grants::default()), &["echo"], echo).unwrap();
    let revoke = |id: &str, reason: &str| {
        let (sender, done) = channel();
        coordinator.revoke(id, reason, move |outcome| sender.send(outcome).unwrap());
        done.recv_timeout(PATIENCE).unwrap().map_err(|error| error.code)
    };
    assert_eq!(revoke("a", &"x".repeat(1025)), Err(SwarmCode::InvalidArgument));
    assert_eq!(revoke("coordinator", ""), Err(SwarmCode::InvalidArgument));
    works(&coordinator, "a");
    close_agent(&a.agent);
    close(&coordinator);
}

#[test]
fn a_coordinator_renews_itself() {
    let authority = Arc::new(CertificateAuthority::in_memory("test").unwrap());
    let identity = short_lived(&authority, "desk", Role::Coordinator, 10_000);
    let (listener, given) = keeper(|attempt| attempt > 1);
    let config = CoordinatorConfig {
        identity: Some(identity.clone()),
        on_identity: Some(listener),
        ..with(&authority)
    };
    let (coordinator, _told) = start(config);
    let a =
        connect(coordinator.address(), agent(&authority, "a", Grants::default()), &["echo"], echo).unwrap();
    let (unkept, renewed) = (given.recv_timeout(PATIENCE).unwrap(), given.recv_timeout(PATIENCE).unwrap());
    assert_eq!(unkept.peer(), renewed.peer());
    assert_eq!((renewed.peer().name.id(), renewed.peer().name.role()), ("desk", Role::Coordinator));
    over(&identity);
    // The old certificate is over: who comes now sees the new one. Who was there has noticed nothing.
    let b = connect(coordinator.address(), agent(&authority, "b", Grants::default()), &[], echo).unwrap();
    works(&coordinator, "a");
    assert!(a.events.try_iter().all(|event| !matches!(event, AgentEvent::Disconnected { .. })));
    close_agent(&a.agent);
    close_agent(&b.agent);
    close(&coordinator);
}

#[test]
fn roots_rotate_with_overlap() {
    let (old, new) = (Place::new("root-old"), Place::new("root-new"));
    let (old, new) = (old.open(), new.open());
    let desk = |authority: &CertificateAuthority, roots: &[&CertificateAuthority]| {
        let identity = authority.issue(&IssueRequest::new("desk", Role::Coordinator)).unwrap().identity;
        let roots: String = roots.iter().map(|root| root.certificate()).collect();
        Identity::parse(identity.certificate(), identity.private_key(), &roots).unwrap()
    };
    let config = CoordinatorConfig { identity: Some(desk(&old, &[&old])), ..with(&old) };
    let (coordinator, _told) = start(config);
    let address = coordinator.address().to_owned();
    let kinds = Grants { kinds: list(&["echo"]), ..Grants::default() };
    let request =
        IssueRequest { grants: kinds, valid_ms: Some(12_000), ..IssueRequest::new("a", Role::Agent) };
    let (listener, given) = keeper(|_| true);
    let identity = old.issue(&request).unwrap().identity;
    let config =
        AgentConfig { on_identity: Some(listener), ..worker(&address, identity, &["echo", "secret"]) };
    let a = connect_as(config, echo).unwrap();
    // One that is not there during the change, and never hears of the new root.
    let away = agent(&old, "away", Grants::default());

    // 1. Trust both; agents learn of the new root when they are renewed.
    coordinator.rotate_identity(&desk(&old, &[&old, &new])).unwrap();
    let renewed = given.recv_timeout(PATIENCE).unwrap();
    assert!(
        renewed.ca().contains(old.certificate().trim()) && renewed.ca().contains(new.certificate().trim())
    );
    sleep(Duration::from_millis(500));
    close(&coordinator);

    // 2. Issue from the new one, which knows what the old one issued.
    assert!(new.adopt(&old).unwrap() > 0);
    let config = CoordinatorConfig {
        listen: address.clone(),
        identity: Some(desk(&new, &[&old, &new])),
        ..with(&new)
    };
    let (coordinator, _told) = start(config);
    works(&coordinator, "a");
    assert!(submit(&coordinator, task("secret", b"x")).recv_timeout(Duration::from_millis(300)).is_err());
    let error = refused(&coordinator, away.clone());
    assert_eq!(error.code, SwarmCode::Unauthenticated, "it does not know the new root: {error:?}");

    // 3. Drop the old one: what it issued is over for new connections, those at hand stay.
    let fresh = agent(&new, "fresh", Grants::default());
    coordinator.rotate_identity(&desk(&new, &[&new])).unwrap();
    close_agent(&connect(&address, fresh, &[], echo).unwrap().agent);
    let both = Identity::parse(renewed.certificate(), renewed.private_key(), renewed.ca()).unwrap();
    assert_eq!(refused(&coordinator, both).code, SwarmCode::Unauthenticated);
    works(&coordinator, "a");
    close_agent(&a.agent);
    close(&coordinator);
}
