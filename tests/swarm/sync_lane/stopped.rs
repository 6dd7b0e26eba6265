//! Readers that stop: they hold up themselves, and nobody else.

use super::engine::{Control, Node, until};
use crate::hostile::peer::{Net, Peer, Stream, hello};
use crate::live::{PATIENCE, TestAgent, close, close_agent, connect, echo, start, submit, task};
use midstreamer::protocol::messages::{
    FrameKind, Heartbeat, HeartbeatAck, Hello, Lane, LaneOpen, SyncMessage, SyncOpen,
};
use midstreamer::protocol::session::SYNC;
use midstreamer::swarm::Coordinator;
use midstreamer::swarm::coordinator::CoordinatorConfig;
use std::sync::Arc;

/// A coordinator with the relay of `control`, an agent of it, and the agent's node with its link to the relay.
fn attached(control: &Arc<Control>) -> (Coordinator, TestAgent, Node, u64) {
    let config = CoordinatorConfig { relay: Some(control.opener()), ..CoordinatorConfig::default() };
    let (coordinator, _told) = start(config);
    let identity = coordinator.development_identity("a").unwrap();
    let agent = connect(coordinator.address(), identity, &["echo"], echo).unwrap();
    let mut node = Node::new("memory");
    node.links.attach(&agent.agent).unwrap();
    let (link, ..) = node.up();
    (coordinator, agent, node, link)
}

#[test]
fn who_does_not_read_its_lane_is_cut_off() {
    let control = Arc::new(Control::default());
    // Nobody is cut off here for saying nothing.
    let config = CoordinatorConfig {
        relay: Some(control.opener()),
        agent_timeout_ms: 300_000,
        ..CoordinatorConfig::default()
    };
    let (coordinator, _told) = start(config);
    let identity = |id: &str| coordinator.development_identity(id).unwrap();
    let good = connect(coordinator.address(), identity("good"), &["echo"], echo).unwrap();
    let mut node = Node::new("memory");
    node.links.attach(&good.agent).unwrap();
    let (link, ..) = node.up();
    let (net, bad) = (Net::new(), identity("bad"));
    let endpoint = net.endpoint();
    net.run(async {
        let hello = Hello { features: SYNC, ..hello() };
        let mut peer = Peer::welcomed(endpoint, &bad, coordinator.address(), &hello).await;
        let _tasks = peer.task_lane().await;
        let mut lane = Stream::open(&peer.connection).await;
        lane.send(FrameKind::LaneOpen, 0, &LaneOpen { lane: Lane::Sync.into() }, &[]).await;
        let open = SyncOpen { link: 1, database: "flooded".to_owned() };
        lane.send(FrameKind::SyncOpen, 0, &open, &[]).await;
        lane.next_of(FrameKind::SyncOpened).await;
        // Its heartbeats get through while nobody reads the lane, up to the end.
        lane.send(FrameKind::SyncMessage, 0, &SyncMessage { link: 1 }, b"x").await;
        lane.next_of(FrameKind::SyncMessage).await;
        peer.control.send(FrameKind::Heartbeat, 0, &Heartbeat { seq: 1, ..Heartbeat::default() }, &[]).await;
        let ack: HeartbeatAck = peer.control.next_of(FrameKind::HeartbeatAck).await.message().unwrap();
        assert_eq!(ack.seq, 1);
        lane.send(FrameKind::SyncMessage, 0, &SyncMessage { link: 1 }, b"!flood").await;
        // What it is told may be lost with all else that it does not read.
        until("it is cut off", || coordinator.agents().len() == 1);
    });
    // The others of the relay have noticed nothing.
    node.links.send(link, b"x".to_vec()).unwrap();
    assert_eq!(node.message(link), b"echo:x");
    close_agent(&good.agent);
    close(&coordinator);
}

#[test]
fn a_relay_that_hangs_holds_up_sync_and_nothing_else() {
    let control = Arc::new(Control::default());
    let (coordinator, a, mut node, link) = attached(&control);
    control.set(|state| state.held = true);
    // More than waits at the relay and in the windows of the connection, and less than waits here.
    let count = 48;
    for _ in 0..count {
        node.links.send(link, vec![7; 250_000]).unwrap();
    }
    for _ in 0..20 {
        assert!(submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().is_ok());
    }
    let received = || {
        let metrics = coordinator.metrics();
        let line =
            metrics.lines().find(|line| line.starts_with("midstreamer_sync_bytes_total{direction=\"in\"}"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    until("the relay has its part", || received() >= 1 << 20);
    // What is handed to the relay is bounded; all else stays with the agent.
    assert!(received() <= 3 << 20, "{}", received());
    control.set(|state| state.held = false);
    for _ in 0..count {
        assert_eq!(node.message(link).len(), 250_005);
    }
    close_agent(&a.agent);
    close(&coordinator);
}

#[test]
fn a_program_that_takes_nothing_is_not_read_from_and_gets_everything_later() {
    let control = Arc::new(Control::default());
    let (coordinator, a, mut node, link) = attached(&control);
    let mut last = 0;
    // As a session would: no more on the way than it has room for.
    for _ in 0..44 {
        node.links.send(link, vec![7; 250_000]).unwrap();
        last += 1;
    }
    until("all of it came", || control.get(|state| state.messages) == last);
    assert!(submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap().is_ok());
    for _ in 0..last {
        assert_eq!(node.message(link).len(), 250_005);
    }
    close_agent(&a.agent);
    close(&coordinator);
}
