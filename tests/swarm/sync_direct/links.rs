//! Links that come about, those that do not, and those that come back.

use crate::live::PATIENCE;
use crate::sync_lane::engine::{Node, until};
use midstreamer::protocol::messages::Code;
use midstreamer::security::{CertificateAuthority, Identity, IssueRequest, Role};
use midstreamer::swarm::sync::LinkEvent;
use midstreamer::swarm::{SwarmCode, SwarmError};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub(super) fn authority() -> CertificateAuthority {
    CertificateAuthority::in_memory("test").unwrap()
}

pub(super) fn issue(authority: &CertificateAuthority, id: &str, role: Role) -> Identity {
    authority.issue(&IssueRequest::new(id, role)).unwrap().identity
}

pub(super) fn listen(node: &Node, address: &str, identity: &Identity) -> Result<String, SwarmError> {
    let (sender, done) = channel();
    node.links.listen(address, identity, move |outcome| sender.send(outcome).unwrap());
    done.recv_timeout(PATIENCE).unwrap()
}

fn connecting(node: &Node, address: &str, identity: &Identity, ms: u64) -> Receiver<Result<(), SwarmError>> {
    let (sender, done) = channel();
    node.links.connect(address, identity, ms, move |outcome| sender.send(outcome).unwrap());
    done
}

fn connect(node: &Node, address: &str, identity: &Identity) -> Result<(), SwarmError> {
    connecting(node, address, identity, 20_000).recv_timeout(PATIENCE).unwrap()
}

#[test]
fn messages_go_both_ways_in_order_whatever_their_length() {
    let authority = authority();
    let (mut hub, mut one, mut two) = (Node::new("memory"), Node::new("memory"), Node::new("memory"));
    let address = listen(&hub, "127.0.0.1:0", &issue(&authority, "hub", Role::Peer)).unwrap();
    connect(&one, &address, &issue(&authority, "one", Role::Agent)).unwrap();
    let (near, peer, relay) = one.up();
    assert_eq!((peer.as_str(), relay), ("hub", false));
    let (far, peer, relay) = hub.up();
    assert_eq!((peer.as_str(), relay), ("one", false));
    connect(&two, &address, &issue(&authority, "two", Role::Peer)).unwrap();
    let ((other, ..), (_, peer, _)) = (two.up(), hub.up());
    assert_eq!(peer, "two");

    let lengths = [1, 3, 4096, 4097, 65_537, 256 << 10];
    for (at, &length) in lengths.iter().enumerate() {
        one.links.send(near, vec![at as u8; length]).unwrap();
        hub.links.send(far, vec![at as u8; length]).unwrap();
    }
    for (at, &length) in lengths.iter().enumerate() {
        assert_eq!(hub.message(far), vec![at as u8; length]);
        assert_eq!(one.message(near), vec![at as u8; length]);
    }
    for at in 0..5_000_u32 {
        one.links.send(near, at.to_le_bytes().to_vec()).unwrap();
    }
    for at in 0..5_000_u32 {
        assert_eq!(hub.message(far), at.to_le_bytes());
    }
    // The end of one is nothing to the other.
    one.close();
    assert!(hub.down(far).is_some());
    two.links.send(other, b"still here".to_vec()).unwrap();
    assert!(matches!(hub.next(), LinkEvent::Message { bytes, .. } if bytes == b"still here"));
    hub.close();
    assert_eq!(two.down(other).unwrap().code, SwarmCode::Connection);
    two.close();
}

#[test]
fn who_is_not_of_the_swarm_or_has_another_role_is_told_so() {
    let (authority, stranger) = (authority(), authority());
    let mut hub = Node::new("memory");
    let identity = issue(&authority, "hub", Role::Peer);
    let address = listen(&hub, "127.0.0.1:0", &identity).unwrap();
    let node = Node::new("memory");
    let error = connect(&node, &address, &issue(&stranger, "one", Role::Agent)).unwrap_err();
    assert_eq!(error.code, SwarmCode::Unauthenticated, "{error}");
    assert!(error.message.contains("another authority"), "{error}");
    let error = connect(&node, &address, &issue(&authority, "desk", Role::Coordinator)).unwrap_err();
    assert_eq!(error.code, SwarmCode::Forbidden, "{error}");
    assert!(error.message.contains("role coordinator"), "{error}");
    for role in [Role::Agent, Role::Coordinator] {
        let error = listen(&node, "127.0.0.1:0", &issue(&authority, "x", role)).unwrap_err();
        assert_eq!(error.code, SwarmCode::Forbidden, "{error}");
        assert!(error.message.contains("needs the role peer"), "{error}");
    }
    // A coordinator is no node.
    let config = midstreamer::swarm::coordinator::CoordinatorConfig {
        identity: Some(issue(&authority, "desk", Role::Coordinator)),
        ..Default::default()
    };
    let (coordinator, _told) = crate::live::start(config);
    let error = connect(&node, coordinator.address(), &issue(&authority, "one", Role::Agent)).unwrap_err();
    assert_eq!(error.code, SwarmCode::Protocol, "{error}");
    crate::live::close(&coordinator);
    assert_eq!(hub.next_within(Duration::from_millis(200)), None);
    hub.close();
    node.close();
}

#[test]
fn another_database_is_refused_by_name() {
    let authority = authority();
    let hub = Node::new("memory");
    let address = listen(&hub, "127.0.0.1:0", &issue(&authority, "hub", Role::Peer)).unwrap();
    let mut node = Node::new("other");
    let error = connect(&node, &address, &issue(&authority, "one", Role::Agent)).unwrap_err();
    assert_eq!((error.code, error.message.contains("\"other\"")), (SwarmCode::NotFound, true), "{error}");
    assert_eq!(node.next_within(Duration::from_millis(200)), None);
    hub.close();
    node.close();
}

#[test]
fn what_cannot_be_is_refused_at_once_and_what_may_come_is_waited_for() {
    let authority = authority();
    let identity = issue(&authority, "hub", Role::Peer);
    let node = Node::new("memory");
    for address in ["nowhere", "", "127.0.0.1", "127.0.0.1:x"] {
        assert_eq!(
            listen(&node, address, &identity).unwrap_err().code,
            SwarmCode::InvalidArgument,
            "{address}"
        );
    }
    assert_eq!(connect(&node, "nowhere", &identity).unwrap_err().code, SwarmCode::InvalidArgument);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    // Nobody answers there.
    let begin = Instant::now();
    let error = connecting(&node, &taken, &identity, 700).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.code, SwarmCode::Connection);
    assert!(error.message.contains("700 ms") && begin.elapsed() >= Duration::from_millis(700), "{error}");
    // Closed while it dials.
    let dialling = connecting(&node, &taken, &identity, 60_000);
    node.close();
    assert_eq!(dialling.recv_timeout(PATIENCE).unwrap().unwrap_err().code, SwarmCode::Closed);
    assert_eq!(connect(&node, &taken, &identity).unwrap_err().code, SwarmCode::Closed);
    assert_eq!(listen(&node, "127.0.0.1:0", &identity).unwrap_err().code, SwarmCode::Closed);
}

#[test]
fn a_link_comes_back_with_its_listener() {
    let authority = authority();
    let identity = issue(&authority, "hub", Role::Peer);
    let mut hub = Node::new("memory");
    let address = listen(&hub, "127.0.0.1:0", &identity).unwrap();
    let mut node = Node::new("memory");
    connect(&node, &address, &issue(&authority, "one", Role::Agent)).unwrap();
    let ((near, ..), (far, ..)) = (node.up(), hub.up());
    // Closed by either side, for a while.
    node.links.close_link(near, Code::Closed);
    assert_eq!(node.down(near), None);
    assert!(hub.down(far).is_some());
    let ((near, ..), (far, ..)) = (node.up(), hub.up());
    hub.links.close_link(far, Code::Store);
    assert_eq!(hub.down(far), None);
    assert_eq!(node.down(near).unwrap().code, SwarmCode::Store);
    let ((near, ..), _) = (node.up(), hub.up());
    hub.close();
    assert_eq!(node.down(near).unwrap().code, SwarmCode::Connection);
    assert_eq!(node.links.send(near, vec![1]).unwrap_err().code, SwarmCode::Connection);

    let mut hub = Node::new("memory");
    assert_eq!(listen(&hub, &address, &identity).unwrap(), address);
    let ((near, ..), (far, ..)) = (node.up(), hub.up());
    node.links.send(near, b"again".to_vec()).unwrap();
    assert_eq!(hub.message(far), b"again");
    // For good: by the code, or because the other side has another database now.
    hub.close();
    assert!(node.down(near).is_some());
    let other = Node::new("other");
    assert_eq!(listen(&other, &address, &identity).unwrap(), address);
    let LinkEvent::Down { reason: Some(reason), .. } = node.next() else { panic!("it was up") };
    assert_eq!(reason.code, SwarmCode::NotFound, "{reason}");
    other.close();
    assert_eq!(node.next_within(Duration::from_millis(500)), None);
    node.close();
}

#[test]
fn a_node_that_connects_again_has_one_link() {
    let authority = authority();
    let mut hub = Node::new("memory");
    let address = listen(&hub, "127.0.0.1:0", &issue(&authority, "hub", Role::Peer)).unwrap();
    let identity = issue(&authority, "one", Role::Agent);
    let (mut first, mut second) = (Node::new("memory"), Node::new("memory"));
    connect(&first, &address, &identity).unwrap();
    let ((near, ..), (far, ..)) = (first.up(), hub.up());
    connect(&second, &address, &identity).unwrap();
    let _ = second.up();
    assert_eq!(first.down(near).unwrap().code, SwarmCode::SessionReplaced);
    let mut told = [hub.next(), hub.next()];
    told.sort_by_key(|event| matches!(event, LinkEvent::Up { .. }));
    assert!(matches!(&told[0], LinkEvent::Down { link, .. } if *link == far), "{told:?}");
    assert_eq!(first.next_within(Duration::from_millis(300)), None, "it does not come back");
    [hub, first, second].iter().for_each(Node::close);
}

#[test]
fn a_link_ends_with_its_certificate() {
    let authority = authority();
    let hub = Node::new("memory");
    let address = listen(&hub, "127.0.0.1:0", &issue(&authority, "hub", Role::Peer)).unwrap();
    let request = IssueRequest { valid_ms: Some(4_000), ..IssueRequest::new("one", Role::Agent) };
    let short = authority.issue(&request).unwrap().identity;
    let mut node = Node::new("memory");
    connect(&node, &address, &short).unwrap();
    let (near, ..) = node.up();
    let reason = node.down(near).unwrap();
    assert_eq!(
        (reason.code, reason.message.contains("expired")),
        (SwarmCode::Unauthenticated, true),
        "{reason}"
    );
    assert!(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() > u128::from(short.peer().not_after));
    hub.close();
    node.close();
}

#[test]
fn a_program_that_takes_nothing_stops_its_peer() {
    let authority = authority();
    let mut hub = Node::new("memory");
    let address = listen(&hub, "127.0.0.1:0", &issue(&authority, "hub", Role::Peer)).unwrap();
    let mut node = Node::new("memory");
    connect(&node, &address, &issue(&authority, "one", Role::Agent)).unwrap();
    let ((near, ..), (far, ..)) = (node.up(), hub.up());
    // Up to what may wait on both sides, and then it is too much.
    let mut sent = 0;
    let end = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < end, "{sent} messages");
        match node.links.send(near, vec![7; 256 << 10]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, SwarmCode::Overloaded);
    assert!((64..=700).contains(&sent), "{sent} messages of 256 KiB");
    assert_eq!(node.down(near).unwrap().code, SwarmCode::Overloaded);
    // The link comes back. What has come of the old one is there, and then its end; the words for it may be lost among all
    // that was not read, and then it ends when the node has connected again.
    let (near, ..) = node.up();
    node.links.send(near, b"x".to_vec()).unwrap();
    let (mut came, mut ended, mut again) = (0, false, false);
    while !(ended && again) {
        match hub.next() {
            LinkEvent::Message { link, bytes } if link == far => {
                assert!(bytes.len() == 256 << 10 && !ended);
                came += 1;
            }
            LinkEvent::Down { link, reason } if link == far => {
                let code = reason.unwrap().code;
                assert!(matches!(code, SwarmCode::Overloaded | SwarmCode::Connection), "{code:?}");
                ended = true;
            }
            LinkEvent::Message { bytes, .. } => {
                assert_eq!(bytes, b"x");
                again = true;
            }
            LinkEvent::Up { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(came <= sent, "{came} of {sent} messages");
    hub.close();
    node.close();
    until("nothing is left", || node.links.send(near, vec![1]).is_err());
}
