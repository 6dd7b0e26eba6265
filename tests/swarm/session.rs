//! Sessions: both sides of the handshake in memory, leases under delay, and the end that loses nothing.

use bytes::BytesMut;
use midstreamer::protocol::Generation;
use midstreamer::protocol::frame::{Decoder, Frame, FrameError, encode_message};
use midstreamer::protocol::messages::{
    Code, FrameKind, GoodbyeAck, Held, Hello, Lane, Offer, Refuse, Resume, Sender, Welcome,
};
use midstreamer::protocol::session::{
    Accepted, Dialing, FEATURES, Greeting, LeaseClock, Listening, MAX_HELD, MAX_NAME_BYTES, MAX_NAMES,
    MAX_SLOTS, Registration, SessionError, Terms, VERSIONS, Version, alpns, backoff_ms, check_name,
    check_offer, check_place, refuse, version_of,
};
use proptest::prelude::*;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};

const VERSION: Version = VERSIONS[0];
const STORE: [u8; 16] = [7; 16];

fn registration() -> Registration {
    Registration {
        instance: [1; 16],
        agent_type: "pattern-matcher".into(),
        capabilities: vec!["simd".into(), "gpu".into(), "gpu".into()],
        kinds: vec!["dtw".into(), "lcs".into()],
        slots: 4,
        metadata: BTreeMap::from([("zone".into(), "eu-1".into())]),
        software: "midstreamer 0.1.0".into(),
    }
}

fn terms() -> Terms {
    Terms {
        coordinator: "desk".into(),
        generation: Generation(3),
        store: STORE,
        epoch: 5,
        agent_timeout_ms: 10_000,
        max_message_bytes: 64 << 20,
        features: FEATURES,
    }
}

fn frames(mut bytes: BytesMut) -> Vec<Frame> {
    let decoder = Decoder::default();
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut bytes).unwrap() {
        frames.push(frame);
    }
    assert!(bytes.is_empty());
    frames
}

fn frame(kind: FrameKind, message: &impl Message) -> Frame {
    let mut out = BytesMut::new();
    encode_message(kind, 0, message, &[], &mut out).unwrap();
    frames(out).pop().unwrap()
}

/// The frames of a dialling agent, and the agent.
fn dial(registration: &Registration, held: &[Held], store: Option<[u8; 16]>) -> (Dialing, Vec<Frame>) {
    let mut out = BytesMut::new();
    let dialing = Dialing::new(VERSION, registration, held, store, 1_000, &mut out).unwrap();
    (dialing, frames(out))
}

fn greet(frames: &[Frame]) -> Result<Greeting, SessionError> {
    let mut listening = Listening::new(VERSION, 0, 5_000);
    let (last, first) = frames.split_last().unwrap();
    for frame in first {
        assert_eq!(listening.receive(frame)?, None);
    }
    Ok(listening.receive(last)?.expect("the last frame completes Hello"))
}

fn hello() -> Hello {
    dial(&registration(), &[], None).1[0].message().unwrap()
}

fn greet_hello(change: impl FnOnce(&mut Hello)) -> Result<Greeting, SessionError> {
    let mut hello = hello();
    change(&mut hello);
    greet(&[frame(FrameKind::Hello, &hello)])
}

fn welcome(change: impl FnOnce(&mut Welcome)) -> Result<Accepted, SessionError> {
    let (mut dialing, hello) = dial(&registration(), &[], Some(STORE));
    let mut out = BytesMut::new();
    terms().welcome(&greet(&hello).unwrap(), &[], &mut out).unwrap();
    let mut welcome: Welcome = frames(out)[0].message().unwrap();
    change(&mut welcome);
    dialing
        .receive(&frame(FrameKind::Welcome, &welcome))
        .map(|accepted| accepted.expect("a Welcome is the end"))
}

#[test]
fn the_welcome_says_what_goes_on() {
    let held = |task| Held { task, epoch: 3, attempt: 1, finished: false };
    let listed: Vec<Held> = (0..5_000).map(held).collect();
    let resumed: Vec<Held> = (0..5_000).step_by(2).map(held).collect();
    let answer = |resumed: &[Held]| {
        let (dialing, hello) = dial(&registration(), &listed, Some(STORE));
        let mut out = BytesMut::new();
        terms().welcome(&greet(&hello).unwrap(), resumed, &mut out).unwrap();
        (dialing, frames(out))
    };
    let (mut dialing, frames) = answer(&resumed);
    assert!(frames.len() > 2, "more than one frame of tasks");
    let (last, before) = frames.split_last().unwrap();
    for frame in before {
        assert!(dialing.receive(frame).unwrap().is_none());
    }
    assert_eq!(dialing.receive(last).unwrap().unwrap().resumed, resumed);
    // Nobody gets back more than was listed.
    let (_, frames) = answer(&listed);
    let (mut dialing, _) = dial(&registration(), &listed[..10], Some(STORE));
    assert!(matches!(dialing.receive(&frames[0]), Err(SessionError::Invalid { .. })));
}

#[test]
fn an_agent_is_welcomed() {
    let greeting = greet(&dial(&registration(), &[], None).1).unwrap();
    assert_eq!(greeting.capabilities, ["gpu".into(), "simd".into()]);
    assert_eq!(greeting.kinds, ["dtw".into(), "lcs".into()]);
    assert_eq!(
        (greeting.slots, &greeting.agent_type[..], greeting.instance),
        (4, "pattern-matcher", [1; 16])
    );
    assert_eq!(greeting.metadata, registration().metadata);
    assert_eq!((greeting.store, greeting.held.len()), (None, 0));

    let accepted = welcome(|_| ()).unwrap();
    assert_eq!((accepted.generation, accepted.epoch, accepted.store), (Generation(3), 5, STORE));
    assert_eq!((accepted.coordinator.as_str(), accepted.heartbeat_ms), ("desk", 3_333));
    assert_eq!((accepted.max_message_bytes, accepted.lease.agent_timeout_ms()), (64 << 20, 10_000));
    // Hello was sent at 1,000: the lease counts from there.
    assert_eq!(accepted.lease.ends_at(), 10_000);
}

#[test]
fn held_tasks_are_resumed_however_many() {
    for count in [0, 1, 100, 2_000, 5_000, MAX_HELD] {
        let held: Vec<Held> = (0..count as u64)
            .map(|k| Held { task: u64::MAX - k, epoch: u64::MAX, attempt: u32::MAX, finished: k % 2 == 0 })
            .collect();
        let greeting = greet(&dial(&registration(), &held, Some(STORE)).1).unwrap();
        assert_eq!((greeting.held.len(), greeting.store), (count, Some(STORE)));
        assert_eq!(greeting.held, held);
    }
    let too_many = vec![Held { task: 1, ..Held::default() }; MAX_HELD + 1];
    let refused = Dialing::new(VERSION, &registration(), &too_many, Some(STORE), 0, &mut BytesMut::new());
    assert!(matches!(refused, Err(SessionError::Invalid { .. })));
    // A peer that does it all the same.
    let mut frames = dial(&registration(), &too_many[1..], Some(STORE)).1;
    let last = frames.pop().unwrap();
    let mut resume: Resume = last.message().unwrap();
    resume.more = true;
    frames.push(frame(FrameKind::Resume, &resume));
    frames.push(frame(FrameKind::Resume, &Resume { resume: vec![Held::default()], more: false }));
    assert!(matches!(greet(&frames), Err(SessionError::Invalid { .. })));
}

#[test]
fn what_is_held_of_another_store_is_void() {
    assert!(welcome(|_| ()).unwrap().held_valid);
    assert!(!welcome(|welcome| welcome.store = vec![8; 16].into()).unwrap().held_valid);
}

#[test]
fn hello_comes_first_and_once() {
    for &kind in FrameKind::ALL.iter().filter(|kind| **kind != FrameKind::Hello) {
        let refused = greet(&[frame(kind, &GoodbyeAck {})]).unwrap_err();
        assert_eq!(refused, SessionError::Unexpected { kind, place: "before Hello" });
        assert_eq!(refused.code(), Code::Protocol);
    }
    let mut more = hello();
    more.more = true;
    for kind in [FrameKind::Hello, FrameKind::Heartbeat] {
        let refused = greet_two(&more, &frame(kind, &hello()));
        assert_eq!(refused, SessionError::Unexpected { kind, place: "before the end of Hello" });
    }
    let endless = greet_two(&more, &frame(FrameKind::Resume, &Resume { resume: vec![], more: true }));
    assert!(matches!(endless, SessionError::Invalid { .. }));
}

fn greet_two(first: &Hello, second: &Frame) -> SessionError {
    let mut listening = Listening::new(VERSION, 0, 5_000);
    assert_eq!(listening.receive(&frame(FrameKind::Hello, first)), Ok(None));
    listening.receive(second).unwrap_err()
}

#[test]
fn silence_has_a_deadline() {
    let listening = Listening::new(VERSION, 100, 5_000);
    assert_eq!((listening.deadline(), listening.expire(5_099)), (5_100, Ok(())));
    let late = listening.expire(5_100).unwrap_err();
    assert_eq!((late.code(), late), (Code::Timeout, SessionError::Silent { limit_ms: 5_000 }));
}

#[test]
fn hello_is_held_to_its_limits() {
    let many = |count: usize| (0..count).map(|k| format!("name {k}")).collect::<Vec<_>>();
    let metadata = |entries: usize, bytes: usize| {
        (0..entries).map(|k| (format!("{k:04}"), "x".repeat(bytes - 4))).collect::<BTreeMap<_, _>>()
    };
    let name = "n".repeat(MAX_NAME_BYTES);
    assert!(greet_hello(|hello| hello.capabilities = many(MAX_NAMES)).is_ok());
    assert!(greet_hello(|hello| hello.kinds = many(MAX_NAMES)).is_ok());
    assert!(greet_hello(|hello| hello.agent_type = name.clone()).is_ok());
    assert!(greet_hello(|hello| hello.slots = MAX_SLOTS).is_ok());
    assert!(greet_hello(|hello| hello.metadata = metadata(64, 256)).is_ok());
    assert!(greet_hello(|hello| hello.software = String::new()).is_ok());
    assert!(
        greet_hello(|hello| hello.features = u64::MAX).is_ok_and(|greeting| greeting.features == FEATURES)
    );

    let refused: Vec<(&str, Result<Greeting, SessionError>)> = vec![
        ("capabilities", greet_hello(|hello| hello.capabilities = many(MAX_NAMES + 1))),
        ("kinds", greet_hello(|hello| hello.kinds = many(MAX_NAMES + 1))),
        ("empty kind", greet_hello(|hello| hello.kinds.push(String::new()))),
        ("long kind", greet_hello(|hello| hello.kinds.push(format!("{name}n")))),
        ("control", greet_hello(|hello| hello.capabilities.push("a\nb".into()))),
        ("type", greet_hello(|hello| hello.agent_type = String::new())),
        ("slots", greet_hello(|hello| hello.slots = MAX_SLOTS + 1)),
        ("entries", greet_hello(|hello| hello.metadata = metadata(65, 8))),
        ("metadata", greet_hello(|hello| hello.metadata = metadata(64, 257))),
        ("key", greet_hello(|hello| drop(hello.metadata.insert(String::new(), String::new())))),
        ("instance", greet_hello(|hello| hello.instance = vec![1; 15].into())),
        ("store", greet_hello(|hello| hello.store = vec![1; 17].into())),
        ("software", greet_hello(|hello| hello.software = "\0".into())),
        ("no store", greet_hello(|hello| hello.resume = vec![Held::default()])),
    ];
    for (what, refused) in refused {
        let refused = refused.expect_err(what);
        assert!(matches!(refused, SessionError::Invalid { .. }), "{what}: {refused}");
        assert_eq!(refused.code(), Code::Protocol);
    }
    let refused = greet_hello(|hello| hello.protocol = 2).unwrap_err();
    assert_eq!(refused, SessionError::Version { hello: 2, connection: 1 });
}

#[test]
fn an_agent_asks_for_nothing_that_would_be_refused() {
    let dial = |registration: &Registration| {
        Dialing::new(VERSION, registration, &[], None, 0, &mut BytesMut::new()).map(|_| ())
    };
    assert_eq!(dial(&registration()), Ok(()));
    // One that drains dials too: its results are wanted.
    assert_eq!(dial(&Registration { slots: 0, ..registration() }), Ok(()));
    let no_name = Registration { kinds: vec![String::new()], ..registration() };
    assert!(matches!(dial(&no_name), Err(SessionError::Invalid { .. })));
    let names: Vec<String> = (0..MAX_NAMES).map(|k| format!("{k:0128}")).collect();
    let long = Registration { kinds: names.clone(), capabilities: names, ..registration() };
    assert!(matches!(dial(&long), Err(SessionError::Frame(FrameError::TooLong { .. }))));
    let held = [Held::default()];
    let no_store = Dialing::new(VERSION, &registration(), &held, None, 0, &mut BytesMut::new());
    assert!(matches!(no_store, Err(SessionError::Invalid { .. })));
}

#[test]
fn a_welcome_is_held_to_its_limits() {
    for (what, refused) in [
        ("store", welcome(|welcome| welcome.store = vec![1; 15].into())),
        ("timeout", welcome(|welcome| welcome.agent_timeout_ms = 99)),
        ("long timeout", welcome(|welcome| welcome.agent_timeout_ms = u64::MAX)),
        ("heartbeat", welcome(|welcome| welcome.heartbeat_ms = 0)),
        ("long heartbeat", welcome(|welcome| welcome.heartbeat_ms = welcome.agent_timeout_ms)),
        ("messages", welcome(|welcome| welcome.max_message_bytes = 0)),
        ("long messages", welcome(|welcome| welcome.max_message_bytes = u64::MAX)),
        ("features", welcome(|welcome| welcome.features = FEATURES + 1)),
        ("name", welcome(|welcome| welcome.coordinator = "\u{7f}".into())),
    ] {
        assert!(matches!(refused.expect_err(what), SessionError::Invalid { .. }), "{what}");
    }
    let (mut dialing, _) = dial(&registration(), &[], None);
    let early = dialing.receive(&frame(FrameKind::ResultAck, &GoodbyeAck {})).unwrap_err();
    assert_eq!(early, SessionError::Unexpected { kind: FrameKind::ResultAck, place: "before Welcome" });
}

#[test]
fn a_refusal_says_whether_to_come_back() {
    let refused = |code: i32| {
        let refuse = Refuse { code, message: "no".into() };
        dial(&registration(), &[], None).0.receive(&frame(FrameKind::Refuse, &refuse)).unwrap_err()
    };
    for (code, is_final) in [
        (Code::Protocol, true),
        (Code::Unauthenticated, true),
        (Code::Forbidden, true),
        (Code::SessionReplaced, true),
        (Code::Unspecified, false),
        (Code::Overloaded, false),
        (Code::Draining, false),
        (Code::Closed, false),
        (Code::Timeout, false),
        (Code::Store, false),
        (Code::Internal, false),
    ] {
        assert_eq!(refused(code.into()), SessionError::Refused { code, message: "no".into() });
        assert_eq!(refused(code.into()).code().is_final(), is_final, "{code:?}");
    }
    assert!(!refused(12_345).code().is_final());
    let mut out = BytesMut::new();
    refuse(Code::Draining, "going home", &mut out).unwrap();
    let error = dial(&registration(), &[], None).0.receive(&frames(out)[0]).unwrap_err();
    assert_eq!(error, SessionError::Refused { code: Code::Draining, message: "going home".into() });
}

#[test]
fn versions_are_negotiated_newest_first() {
    let two = [Version { protocol: 2, alpn: b"nt-swarm/2" }, VERSION];
    assert_eq!(alpns(&two), [b"nt-swarm/2".to_vec(), b"nt-swarm/1".to_vec()]);
    assert_eq!(version_of(&two, Some(b"nt-swarm/1")), Ok(VERSION));
    assert_eq!(version_of(&two, Some(b"nt-swarm/2")), Ok(two[0]));
    for alpn in [None, Some(&b"h3"[..]), Some(b""), Some(b"\xff")] {
        assert!(matches!(version_of(VERSIONS, alpn), Err(SessionError::Alpn { .. })), "{alpn:?}");
    }
    let protocols: Vec<u32> = VERSIONS.iter().map(|version| version.protocol).collect();
    assert!(protocols.is_sorted_by(|a, b| a > b));
}

#[test]
fn every_frame_has_its_place() {
    let allowed = |kind: FrameKind, lane, alone, from| check_place(kind, lane, alone, from).is_ok();
    for &kind in FrameKind::ALL {
        let handshake =
            matches!(kind, FrameKind::Hello | FrameKind::Resume | FrameKind::Welcome | FrameKind::LaneOpen);
        for lane in [Lane::Control, Lane::Task, Lane::Sync, Lane::Enrolment] {
            for from in [Sender::Agent, Sender::Coordinator] {
                let sender = kind.sender() == from || kind.sender() == Sender::Either;
                assert_eq!(
                    allowed(kind, lane, false, from),
                    !handshake && kind.lane() == lane && sender,
                    "{kind}"
                );
            }
        }
    }
    assert!(allowed(FrameKind::Assign, Lane::Task, true, Sender::Coordinator));
    assert!(!allowed(FrameKind::PublishAck, Lane::Task, true, Sender::Coordinator));
    assert!(!allowed(FrameKind::Goodbye, Lane::Task, true, Sender::Coordinator));
}

#[test]
fn offers_and_topics_are_checked() {
    let offer =
        |slots, kinds: &[&str]| Offer { slots, kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect() };
    assert_eq!(check_offer(&offer(0, &[])), Ok(vec![]));
    assert_eq!(check_offer(&offer(4, &["b", "a", "b"])), Ok(vec!["a".into(), "b".into()]));
    assert!(check_offer(&offer(MAX_SLOTS + 1, &[])).is_err());
    assert!(check_offer(&offer(1, &["\t"])).is_err());
    assert!(check_name("topic", "prices/\u{20ac}").is_ok());
    assert!(check_name("topic", "\u{85}").is_err());
}

// ---------------------------------------------------------------------------------------------------------- leases

#[test]
fn a_lease_lasts_nine_tenths_of_the_timeout() {
    let mut lease = LeaseClock::new(1_000, 500);
    assert!(lease.holds(1_399) && !lease.holds(1_400));
    let first = lease.heartbeat(600);
    let second = lease.heartbeat(900);
    assert_eq!((first, second, lease.ends_at()), (1, 2, 1_400));
    lease.acknowledge(second).unwrap();
    assert_eq!(lease.ends_at(), 1_800);
    // An old acknowledgement does not take anything back.
    lease.acknowledge(first).unwrap();
    assert_eq!(lease.ends_at(), 1_800);
    assert!(lease.acknowledge(3).is_err() && lease.acknowledge(0).is_err());
    for now in 0..1_000 {
        lease.heartbeat(1_000 + now);
    }
    lease.acknowledge(3).unwrap();
    assert_eq!(lease.ends_at(), 1_800, "a heartbeat that was forgotten prolongs nothing");
    lease.acknowledge(1_002).unwrap();
    assert_eq!(lease.ends_at(), 2_899);
}

/// The coordinator's view: as src/protocol/tasks has it, an agent that was not heard of for the timeout is lost.
struct Liveness {
    timeout: u64,
    heard_at: u64,
}

impl Liveness {
    fn new(timeout: u64, now: u64) -> Self {
        Self { timeout, heard_at: now }
    }

    fn heard(&mut self, now: u64) {
        self.heard_at = self.heard_at.max(now);
    }

    fn is_lost(&self, now: u64) -> bool {
        now >= self.heard_at + self.timeout
    }
}

proptest! {
    /// Whatever is late or lost: who may start work is not lost.
    #[test]
    fn no_work_is_started_by_an_agent_that_is_lost(
        timeout in 100u64..20_000,
        hello_delay in 0u64..3_000,
        steps in prop::collection::vec((0u64..9_000, 0u64..4_000, 0u64..4_000, any::<bool>()), 1..60),
    ) {
        let mut lease = LeaseClock::new(timeout, 0);
        let mut liveness = Liveness::new(timeout, hello_delay);
        let mut now = hello_delay;
        let (mut heard, mut acknowledged) = (VecDeque::new(), VecDeque::new());
        // The lanes keep their order.
        let (mut last_there, mut last_back) = (0, 0);
        for (pause, there, back, arrives) in steps {
            let until = now + pause;
            let seq = lease.heartbeat(now);
            if arrives {
                last_there = (now + there).max(last_there);
                last_back = (last_there + back).max(last_back);
                heard.push_back(last_there);
                acknowledged.push_back((last_back, seq));
            }
            for instant in now..=until {
                while heard.front().is_some_and(|at| *at <= instant) {
                    liveness.heard(heard.pop_front().unwrap());
                }
                while acknowledged.front().is_some_and(|(at, _)| *at <= instant) {
                    lease.acknowledge(acknowledged.pop_front().unwrap().1).unwrap();
                }
                prop_assert!(!(lease.holds(instant) && liveness.is_lost(instant)), "at {}", instant);
            }
            now = until;
        }
    }

    #[test]
    fn pauses_stay_in_their_window(attempt: u32, random in 0.0..1.0f64) {
        let pause = backoff_ms(attempt, random);
        let window = 100.0 * 2f64.powi(attempt.min(30) as i32);
        prop_assert!(pause < 15_000 && (pause as f64) < window);
        prop_assert!(backoff_ms(attempt, random / 2.0) <= pause);
    }
}
