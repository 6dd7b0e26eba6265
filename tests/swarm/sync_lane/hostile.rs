//! Agents that were let in and speak the lane as they like; and coordinators that do.

use super::engine::{Control, until};
use crate::hostile::peer::{Net, Peer, Stream, encoded, forged, hello};
use crate::live::{close, start};
use midstreamer::protocol::frame::{SYNC_FRAME_BYTES, SYNC_MESSAGE_BYTES};
use midstreamer::protocol::messages::{
    Code, Complete, FrameKind, Hello, Lane, LaneOpen, SyncClosed, SyncMessage, SyncOpen, SyncOpened,
};
use midstreamer::protocol::session::SYNC;
use midstreamer::swarm::coordinator::CoordinatorConfig;
use std::sync::Arc;

fn open(link: u32, database: &str) -> Vec<u8> {
    encoded(FrameKind::SyncOpen, 0, &SyncOpen { link, database: database.to_owned() }, &[]).to_vec()
}

fn message(link: u32, bytes: usize) -> Vec<u8> {
    encoded(FrameKind::SyncMessage, 0, &SyncMessage { link }, &vec![1; bytes]).to_vec()
}

fn lane_open(lane: Lane) -> Vec<u8> {
    encoded(FrameKind::LaneOpen, 0, &LaneOpen { lane: lane.into() }, &[]).to_vec()
}

#[test]
fn what_has_no_place_on_the_lane_ends_the_connection() {
    let control = Arc::new(Control::default());
    let config = CoordinatorConfig { relay: Some(control.opener()), ..CoordinatorConfig::default() };
    let (coordinator, _told) = start(config);
    let net = Net::new();
    let lane = || lane_open(Lane::Sync);
    let opened = SyncOpened { link: 1 };
    let long = u32::try_from(SYNC_FRAME_BYTES + 1).unwrap().to_le_bytes().to_vec();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("third stream", lane_open(Lane::Task)),
        ("third stream", open(1, "memory")),
        ("frame of", [lane(), long].concat()),
        ("unknown frame kind", [lane(), forged(0x84, 0, &[0])].concat()),
        ("header of a SyncOpen", [lane(), forged(0x80, 0, &[2, 0xff, 0xff])].concat()),
        ("after the handshake", [lane(), lane()].concat()),
        (
            "on this lane",
            [lane(), encoded(FrameKind::Complete, 0, &Complete::default(), &[]).to_vec()].concat(),
        ),
        ("from this side", [lane(), encoded(FrameKind::SyncOpened, 0, &opened, &[]).to_vec()].concat()),
        ("link 0 is opened after link 0", [lane(), open(0, "memory")].concat()),
        ("link 7 is opened after link 7", [lane(), open(7, "memory"), open(7, "other")].concat()),
        ("database has 0 bytes", [lane(), open(1, "")].concat()),
        ("database has 129 bytes", [lane(), open(1, &"x".repeat(129))].concat()),
        ("control character", [lane(), open(1, "a\nb")].concat()),
        ("SyncMessage for link 1", [lane(), message(1, 1)].concat()),
        ("SyncMessage for link 0", [lane(), open(1, "memory"), message(0, 1)].concat()),
        ("message of 0 bytes", [lane(), open(1, "memory"), message(1, 0)].concat()),
        ("message of 262145 bytes", [lane(), open(1, "memory"), message(1, SYNC_MESSAGE_BYTES + 1)].concat()),
    ];
    for (at, (words, bytes)) in rows.into_iter().enumerate() {
        let identity = coordinator.development_identity(&format!("a{at}")).unwrap();
        let endpoint = net.endpoint();
        net.run(async {
            let hello = Hello { features: SYNC, ..hello() };
            let peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello).await;
            assert_eq!(peer.welcome.features, SYNC);
            let _tasks = peer.task_lane().await;
            let mut lane = Stream::open(&peer.connection).await;
            lane.raw(&bytes).await;
            let (code, reason) = peer.cut_off().await;
            assert!(code == Code::Protocol && reason.contains(words), "{words}: {code:?} {reason}");
        });
    }
    until("all links are gone", || {
        let metrics = coordinator.metrics();
        metrics.contains("midstreamer_sync_links{database=\"memory\"} 0") && coordinator.agents().is_empty()
    });
    close(&coordinator);
}

#[test]
fn links_are_counted_and_numbers_are_never_used_again() {
    let control = Arc::new(Control::default());
    let config = CoordinatorConfig { relay: Some(control.opener()), ..CoordinatorConfig::default() };
    let (coordinator, _told) = start(config);
    let identity = coordinator.development_identity("a").unwrap();
    let net = Net::new();
    let endpoint = net.endpoint();
    net.run(async {
        let hello = Hello { features: SYNC, ..hello() };
        let peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello).await;
        let _tasks = peer.task_lane().await;
        let mut lane = Stream::open(&peer.connection).await;
        lane.raw(&lane_open(Lane::Sync)).await;
        for link in 1..=64 {
            lane.raw(&open(link, &format!("database {link}"))).await;
            let opened: SyncOpened = lane.next_of(FrameKind::SyncOpened).await.message().unwrap();
            assert_eq!(opened.link, link);
        }
        lane.raw(&open(65, "one too many")).await;
        let closed: SyncClosed = lane.next().await.unwrap().message().unwrap();
        assert_eq!((closed.link, closed.code()), (65, Code::Overloaded));
        // The same database again: one link for each. What still comes for the first is passed over.
        lane.raw(&[open(66, "database 3"), message(3, 1), message(66, 2)].concat()).await;
        let opened: SyncOpened = lane.next().await.unwrap().message().unwrap();
        assert_eq!(opened.link, 66);
        let echoed = lane.next().await.unwrap();
        let link: SyncMessage = echoed.message().unwrap();
        assert_eq!((link.link, &echoed.payload[..]), (66, &b"echo:\x01\x01"[..]));
        // A place is free where one was closed.
        let closed = SyncClosed { link: 1, ..SyncClosed::default() };
        lane.send(FrameKind::SyncClosed, 0, &closed, &[]).await;
        lane.raw(&open(67, "one more")).await;
        let opened: SyncOpened = lane.next().await.unwrap().message().unwrap();
        assert_eq!(opened.link, 67);
    });
    close(&coordinator);
}

#[test]
fn a_lane_that_was_not_agreed_on_is_none() {
    let (coordinator, _told) = start(CoordinatorConfig { relay: None, ..CoordinatorConfig::default() });
    let identity = coordinator.development_identity("a").unwrap();
    let net = Net::new();
    let endpoint = net.endpoint();
    net.run(async {
        let hello = Hello { features: SYNC, ..hello() };
        let peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello).await;
        assert_eq!(peer.welcome.features, 0);
        let _tasks = peer.task_lane().await;
        let mut lane = Stream::open(&peer.connection).await;
        lane.raw(&lane_open(Lane::Sync)).await;
        let (code, reason) = peer.cut_off().await;
        assert_eq!((code, reason.as_str()), (Code::Protocol, "a lane that was not agreed on"));
    });
    close(&coordinator);
}
