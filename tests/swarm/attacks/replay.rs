//! What was said before, said again: by an old session, and by somebody who has recorded packets.

use crate::hostile::Swarm;
use crate::hostile::peer::{Net, Peer, hello};
use crate::live::{PATIENCE, close, start, submit, task};
use bytes::Bytes;
use midstreamer::protocol::messages::{
    Assign, Code, Complete, FrameKind, Goodbye, GoodbyeAck, Hello, Publish, PublishAck, TaskError,
};
use midstreamer::swarm::coordinator::{CoordinatorConfig, CoordinatorEvent};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[test]
fn an_old_session_says_nothing_any_more() {
    let (coordinator, _events) = start(CoordinatorConfig::default());
    let result = submit(&coordinator, task("work", b"x"));
    let identity = coordinator.development_identity("a").unwrap();
    let net = Net::new();
    let (first, second) = (net.endpoint(), net.endpoint());
    net.run(async {
        let mut old = Peer::welcomed(first, &identity, coordinator.address(), &hello()).await;
        let mut old_lane = old.task_lane().await;
        let assign: Assign = old_lane.next_of(FrameKind::Assign).await.message().unwrap();
        // Another process with the same certificate: it does not know of the task.
        let later = Hello { instance: Bytes::from_static(&[8; 16]), ..hello() };
        let mut new = Peer::welcomed(second, &identity, coordinator.address(), &later).await;
        assert!(new.welcome.generation > old.welcome.generation);
        let mut new_lane = new.task_lane().await;
        let goodbye: Goodbye = old.control.next_of(FrameKind::Goodbye).await.message().unwrap();
        assert_eq!(goodbye.code(), Code::SessionReplaced, "{goodbye:?}");
        // What the old session had is not its own any more, whatever it says, and it cannot guess what will be the other's.
        for attempt in assign.attempt..assign.attempt + 3 {
            let complete = Complete { task: assign.task, epoch: assign.epoch, attempt, run_ms: 1 };
            old_lane.send(FrameKind::Complete, 0, &complete, b"old").await;
            let error = TaskError { task: assign.task, epoch: assign.epoch, attempt, ..TaskError::default() };
            old_lane.send(FrameKind::TaskError, 0, &error, &[]).await;
        }
        let publish = Publish { topic: "t".to_owned(), ..Publish::default() };
        old_lane.send(FrameKind::Publish, 9, &publish, b"old").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        old.control.send(FrameKind::GoodbyeAck, 0, &GoodbyeAck {}, &[]).await;
        let again: Assign = new_lane.next_of(FrameKind::Assign).await.message().unwrap();
        assert!((again.epoch, again.attempt) > (assign.epoch, assign.attempt));
        let complete = Complete { task: again.task, epoch: again.epoch, attempt: again.attempt, run_ms: 1 };
        new_lane.send(FrameKind::Complete, 0, &complete, b"new").await;
        new.control.next_of(FrameKind::ResultAck).await;
    });
    let result = result.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(&result.value[..], b"new");
    close(&coordinator);
}

/// Stands between a peer and a coordinator, passes everything on, and remembers what the peer has sent.
struct Relay {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    to: UdpSocket,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Relay {
    /// Every packet of the peer is passed on twice.
    fn new(coordinator: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        far.connect(coordinator).unwrap();
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        }
        let (address, to) = (near.local_addr().unwrap(), far.try_clone().unwrap());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let peer = Arc::new(Mutex::new(None));
        let there = {
            let (near, far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (sent, stop, peer) = (sent.clone(), stop.clone(), peer.clone());
            thread::spawn(move || {
                let mut packet = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, from)) = near.recv_from(&mut packet) else { continue };
                    *peer.lock().unwrap() = Some(from);
                    sent.lock().unwrap().push(packet[..length].to_vec());
                    for _ in 0..2 {
                        // The coordinator may be gone already.
                        drop(far.send(&packet[..length]));
                    }
                }
            })
        };
        let back = {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut packet = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok(length) = far.recv(&mut packet) else { continue };
                    if let Some(peer) = *peer.lock().unwrap() {
                        drop(near.send_to(&packet[..length], peer));
                    }
                }
            })
        };
        Self { address, sent, to, stop, threads: vec![there, back] }
    }

    fn play_again(&self) -> usize {
        let sent = self.sent.lock().unwrap();
        for packet in sent.iter() {
            drop(self.to.send(packet));
            thread::sleep(Duration::from_millis(1));
        }
        sent.len()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

#[test]
fn recorded_packets_mean_nothing_a_second_time() {
    const MESSAGES: usize = 20;
    let swarm = Swarm::new(CoordinatorConfig::default());
    swarm.coordinator.subscribe("news");
    let relay = Relay::new(swarm.coordinator.address().parse().unwrap());
    let net = Net::new();
    let (identity, endpoint) = (swarm.identity("a"), net.endpoint());
    let peer = net.run(async {
        let hello = Hello { slots: 0, ..hello() };
        let peer = Peer::welcomed(endpoint, &identity, &relay.address.to_string(), &hello).await;
        let mut lane = peer.task_lane().await;
        for request in 1..=MESSAGES as u64 {
            let publish = Publish { topic: "news".to_owned(), ..Publish::default() };
            lane.send(FrameKind::Publish, request, &publish, b"once").await;
            let _: PublishAck = lane.next_of(FrameKind::PublishAck).await.message().unwrap();
        }
        (peer, lane)
    });
    // While the session is there, and when it is gone.
    assert!(relay.play_again() > MESSAGES);
    net.run(async { peer.0.connection.close(0_u32.into(), b"") });
    crate::hostile::until("it is gone", || swarm.coordinator.agents().len() == 1);
    let packets = relay.play_again();
    swarm.works();
    let (mut joined, mut messages) = (0, 0);
    for event in swarm.events.try_iter() {
        joined += usize::from(matches!(&event, CoordinatorEvent::AgentJoined(agent) if &*agent.id == "a"));
        messages += usize::from(matches!(event, CoordinatorEvent::Message { .. }));
    }
    assert_eq!((joined, messages), (1, MESSAGES), "of {packets} packets, each three times and more");
    assert_eq!(swarm.coordinator.agents().len(), 1);
    drop(relay);
    swarm.end();
}
