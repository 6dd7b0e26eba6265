//! Who was let in, and then sends what is no frame or has no place there.

use super::Swarm;
use super::peer::{Net, Peer, encoded, forged, hello};
use midstreamer::protocol::frame::{LANE_FRAME_BYTES, max_frame_bytes};
use midstreamer::protocol::messages::{
    Assign, Code, Complete, FrameKind, Heartbeat, Hello, Lane, LaneOpen, Offer, Progress, Subscribe, Welcome,
};
use midstreamer::swarm::coordinator::CoordinatorConfig;

/// Where bytes are sent.
#[derive(Debug, Clone, Copy)]
enum Into {
    Control,
    Task,
    /// The second stream, instead of what opens the task lane.
    Second,
    /// A stream for one frame.
    Alone,
}

const MAX: usize = 1 << 20;

fn small() -> CoordinatorConfig {
    CoordinatorConfig { max_message_bytes: MAX, ..CoordinatorConfig::default() }
}

fn length(bytes: usize) -> Vec<u8> {
    u32::try_from(bytes).unwrap().to_le_bytes().to_vec()
}

/// Sends each to a session of its own, and expects it to end with PROTOCOL and these words.
fn all_are_cut_off(rows: Vec<(Into, &str, Vec<u8>)>) {
    let swarm = Swarm::new(small());
    let net = Net::new();
    for (i, (into, words, bytes)) in rows.into_iter().enumerate() {
        let identity = swarm.identity(&format!("a{i}"));
        let endpoint = net.endpoint();
        net.run(async {
            let mut peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
            let mut lane = None;
            match into {
                Into::Control => peer.control.raw(&bytes).await,
                Into::Task => lane.insert(peer.task_lane().await).raw(&bytes).await,
                Into::Second => {
                    lane.insert(super::peer::Stream::open(&peer.connection).await).raw(&bytes).await;
                }
                Into::Alone => peer.alone(&bytes).await,
            }
            let (code, reason) = peer.cut_off().await;
            assert_eq!(code, Code::Protocol, "{into:?} {words}: {reason}");
            assert!(reason.contains(words), "{into:?} {words}: {reason}");
        });
    }
    super::until("all are gone", || swarm.coordinator.agents().len() == 1);
    swarm.end();
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let lane = LANE_FRAME_BYTES + 1;
    all_are_cut_off(vec![
        (Into::Control, "at most 131085", length(lane)),
        (Into::Control, "at most 131085", length(u32::MAX as usize)),
        (Into::Control, "too short", length(0)),
        (Into::Control, "unknown frame kind 0x7f", forged(0x7f, 0, &[0])),
        (Into::Control, "unknown flags 0x02", forged(0x05, 2, &[0])),
        (Into::Control, "length of a header", forged(0x05, 0, &[0x80, 0])),
        (Into::Control, "length of a header", forged(0x05, 0, &[9, 0])),
        (Into::Control, "a header of 131071 bytes", forged(0x05, 0, &[0xff, 0xff, 7])),
        (Into::Control, "the header of a Heartbeat frame", forged(0x05, 0, &[2, 0x0a, 0xff])),
        (Into::Task, "at most 131085", length(lane)),
        (Into::Task, "unknown frame kind 0x3f", forged(0x3f, 0, &[0])),
        (Into::Task, "the header of a Complete frame", forged(0x42, 0, &[3, 0xff, 0xff, 0xff])),
        (Into::Alone, "middle of a frame", length(100)),
        (Into::Alone, "middle of a frame", vec![]),
        (
            Into::Alone,
            "3 other bytes",
            [encoded(FrameKind::Complete, 0, &Complete::default(), &[]).to_vec(), vec![1, 2, 3]].concat(),
        ),
        (Into::Alone, "at most", length(max_frame_bytes(MAX) + 1)),
        (Into::Alone, "at most", vec![0xff; max_frame_bytes(MAX) + 5]),
        (Into::Alone, "unknown frame kind", forged(0xff, 0, &[0])),
    ]);
}

#[test]
fn what_has_no_place_ends_the_connection() {
    let frame = |kind, header: &dyn Fn(FrameKind) -> Vec<u8>| header(kind);
    let empty = |kind: FrameKind| encoded(kind, 0, &Heartbeat::default(), &[]).to_vec();
    let name = "x".repeat(129);
    let subscribe = encoded(FrameKind::Subscribe, 0, &Subscribe { topic: name.clone() }, &[]).to_vec();
    let offer = |offer: Offer| encoded(FrameKind::Offer, 0, &offer, &[]).to_vec();
    let progress = Progress { task: 1, epoch: 1, attempt: 1, fraction: f64::NAN };
    let progress = encoded(FrameKind::Progress, 0, &progress, &[]).to_vec();
    let open = |lane: Lane| encoded(FrameKind::LaneOpen, 0, &LaneOpen { lane: lane.into() }, &[]).to_vec();
    all_are_cut_off(vec![
        (Into::Control, "Hello", encoded(FrameKind::Hello, 0, &hello(), &[]).to_vec()),
        (Into::Control, "Welcome", encoded(FrameKind::Welcome, 0, &Welcome::default(), &[]).to_vec()),
        (Into::Control, "ResultAck", frame(FrameKind::ResultAck, &empty)),
        (Into::Control, "Cancel", frame(FrameKind::Cancel, &empty)),
        (Into::Control, "Complete", frame(FrameKind::Complete, &empty)),
        (Into::Control, "Publish", frame(FrameKind::Publish, &empty)),
        (Into::Control, "topic", subscribe),
        (Into::Control, "topic", frame(FrameKind::Subscribe, &empty)),
        (Into::Control, "slots", offer(Offer { kinds: vec![], slots: u32::MAX })),
        (Into::Control, "kind", offer(Offer { kinds: vec![name], slots: 1 })),
        (Into::Control, "names", offer(Offer { kinds: vec!["k".to_owned(); 257], slots: 1 })),
        (Into::Control, "not finite", progress),
        (Into::Task, "Heartbeat", frame(FrameKind::Heartbeat, &empty)),
        (Into::Task, "Goodbye", frame(FrameKind::Goodbye, &empty)),
        (Into::Task, "LaneOpen", open(Lane::Task)),
        (Into::Task, "Assign", encoded(FrameKind::Assign, 0, &Assign::default(), &[]).to_vec()),
        (Into::Task, "topic", encoded(FrameKind::Publish, 0, &Heartbeat::default(), &[]).to_vec()),
        (Into::Second, "task lane", open(Lane::Control)),
        (Into::Second, "where a lane opens", frame(FrameKind::Complete, &empty)),
        (Into::Alone, "Heartbeat", frame(FrameKind::Heartbeat, &empty)),
        (Into::Alone, "LaneOpen", open(Lane::Task)),
    ]);
}

#[test]
fn what_may_be_skipped_is_skipped() {
    let swarm = Swarm::new(small());
    let net = Net::new();
    let (identity, endpoint) = (swarm.identity("a"), net.endpoint());
    net.run(async {
        let hello = Hello { features: u64::MAX, ..hello() };
        let mut peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello).await;
        let mut lane = peer.task_lane().await;
        for stream in [&mut peer.control, &mut lane] {
            // Flags of a later version too: whoever may skip a frame does not look at them.
            for flags in [1, 0x81] {
                stream.raw(&forged(0x7f, flags, b"whatever a later version says")).await;
            }
        }
        peer.alone(&forged(0x7f, 1, b"and this")).await;
        for seq in 1..=3 {
            peer.control.send(FrameKind::Heartbeat, 0, &Heartbeat { seq, ..Heartbeat::default() }, &[]).await;
            let ack: midstreamer::protocol::messages::HeartbeatAck =
                peer.control.next_of(FrameKind::HeartbeatAck).await.message().unwrap();
            assert_eq!(ack.seq, seq);
        }
        lane.send(FrameKind::Complete, 0, &Complete { task: 99, epoch: 1, attempt: 1, run_ms: 0 }, &[]).await;
        peer.control.next_of(FrameKind::ResultAck).await;
        assert!(peer.connection.close_reason().is_none());
    });
    swarm.end();
}
