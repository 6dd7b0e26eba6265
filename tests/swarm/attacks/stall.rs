//! Slow-loris: frames that begin and do not go on, from somebody who keeps its lease all the while.

use crate::hostile::Swarm;
use crate::hostile::peer::{Net, Peer, Stream, encoded, hello};
use crate::live::{PATIENCE, close, start, submit, task};
use midstreamer::protocol::messages::{Assign, Code, Complete, FrameKind, Heartbeat, Publish};
use midstreamer::swarm::coordinator::CoordinatorConfig;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const AGENT_TIMEOUT_MS: u64 = 2000;

fn config() -> CoordinatorConfig {
    CoordinatorConfig { agent_timeout_ms: AGENT_TIMEOUT_MS, ..CoordinatorConfig::default() }
}

/// Keeps the lease until the connection ends.
async fn beat(control: &mut Stream) {
    for seq in 1.. {
        let heartbeat = Heartbeat { seq, ..Heartbeat::default() };
        if control.send.write_all(&encoded(FrameKind::Heartbeat, 0, &heartbeat, &[])).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(AGENT_TIMEOUT_MS / 10)).await;
    }
}

/// What is left unfinished.
#[derive(Debug, Clone, Copy)]
enum Unfinished {
    /// Half a frame on the task lane.
    Lane,
    /// A byte now and then of a frame on the task lane.
    Trickle,
    /// Half of a large payload on a stream of its own.
    Large,
    /// Such a stream with nothing in it.
    Empty,
}

#[test]
fn a_frame_that_does_not_go_on_ends_its_connection() {
    let swarm = Swarm::new(config());
    let net = Net::new();
    for unfinished in [Unfinished::Lane, Unfinished::Trickle, Unfinished::Large, Unfinished::Empty] {
        let (identity, endpoint) = (swarm.identity(&format!("{unfinished:?}")), net.endpoint());
        let (code, reason, lived) = net.run(async {
            let peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
            let Peer { connection, mut control, .. } = peer;
            let mut lane = Stream::open(&connection).await;
            let open = midstreamer::protocol::messages::LaneOpen {
                lane: midstreamer::protocol::messages::Lane::Task.into(),
            };
            lane.send(FrameKind::LaneOpen, 0, &open, &[]).await;
            let begin = Instant::now();
            let publish = Publish { topic: "nobody".to_owned(), ..Publish::default() };
            let small = encoded(FrameKind::Publish, 0, &publish, &[1; 60_000]);
            let large = encoded(FrameKind::Publish, 0, &publish, &[1; 1 << 20]);
            let mut alone = None;
            let sending = async {
                match unfinished {
                    Unfinished::Lane => lane.raw(&small[..30_000]).await,
                    Unfinished::Trickle => {
                        for byte in small.iter() {
                            lane.raw(&[*byte]).await;
                            sleep(Duration::from_millis(20)).await;
                        }
                    }
                    Unfinished::Large => {
                        let stream = alone.insert(connection.open_uni().await.unwrap());
                        drop(stream.write_all(&large[..1 << 19]).await);
                    }
                    Unfinished::Empty => {
                        // A stream is not seen before its first frame; this one says that there are no bytes.
                        let stream = alone.insert(connection.open_uni().await.unwrap());
                        drop(stream.write_all(&large[..1]).await);
                    }
                }
                std::future::pending::<()>().await;
            };
            let ended = crate::hostile::peer::ending(&connection);
            let (code, reason) = tokio::select! {
                ended = ended => ended,
                () = sending => unreachable!("it never ends"),
                () = beat(&mut control) => crate::hostile::peer::ending(&connection).await,
            };
            (code, reason, begin.elapsed())
        });
        assert_eq!((code, reason.as_str()), (Code::Timeout, "a frame does not go on"), "{unfinished:?}");
        // Not at once: a frame has an agent timeout.
        assert!(lived >= Duration::from_millis(AGENT_TIMEOUT_MS), "{unfinished:?}: {lived:?}");
    }
    swarm.end();
}

#[test]
fn who_is_slow_and_honest_is_waited_for() {
    let (coordinator, _events) = start(config());
    let result = submit(&coordinator, task("work", b"x"));
    let net = Net::new();
    let (identity, endpoint) = (coordinator.development_identity("slow").unwrap(), net.endpoint());
    net.run(async {
        let peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello()).await;
        let mut lane = peer.task_lane().await;
        let assign: Assign = lane.next_of(FrameKind::Assign).await.message().unwrap();
        let complete =
            Complete { task: assign.task, epoch: assign.epoch, attempt: assign.attempt, run_ms: 1 };
        let frame = encoded(FrameKind::Complete, 0, &complete, &[7; 160 << 10]);
        let Peer { connection, mut control, .. } = peer;
        let mut stream = connection.open_uni().await.unwrap();
        let sending = async {
            // 32 KiB a second, the quarter of a 1 Mbit/s link: five seconds, more than two agent timeouts.
            for piece in frame.chunks(32 << 7) {
                stream.write_all(piece).await.unwrap();
                sleep(Duration::from_millis(125)).await;
            }
            stream.finish().unwrap();
            stream.stopped().await.unwrap();
        };
        tokio::select! {
            () = sending => {}
            () = beat(&mut control) => panic!("cut off: {:?}", connection.close_reason()),
        }
    });
    let result = result.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((result.value.len(), result.attempts), (160 << 10, 1));
    close(&coordinator);
}
