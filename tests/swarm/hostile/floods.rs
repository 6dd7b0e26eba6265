//! Who was let in, and then sends, opens or leaves unread too much.

use super::peer::{Net, Peer, encoded, forged, hello};
use super::{Swarm, until};
use crate::live::{PATIENCE, close, start, submit, task};
use bytes::Bytes;
use midstreamer::protocol::messages::{
    Assign, Code, Complete, FrameKind, Heartbeat, Hello, Publish, Subscribe, SubscribeAck,
};
use midstreamer::swarm::SwarmCode;
use midstreamer::swarm::agent::AgentEvent;
use midstreamer::swarm::coordinator::{CoordinatorConfig, TaskRequest};
use quinn::ConnectionError;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tokio::time::timeout;

#[test]
fn a_hundred_thousand_streams_are_not_opened_at_once() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let (identity, endpoint) = (swarm.identity("a"), net.endpoint());
    net.run(async {
        let peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
        // As many as it wants; none is ever finished. The control lane is the first of the bidirectional ones.
        let mut open = Vec::new();
        while let Ok(Ok(mut stream)) = timeout(Duration::from_millis(500), peer.connection.open_uni()).await {
            assert!(open.len() < 3, "more than 3 streams at once");
            stream.write_all(&1000_u32.to_le_bytes()).await.unwrap();
            open.push(stream);
        }
        let mut both = Vec::new();
        while let Ok(Ok(pair)) = timeout(Duration::from_millis(500), peer.connection.open_bi()).await {
            assert!(both.len() < 2, "more than 3 lanes at once");
            both.push(pair);
        }
        assert_eq!((open.len(), both.len()), (3, 2));
        assert!(peer.connection.close_reason().is_none());
        // Other peers have nothing to do with it.
        swarm.works();
    });
    swarm.end();
}

#[test]
fn a_hundred_thousand_streams_one_after_the_other_are_read_or_thrown_away() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let (identity, endpoint) = (swarm.identity("a"), net.endpoint());
    let begin = Instant::now();
    net.run_for(6 * PATIENCE, async {
        let mut peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
        let frame = forged(0x7f, 1, b"to be skipped");
        for i in 0..100_000 {
            let mut stream = peer.connection.open_uni().await.unwrap();
            stream.write_all(&frame[..if i % 2 == 0 { frame.len() } else { 5 }]).await.unwrap();
            if i % 2 == 0 {
                stream.finish().unwrap();
            } else {
                stream.reset(7_u32.into()).unwrap();
            }
            if i % 10_000 == 5000 {
                swarm.works();
            }
        }
        peer.control.send(FrameKind::Heartbeat, 0, &Heartbeat { seq: 1, ..Heartbeat::default() }, &[]).await;
        peer.control.next_of(FrameKind::HeartbeatAck).await;
    });
    println!("100,000 streams in {:?}", begin.elapsed());
    swarm.end();
}

#[test]
fn a_stream_that_never_ends_is_cut_off_at_the_limit() {
    const MAX: usize = 1 << 20;
    let swarm = Swarm::new(CoordinatorConfig { max_message_bytes: MAX, ..CoordinatorConfig::default() });
    let net = Net::new();
    let (identity, endpoint) = (swarm.identity("a"), net.endpoint());
    net.run(async {
        let peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
        let mut stream = peer.connection.open_uni().await.unwrap();
        let mut written = 0;
        let chunk = vec![0x55; 64 << 10];
        while stream.write_all(&chunk).await.is_ok() {
            written += chunk.len();
            assert!(written < 16 * MAX, "{written} bytes were taken");
        }
        assert_eq!(peer.cut_off().await.0, Code::Protocol);
    });
    swarm.end();
}

#[test]
fn who_does_not_read_is_cut_off() {
    // Messages that travel in the lane, and such that take a stream of their own.
    for (bytes, topic) in [(60_000, "small"), (4 << 20, "large")] {
        // Nothing else cuts it off: it sends no heartbeats.
        let swarm =
            Swarm::new(CoordinatorConfig { agent_timeout_ms: 600_000, ..CoordinatorConfig::default() });
        let net = Net::new();
        let (identity, endpoint) = (swarm.identity("deaf"), net.endpoint());
        let peer = net.run(async {
            let mut peer = Peer::welcomed(
                endpoint,
                &identity,
                swarm.coordinator.address(),
                &Hello { slots: 0, ..hello() },
            )
            .await;
            // The lane is there, and nobody reads from it.
            let lane = peer.task_lane().await;
            peer.control.send(FrameKind::Subscribe, 1, &Subscribe { topic: topic.to_owned() }, &[]).await;
            let ack: SubscribeAck = peer.control.next_of(FrameKind::SubscribeAck).await.message().unwrap();
            assert_eq!(ack.code(), Code::Unspecified);
            (peer, lane)
        });
        swarm.honest.agent.subscribe(topic);
        let payload = Bytes::from(vec![1; bytes]);
        // Messages to nobody, until both subscriptions are known.
        let publish = || {
            let (sender, reached) = channel();
            swarm.coordinator.publish(topic, payload.clone(), move |outcome| sender.send(outcome).unwrap());
            reached.recv_timeout(PATIENCE).unwrap().unwrap()
        };
        let end = Instant::now() + 4 * PATIENCE;
        let mut published = 0_usize;
        while peer.0.connection.close_reason().is_none() {
            assert!(Instant::now() < end, "{published} messages of {bytes} bytes, and it is still there");
            publish();
            published += 1;
            // At a pace that a reader keeps up with.
            std::thread::sleep(Duration::from_millis(if bytes > 1 << 20 { 30 } else { 1 }));
        }
        println!("cut off after {published} messages of {bytes} bytes");
        until("it is gone", || swarm.coordinator.agents().len() == 1);
        // The packet that says why is sent once (RFC 9000, 10.2) and may find the buffer of the socket full.
        if peer.0.connection.close_reason() != Some(ConnectionError::TimedOut) {
            let (code, reason) = net.run(peer.0.cut_off());
            assert_eq!((code, reason.as_str()), (Code::Overloaded, "it does not read what it is sent"));
        }
        // The one that reads has noticed nothing.
        assert_eq!(publish(), 1);
        swarm.end();
    }
}

#[test]
fn many_large_messages_at_once_do_not_block_each_other() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let (identity, endpoint) = (swarm.identity("a"), net.endpoint());
    let (count, bytes) = (24, 4 << 20);
    // To the honest agent: each takes a stream, and all together far more than a connection may have in flight.
    swarm.honest.agent.subscribe("large");
    let payload = Bytes::from(vec![1; bytes]);
    let publish = |payload: &Bytes| {
        let (sender, reached) = channel();
        swarm.coordinator.publish("large", payload.clone(), move |outcome| sender.send(outcome).unwrap());
        reached.recv_timeout(PATIENCE).unwrap().unwrap()
    };
    until("the subscription is known", || publish(&Bytes::from_static(b"small")) == 1);
    for _ in 0..count {
        assert_eq!(publish(&payload), 1);
    }
    let end = Instant::now() + PATIENCE;
    let mut arrived = 0;
    while arrived < count {
        let left = end.saturating_duration_since(Instant::now());
        match swarm.honest.events.recv_timeout(left).expect("large messages block each other") {
            AgentEvent::Message { payload, .. } => arrived += usize::from(payload.len() == bytes),
            other => assert!(matches!(other, AgentEvent::Connected { .. }), "{other:?}"),
        }
    }
    // And from an agent.
    net.run(async {
        let peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
        let mut lane = peer.task_lane().await;
        let publish = Publish { topic: "nobody".to_owned(), ..Publish::default() };
        let sending = (1..=24).map(|request| {
            let frame = encoded(FrameKind::Publish, request, &publish, &payload);
            let connection = peer.connection.clone();
            tokio::spawn(async move {
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(&frame).await.unwrap();
                stream.finish().unwrap();
            })
        });
        for sent in sending.collect::<Vec<_>>() {
            sent.await.unwrap();
        }
        for _ in 0..count {
            lane.next_of(FrameKind::PublishAck).await;
        }
    });
    swarm.end();
}

#[test]
fn an_agent_that_publishes_faster_than_it_can_send_is_told_so_and_stays() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let payload = Bytes::from(vec![1; 60_000]);
    let (sender, told) = channel();
    for _ in 0..2000 {
        let sender = sender.clone();
        swarm.honest.agent.publish("burst", payload.clone(), move |outcome| sender.send(outcome).unwrap());
    }
    for _ in 0..2000 {
        let outcome = told.recv_timeout(PATIENCE).unwrap();
        assert!(
            outcome.as_ref().err().is_none_or(|error| error.code == SwarmCode::Overloaded),
            "{outcome:?}"
        );
    }
    swarm.end();
}

#[test]
fn as_many_tasks_as_slots_are_not_too_many() {
    let (coordinator, _events) = start(CoordinatorConfig::default());
    let payload = Bytes::from(vec![1; 60_000]);
    let results: Vec<_> = (0..1000)
        .map(|_| submit(&coordinator, TaskRequest { payload: payload.clone(), ..task("work", b"") }))
        .collect();
    let net = Net::new();
    let (identity, endpoint) = (coordinator.development_identity("a").unwrap(), net.endpoint());
    // Kept until the end: what it has sent goes with its connection.
    let _peer = net.run(async {
        let hello = Hello { slots: 1000, ..hello() };
        let peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello).await;
        let mut lane = peer.task_lane().await;
        let mut assigned = Vec::new();
        while assigned.len() < results.len() {
            assigned.push(lane.next_of(FrameKind::Assign).await.message::<Assign>().unwrap());
        }
        for Assign { task, epoch, attempt, .. } in assigned {
            lane.send(FrameKind::Complete, 0, &Complete { task, epoch, attempt, run_ms: 0 }, &[]).await;
        }
        (peer, lane)
    });
    for result in results {
        assert_eq!(result.recv_timeout(PATIENCE).unwrap().unwrap().attempts, 1);
    }
    close(&coordinator);
}

#[test]
fn questions_without_end_are_answered_or_end_the_connection() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let net = Net::new();
    let (identity, endpoint) = (swarm.identity("a"), net.endpoint());
    net.run(async {
        let mut peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello()).await;
        // Every topic it may have, and more.
        let mut refused = 0;
        for i in 0..5000 {
            let topic = format!("topic-{i}");
            peer.control.send(FrameKind::Subscribe, 1 + i, &Subscribe { topic }, &[]).await;
            let ack: SubscribeAck = peer.control.next_of(FrameKind::SubscribeAck).await.message().unwrap();
            refused += u64::from(ack.code() == Code::Overloaded);
        }
        assert!(refused > 0, "a peer may have topics without end");
        // Heartbeats whose answers it does not read: they wait, up to a limit.
        let beats: Vec<u8> = (1..=1000)
            .flat_map(|seq| {
                encoded(FrameKind::Heartbeat, 0, &Heartbeat { seq, ..Heartbeat::default() }, &[]).to_vec()
            })
            .collect();
        for _ in 0..100 {
            peer.control.raw(&beats).await;
        }
        swarm.works();
    });
    swarm.end();
}
