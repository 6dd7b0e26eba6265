//! Who was let in, and then says things that are not so.

use super::peer::{Net, Peer, encoded, hello};
use super::{Swarm, until};
use crate::live::{PATIENCE, close, close_agent, connect, start, submit, task};
use bytes::Bytes;
use midstreamer::protocol::messages::{
    Assign, Code, Complete, FailureReason, FrameKind, Heartbeat, HeartbeatAck, Held, Hello, Progress,
    Publish, PublishAck, ResultAck, TaskError,
};
use midstreamer::swarm::SwarmCode;
use midstreamer::swarm::coordinator::{CoordinatorConfig, CoordinatorEvent, TaskRequest, TaskStateName};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The number of a task on the wire, from its public id.
fn number(task_id: &str) -> u64 {
    u64::from_str_radix(task_id.rsplit('-').next().unwrap(), 16).unwrap()
}

#[test]
fn the_tasks_of_others_are_not_to_be_touched() {
    let (coordinator, _events) = start(CoordinatorConfig::default());
    let (sender, running) = channel();
    let (gate, waits) = channel::<()>();
    let (sender, waits) = (Mutex::new(sender), Mutex::new(waits));
    let honest = connect(
        coordinator.address(),
        coordinator.development_identity("honest").unwrap(),
        &["work"],
        move |agent, work| {
            sender.lock().unwrap().send(work.fence).unwrap();
            waits.lock().unwrap().recv().unwrap();
            agent.finished(work.token, Ok(Bytes::from_static(b"right")));
        },
    )
    .unwrap();
    let (done, accepted) = channel();
    coordinator.enqueue(task("work", b"x"), move |outcome| done.send(outcome).unwrap());
    let id = accepted.recv_timeout(PATIENCE).unwrap().unwrap().task_id;
    let fence = running.recv_timeout(PATIENCE).unwrap();

    let net = Net::new();
    let identity = coordinator.development_identity("thief").unwrap();
    let endpoint = net.endpoint();
    net.run(async {
        // It knows everything: number, epoch, attempt. And it says that it had the task all along.
        let held = Held { task: number(&id), epoch: fence.epoch, attempt: fence.attempt, finished: true };
        let first = Peer::welcomed(
            endpoint.clone(),
            &identity,
            coordinator.address(),
            &Hello { slots: 0, ..hello() },
        )
        .await;
        let hello = Hello { slots: 0, resume: vec![held], store: first.welcome.store.clone(), ..hello() };
        let mut peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello).await;
        assert_eq!(peer.welcome.epoch, fence.epoch);
        let mut lane = peer.task_lane().await;
        for attempt in [fence.attempt, fence.attempt - 1, fence.attempt + 1, u32::MAX] {
            for epoch in [fence.epoch, fence.epoch - 1, fence.epoch + 1] {
                let complete = Complete { task: held.task, epoch, attempt, run_ms: 0 };
                lane.send(FrameKind::Complete, 0, &complete, b"wrong").await;
                for reason in [FailureReason::Handler, FailureReason::Declined, FailureReason::TooLarge] {
                    let error = TaskError {
                        task: held.task,
                        epoch,
                        attempt,
                        reason: reason.into(),
                        ..TaskError::default()
                    };
                    lane.send(FrameKind::TaskError, 0, &error, &[]).await;
                }
                // Refused, and each report is acknowledged: an honest agent could drop it now.
                for _ in 0..3 {
                    let ack: ResultAck = peer.control.next_of(FrameKind::ResultAck).await.message().unwrap();
                    assert_eq!((ack.task, ack.epoch, ack.attempt), (held.task, epoch, attempt));
                }
                let progress = Progress { task: held.task, epoch, attempt, fraction: 0.9 };
                peer.control.send(FrameKind::Progress, 0, &progress, &[]).await;
            }
        }
        peer.control.send(FrameKind::Heartbeat, 0, &Heartbeat { seq: 1, ..Heartbeat::default() }, &[]).await;
        let _: HeartbeatAck = peer.control.next_of(FrameKind::HeartbeatAck).await.message().unwrap();
        // Tasks that never were.
        lane.send(
            FrameKind::Complete,
            0,
            &Complete { task: u64::MAX, epoch: 1, attempt: 1, run_ms: 0 },
            b"wrong",
        )
        .await;
        peer.control.next_of(FrameKind::ResultAck).await;
    });
    let state = coordinator.task(&id).unwrap();
    assert_eq!(
        (state.state, state.attempts, state.agent.as_deref()),
        (TaskStateName::Running, 1, Some("honest"))
    );
    assert_eq!(state.progress, None);
    gate.send(()).unwrap();
    let (done, outcome) = channel();
    coordinator.result(&id, move |result| done.send(result).unwrap());
    let result = outcome.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((&result.value[..], &*result.agent, result.attempts), (&b"right"[..], "honest", 1));
    close_agent(&honest.agent);
    close(&coordinator);
}

#[test]
fn a_result_under_an_old_fence_is_refused() {
    let (coordinator, _events) = start(CoordinatorConfig::default());
    let net = Net::new();
    let identity = coordinator.development_identity("a").unwrap();
    let result = submit(&coordinator, TaskRequest { attempt_timeout_ms: Some(50), ..task("work", b"x") });
    let endpoint = net.endpoint();
    net.run(async {
        let mut peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello()).await;
        let mut lane = peer.task_lane().await;
        let assign = async |lane: &mut super::peer::Stream| -> Assign {
            lane.next_of(FrameKind::Assign).await.message().unwrap()
        };
        let first = assign(&mut lane).await;
        peer.control.next_of(FrameKind::Cancel).await;
        let stopped = TaskError {
            task: first.task,
            epoch: first.epoch,
            attempt: first.attempt,
            reason: FailureReason::Cancelled.into(),
            ..TaskError::default()
        };
        lane.send(FrameKind::TaskError, 0, &stopped, &[]).await;
        let second = assign(&mut lane).await;
        assert!((second.epoch, second.attempt) > (first.epoch, first.attempt));
        for (fence, value) in [(&first, b"late"), (&second, b"good"), (&first, b"late"), (&second, b"more")] {
            let complete =
                Complete { task: fence.task, epoch: fence.epoch, attempt: fence.attempt, run_ms: 0 };
            lane.send(FrameKind::Complete, 0, &complete, value).await;
            peer.control.next_of(FrameKind::ResultAck).await;
        }
        let result = tokio::task::spawn_blocking(move || result.recv_timeout(PATIENCE)).await.unwrap();
        let result = result.unwrap().unwrap();
        assert_eq!((&result.value[..], result.attempts), (&b"good"[..], 2));
    });
    assert_eq!(coordinator.stats().completed, 1);
    close(&coordinator);
}

#[test]
fn nobody_is_somebody_else_by_saying_so() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    swarm.coordinator.subscribe("news");
    let net = Net::new();
    let identity = swarm.identity("liar");
    let requires = vec![Arc::from("agent:honest")];
    let endpoint = net.endpoint();
    let (_peer, _lane) = net.run(async {
        let capabilities = vec!["agent:honest".to_owned(), "agent:other".to_owned(), "gpu".to_owned()];
        let hello =
            Hello { capabilities, kinds: vec!["echo".to_owned(), "only".to_owned()], slots: 100, ..hello() };
        let mut peer = Peer::welcomed(endpoint, &identity, swarm.coordinator.address(), &hello).await;
        let mut lane = peer.task_lane().await;
        let publish = Publish { topic: "news".to_owned(), from: "honest".to_owned(), ..Publish::default() };
        lane.send(FrameKind::Publish, 1, &publish, b"i am honest").await;
        let ack: PublishAck = lane.next_of(FrameKind::PublishAck).await.message().unwrap();
        assert_eq!((ack.code(), ack.reached), (Code::Unspecified, 0));
        peer.control.send(FrameKind::Heartbeat, 0, &Heartbeat { seq: 1, ..Heartbeat::default() }, &[]).await;
        peer.control.next_of(FrameKind::HeartbeatAck).await;
        (peer, lane)
    });
    let from = swarm.events.iter().find_map(|event| match event {
        CoordinatorEvent::Message { from, .. } => Some(from),
        _ => None,
    });
    assert_eq!(from.as_deref(), Some("liar"));
    let info = swarm.coordinator.agents().into_iter().find(|agent| &*agent.id == "liar").unwrap();
    assert_eq!(info.capabilities, [Arc::from("gpu")]);
    // It has a hundred free slots, and none of these goes there.
    for _ in 0..20 {
        let wanted = TaskRequest { requires: requires.clone(), ..task("echo", b"x") };
        let result = submit(&swarm.coordinator, wanted).recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(&*result.agent, "honest");
    }
    // Nobody has both.
    let none = TaskRequest { requires, timeout_ms: Some(100), ..task("only", b"x") };
    let error = submit(&swarm.coordinator, none).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.code, SwarmCode::NoAgent);
    net.run(async { _peer.connection.close(0_u32.into(), b"") });
    until("the liar is gone", || swarm.coordinator.agents().len() == 1);
    swarm.end();
}

#[test]
fn a_result_above_the_limit_is_none() {
    const MAX: usize = 1 << 20;
    let (coordinator, _events) =
        start(CoordinatorConfig { max_message_bytes: MAX, ..CoordinatorConfig::default() });
    let too_large = TaskRequest { payload: Bytes::from(vec![0; MAX + 1]), ..task("work", b"") };
    let error = submit(&coordinator, too_large).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.code, SwarmCode::TooLarge);
    // Who does not keep to it is cut off, and somebody else does the task.
    let net = Net::new();
    let results: Vec<_> = (0..2).map(|_| submit(&coordinator, task("work", b""))).collect();
    for (name, bytes) in [("a", MAX + 1), ("b", MAX + (1 << 17))] {
        let identity = coordinator.development_identity(name).unwrap();
        let endpoint = net.endpoint();
        net.run(async {
            let peer = Peer::welcomed(endpoint, &identity, coordinator.address(), &hello()).await;
            let mut lane = peer.task_lane().await;
            let assign: Assign = lane.next_of(FrameKind::Assign).await.message().unwrap();
            let complete =
                Complete { task: assign.task, epoch: assign.epoch, attempt: assign.attempt, run_ms: 0 };
            peer.alone(&encoded(FrameKind::Complete, 0, &complete, &vec![1; bytes])).await;
            let (code, reason) = peer.cut_off().await;
            assert_eq!(code, Code::Protocol, "{reason}");
        });
    }
    // An honest agent does not even send it.
    let identity = coordinator.development_identity("honest").unwrap();
    let honest = connect(coordinator.address(), identity, &["work", "huge"], |agent, work| {
        let bytes = if &*work.kind == "huge" { MAX + 1 } else { MAX };
        agent.finished(work.token, Ok(Bytes::from(vec![1; bytes])));
    })
    .unwrap();
    for result in results {
        let result = result.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!((result.value.len(), &*result.agent), (MAX, "honest"));
    }
    let error = submit(&coordinator, task("huge", b"")).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.code, SwarmCode::TaskFailed);
    assert_eq!(error.task.unwrap().remote_code.as_deref(), Some("TOO_LARGE"));
    close_agent(&honest.agent);
    close(&coordinator);
}

#[test]
fn a_payload_of_64_mib_goes_there_and_back() {
    let swarm = Swarm::new(CoordinatorConfig::default());
    let payload: Vec<u8> = (0..64 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let payload = Bytes::from(payload);
    let large = submit(&swarm.coordinator, TaskRequest { payload: payload.clone(), ..task("echo", b"") });
    // Meanwhile small ones are not behind it.
    swarm.works();
    let result = large.recv_timeout(PATIENCE + Duration::from_secs(40)).unwrap().unwrap();
    assert!(result.value == payload && &*result.agent == "honest" && result.attempts == 1);
    swarm.end();
}
