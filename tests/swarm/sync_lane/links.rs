//! Links that work, and how they end.

use super::engine::{Control, Node, until};
use crate::live::{PATIENCE, close, close_agent, connect, echo, start, submit, task};
use midstreamer::protocol::messages::Code;
use midstreamer::security::{AuthorityOptions, CertificateAuthority, Grants, Identity, IssueRequest, Role};
use midstreamer::swarm::SwarmCode;
use midstreamer::swarm::coordinator::CoordinatorConfig;
use midstreamer::swarm::sync::LinkEvent;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

fn relaying(control: &Arc<Control>) -> CoordinatorConfig {
    CoordinatorConfig { relay: Some(control.opener()), ..CoordinatorConfig::default() }
}

#[test]
fn messages_go_through_the_relay_in_order_whatever_their_length() {
    let control = Arc::new(Control::default());
    let (coordinator, _told) = start(relaying(&control));
    let agent = |id: &str| {
        let identity = coordinator.development_identity(id).unwrap();
        connect(coordinator.address(), identity, &["echo"], echo).unwrap()
    };
    let (a, b) = (agent("a"), agent("b"));
    assert_eq!(control.get(|state| state.opened), 0, "nobody wants it yet");
    let (mut one, mut two) = (Node::new("memory"), Node::new("memory"));
    one.links.attach(&a.agent).unwrap();
    let (link, peer, relay) = one.up();
    assert_eq!((peer.as_str(), relay), ("coordinator", true));
    two.links.attach(&b.agent).unwrap();
    let (other, ..) = two.up();

    let lengths = [1, 5, 4096, 4097, 65_536, 65_537, 200_000, (256 << 10) - 5];
    for (at, &length) in lengths.iter().enumerate() {
        one.links.send(link, vec![at as u8; length]).unwrap();
    }
    for (at, &length) in lengths.iter().enumerate() {
        let echoed = one.message(link);
        assert_eq!((&echoed[..5], echoed.len()), (&b"echo:"[..], length + 5));
        let passed_on = two.message(other);
        assert_eq!((&passed_on[..2], passed_on.len()), (&b"a:"[..], length + 2));
        assert!(passed_on[2..].iter().all(|&byte| byte == at as u8));
    }
    // Whose event loop takes everything at once.
    for at in 0..5_000_u32 {
        two.links.send(other, at.to_le_bytes().to_vec()).unwrap();
    }
    for at in 0..5_000_u32 {
        assert_eq!(one.message(link), [&b"b:"[..], &at.to_le_bytes()].concat());
    }
    for (length, code) in [(0, SwarmCode::InvalidArgument), ((256 << 10) + 1, SwarmCode::TooLarge)] {
        assert_eq!(one.links.send(link, vec![0; length]).unwrap_err().code, code);
    }
    assert_eq!(one.links.send(link + 1, vec![0]).unwrap_err().code, SwarmCode::Connection);

    let metrics = coordinator.metrics();
    let has = |line: &str| assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    has("midstreamer_sync_links{database=\"memory\"} 2");
    has(&format!("midstreamer_sync_messages_total{{direction=\"in\"}} {}", lengths.len() + 5_000));
    has(&format!("midstreamer_sync_messages_total{{direction=\"out\"}} {}", 2 * (lengths.len() + 5_000)));
    has(&format!("midstreamer_sync_commit_duration_ms_count {}", lengths.len() + 5_000));
    // Tasks have noticed nothing.
    assert!(submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().is_ok());

    // The others hear nothing of a database that is closed, and its name is free.
    one.close();
    assert!(one.links.attach(&a.agent).is_err_and(|error| error.code == SwarmCode::Closed));
    assert_eq!(one.links.send(link, vec![0]).unwrap_err().code, SwarmCode::Connection);
    let mut again = Node::new("memory");
    again.links.attach(&a.agent).unwrap();
    let (link, ..) = again.up();
    again.links.send(link, b"x".to_vec()).unwrap();
    assert_eq!(again.message(link), b"echo:x");
    until("the old link is gone", || {
        coordinator.metrics().contains("midstreamer_sync_links{database=\"memory\"} 2")
    });
    close_agent(&a.agent);
    let reason = again.down(link);
    assert!(reason.is_some(), "{reason:?}");
    let LinkEvent::Down { reason: Some(reason), .. } = again.next() else { panic!("the agent is closed") };
    assert_eq!(reason.code, SwarmCode::Closed);
    assert_eq!(again.links.attach(&a.agent).unwrap_err().code, SwarmCode::Closed);
    close_agent(&b.agent);
    close(&coordinator);
}

#[test]
fn databases_of_one_agent_do_not_mix_and_come_back_after_a_reconnection() {
    let control = Arc::new(Control::default());
    let authority = CertificateAuthority::in_memory("test").unwrap();
    let issue = |id, role| authority.issue(&IssueRequest::new(id, role)).unwrap().identity;
    let desk = issue("desk", Role::Coordinator);
    let config = || CoordinatorConfig { identity: Some(desk.clone()), ..relaying(&control) };
    let (coordinator, _told) = start(config());
    let address = coordinator.address().to_owned();
    let a = connect(&address, issue("a", Role::Agent), &["echo"], echo).unwrap();
    let (mut one, mut two) = (Node::new("one"), Node::new("two"));
    one.links.attach(&a.agent).unwrap();
    two.links.attach(&a.agent).unwrap();
    assert_eq!(Node::new("two").links.attach(&a.agent).unwrap_err().code, SwarmCode::InvalidArgument);
    let ((first, ..), (second, ..)) = (one.up(), two.up());
    one.links.send(first, b"1".to_vec()).unwrap();
    two.links.send(second, b"2".to_vec()).unwrap();
    assert_eq!((one.message(first), two.message(second)), (b"echo:1".to_vec(), b"echo:2".to_vec()));

    close(&coordinator);
    assert_eq!(one.down(first).unwrap().code, SwarmCode::Connection);
    assert_eq!(two.down(second).unwrap().code, SwarmCode::Connection);
    assert_eq!(one.links.send(first, b"1".to_vec()).unwrap_err().code, SwarmCode::Connection);
    let (coordinator, _told) = start(CoordinatorConfig { listen: address, ..config() });
    let ((third, peer, _), (fourth, ..)) = (one.up(), two.up());
    assert!(third > first && peer == "desk");
    // A link that is closed comes back after a pause, and the other one stays.
    one.links.close_link(third, Code::Closed);
    assert_eq!(one.down(third), None);
    let (fifth, ..) = one.up();
    one.links.send(fifth, b"3".to_vec()).unwrap();
    two.links.send(fourth, b"4".to_vec()).unwrap();
    assert_eq!((one.message(fifth), two.message(fourth)), (b"echo:3".to_vec(), b"echo:4".to_vec()));
    // After a final code it does not.
    one.links.close_link(fifth, Code::Protocol);
    assert_eq!(one.down(fifth), None);
    assert_eq!(one.next_within(Duration::from_millis(500)), None);
    close_agent(&a.agent);
    close(&coordinator);
}

/// The directory of an authority, removed at the end of its test.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn granted(authority: &CertificateAuthority, id: &str, databases: Option<Vec<String>>) -> Identity {
    let grants = Grants { databases, ..Grants::default() };
    authority.issue(&IssueRequest { grants, ..IssueRequest::new(id, Role::Agent) }).unwrap().identity
}

#[test]
fn a_database_that_is_not_granted_is_refused_and_one_that_is_taken_away_is_closed() {
    let name = |kind: &str| format!("midstreamer-sync-{kind}-{}", std::process::id());
    let place = Place(std::env::temp_dir().join(name("authority")));
    let data = Place(std::env::temp_dir().join(name("data")));
    let options = AuthorityOptions { name: Some("test"), ..AuthorityOptions::default() };
    let authority = Arc::new(CertificateAuthority::open(&place.0, &options).unwrap());
    let control = Arc::new(Control::default());
    let config = CoordinatorConfig {
        authority: Some(authority.clone()),
        data_dir: Some(data.0.clone()),
        ..relaying(&control)
    };
    let (coordinator, _told) = start(config);
    let identity = granted(&authority, "a", Some(vec!["granted".to_owned()]));
    let a = connect(coordinator.address(), identity, &["echo"], echo).unwrap();
    let mut refused = Node::new("secret");
    refused.links.attach(&a.agent).unwrap();
    let LinkEvent::Down { reason: Some(reason), .. } = refused.next() else { panic!("it was up") };
    assert_eq!(
        (reason.code, reason.message.contains("\"secret\"")),
        (SwarmCode::Forbidden, true),
        "{reason}"
    );
    assert_eq!(refused.next_within(Duration::from_millis(500)), None, "it is not asked for again");

    let mut node = Node::new("granted");
    node.links.attach(&a.agent).unwrap();
    let (link, ..) = node.up();
    node.links.send(link, b"x".to_vec()).unwrap();
    assert_eq!(node.message(link), b"echo:x");
    // By whoever keeps the register.
    let register = place.0.join("register.json");
    let text = fs::read_to_string(&register).unwrap();
    let taken = text.replace("\"granted\"", "\"another\"");
    assert_ne!(taken, text);
    fs::write(&register, taken).unwrap();
    let reason = node.down(link).unwrap();
    assert_eq!(reason.code, SwarmCode::Forbidden, "{reason}");
    assert_eq!(node.next_within(Duration::from_millis(500)), None);
    assert_eq!(control.get(|state| state.joined.clone()), [("a".to_owned(), "granted".to_owned())]);
    // Its tasks go on.
    assert!(submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().is_ok());
    close_agent(&a.agent);
    close(&coordinator);
    // Each once; refusals of one second may share an entry.
    let mut refusals = 0;
    for file in fs::read_dir(data.0.join("audit")).unwrap() {
        let text = String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        for entry in entries.filter(|entry| entry["action"] == "grant-refused") {
            assert_eq!(entry["detail"]["grant"], "databases", "{entry}");
            refusals += entry["detail"]["count"].as_u64().unwrap_or(1);
        }
    }
    assert_eq!(refusals, 2);
}

#[test]
fn a_store_that_fails_closes_the_links_and_nothing_else() {
    let control = Arc::new(Control::default());
    let config = CoordinatorConfig { http: Some("127.0.0.1:0".to_owned()), ..relaying(&control) };
    let (coordinator, _told) = start(config);
    let identity = coordinator.development_identity("a").unwrap();
    let a = connect(coordinator.address(), identity, &["echo"], echo).unwrap();
    let mut node = Node::new("memory");
    node.links.attach(&a.agent).unwrap();
    let (mut link, ..) = node.up();
    let failing = || coordinator.metrics().contains("\nmidstreamer_sync_relay_failing 1");
    for what in ["commit", "panic", "open"] {
        assert!(
            !failing() && ready(&coordinator).starts_with("HTTP/1.1 200"),
            "{what}: {}",
            ready(&coordinator)
        );
        control.set(|state| (state.fails, state.closed) = (what == "commit", what == "open"));
        let code = match what {
            "commit" => {
                node.links.send(link, b"x".to_vec()).unwrap();
                SwarmCode::Store
            }
            "panic" => {
                node.links.send(link, b"!panic".to_vec()).unwrap();
                SwarmCode::Connection
            }
            _ => {
                // One that fails and cannot be opened again.
                control.set(|state| state.fails = true);
                node.links.send(link, b"x".to_vec()).unwrap();
                SwarmCode::Store
            }
        };
        let reason = node.down(link).unwrap();
        assert_eq!(reason.code, code, "{what}: {reason}");
        assert!(failing() && ready(&coordinator).contains("sync relay"), "{what}: {}", ready(&coordinator));
        assert!(submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().is_ok());
        control.set(|state| (state.fails, state.closed) = (false, false));
        (link, ..) = node.up();
        node.links.send(link, b"x".to_vec()).unwrap();
        assert_eq!(node.message(link), b"echo:x", "{what}");
        until("it works again", || !failing());
    }
    assert!(control.get(|state| state.opened) >= 4);
    // A node whose message is none is told so, and not served again.
    node.links.send(link, b"!refuse".to_vec()).unwrap();
    let reason = node.down(link).unwrap();
    assert_eq!((reason.code, reason.message.as_str()), (SwarmCode::Protocol, "this is no message"));
    assert_eq!(node.next_within(Duration::from_millis(300)), None);
    let mut late = Node::new("late");
    late.links.attach(&a.agent).unwrap();
    let (link, ..) = late.up();
    late.links.send(link, b"!late".to_vec()).unwrap();
    let reason = late.down(link).unwrap();
    assert_eq!((reason.code, reason.message.as_str()), (SwarmCode::Forbidden, "this cannot be"));
    close_agent(&a.agent);
    close(&coordinator);
}

/// The answer of /readyz.
fn ready(coordinator: &midstreamer::swarm::Coordinator) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(coordinator.http_address().unwrap()).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_coordinator_without_a_relay_is_never_asked() {
    let (coordinator, _told) = start(CoordinatorConfig { relay: None, ..CoordinatorConfig::default() });
    let identity = coordinator.development_identity("a").unwrap();
    let a = connect(coordinator.address(), identity, &["echo"], echo).unwrap();
    let mut node = Node::new("memory");
    node.links.attach(&a.agent).unwrap();
    let LinkEvent::Down { reason: Some(reason), .. } = node.next() else { panic!("it was up") };
    assert_eq!(reason.code, SwarmCode::Connection, "{reason}");
    assert!(submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().is_ok());
    close_agent(&a.agent);
    close(&coordinator);
}

#[test]
fn a_relay_of_its_own_speaks_to_nodes() {
    let (coordinator, _told) = start(CoordinatorConfig::default());
    let identity = coordinator.development_identity("a").unwrap();
    let a = connect(coordinator.address(), identity, &[], echo).unwrap();
    let mut node = Node::new("memory");
    node.links.attach(&a.agent).unwrap();
    let (link, ..) = node.up();
    // Its greeting; and what is none of ours.
    assert!(!node.message(link).is_empty());
    node.links.send(link, b"this is no packet of the sync".to_vec()).unwrap();
    let reason = node.down(link).unwrap();
    assert_eq!(reason.code, SwarmCode::Protocol, "{reason}");
    close_agent(&a.agent);
    close(&coordinator);
}
