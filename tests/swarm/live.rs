//! A coordinator and agents of one process over real QUIC on loopback.

use bytes::Bytes;
use midstreamer::security::Identity;
use midstreamer::swarm::agent::{AgentConfig, AgentEvent, AgentState, Handler, HandlerFailure, Work};
use midstreamer::swarm::coordinator::{
    CoordinatorConfig, CoordinatorEvent, TaskRequest, TaskResult, TaskStateName,
};
use midstreamer::swarm::{Agent, Coordinator, SwarmCode, SwarmError};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Far longer than anything here takes: a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Events<T> = Arc<dyn Fn(T) + Send + Sync>;

fn events<T: Send + 'static>() -> (Events<T>, Receiver<T>) {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    // Nobody listens at the end of a test.
    (Arc::new(move |event| drop(sender.lock().unwrap().send(event))), receiver)
}

pub(crate) fn start(config: CoordinatorConfig) -> (Coordinator, Receiver<CoordinatorEvent>) {
    let (listener, told) = events();
    let (sender, started) = channel();
    Coordinator::start(config, listener, move |outcome| sender.send(outcome).unwrap());
    (started.recv_timeout(PATIENCE).unwrap().unwrap(), told)
}

pub(crate) fn close(coordinator: &Coordinator) {
    let (sender, closed) = channel();
    coordinator.close(move || sender.send(()).unwrap());
    closed.recv_timeout(PATIENCE).unwrap();
}

pub(crate) fn close_agent(agent: &Agent) {
    let (sender, closed) = channel();
    agent.close(move || sender.send(()).unwrap());
    closed.recv_timeout(PATIENCE).unwrap();
}

/// What a test wants done with a task.
type Act = dyn Fn(&Agent, Work) + Send + Sync;

/// Runs `act` on a thread of its own, as JavaScript would on its.
#[derive(Clone)]
struct Acting(Arc<Inner>);

struct Inner {
    agent: OnceLock<Agent>,
    act: Box<Act>,
    stopped: Mutex<Vec<u64>>,
}

impl Handler for Acting {
    fn run(&self, work: Work) {
        let this = self.0.clone();
        std::thread::spawn(move || {
            let agent = this.agent.wait();
            if agent.may_start(work.token) {
                (this.act)(agent, work);
            }
        });
    }

    fn stop(&self, token: u64, _: SwarmCode, _: &str) {
        self.0.stopped.lock().unwrap().push(token);
    }
}

pub(crate) struct TestAgent {
    pub(crate) agent: Agent,
    handler: Acting,
    pub(crate) events: Receiver<AgentEvent>,
}

pub(crate) fn connect(
    address: &str,
    identity: Identity,
    kinds: &[&str],
    act: impl Fn(&Agent, Work) + Send + Sync + 'static,
) -> Result<TestAgent, SwarmError> {
    connect_as(worker(address, identity, kinds), act)
}

/// How [`connect`] sets up an agent.
pub(crate) fn worker(address: &str, identity: Identity, kinds: &[&str]) -> AgentConfig {
    AgentConfig {
        addresses: vec![address.to_owned()],
        identity,
        on_identity: None,
        agent_type: "worker".to_owned(),
        capabilities: vec!["gpu".to_owned()],
        metadata: BTreeMap::new(),
        concurrency: 16,
        kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
        connect_timeout_ms: 5_000,
    }
}

pub(crate) fn connect_as(
    config: AgentConfig,
    act: impl Fn(&Agent, Work) + Send + Sync + 'static,
) -> Result<TestAgent, SwarmError> {
    let handler =
        Acting(Arc::new(Inner { agent: OnceLock::new(), act: Box::new(act), stopped: Mutex::default() }));
    let (listener, events) = events();
    let (sender, connected) = channel();
    // Kept: dropping it changes nothing, but the name says that it may be aborted.
    let _connecting = Agent::connect(config, Arc::new(handler.clone()), listener, move |outcome| {
        sender.send(outcome).unwrap();
    })?;
    let agent = connected.recv_timeout(PATIENCE).unwrap()?;
    assert!(handler.0.agent.set(agent.clone()).is_ok());
    Ok(TestAgent { agent, handler, events })
}

pub(crate) fn task(kind: &str, payload: &'static [u8]) -> TaskRequest {
    TaskRequest {
        kind: Arc::from(kind),
        payload: Bytes::from_static(payload),
        priority: 5,
        requires: Vec::new(),
        timeout_ms: None,
        attempt_timeout_ms: None,
        progress_timeout_ms: None,
        key: None,
        max_attempts: None,
    }
}

pub(crate) fn submit(
    coordinator: &Coordinator,
    task: TaskRequest,
) -> Receiver<Result<TaskResult, SwarmError>> {
    let (sender, receiver) = channel();
    // Nobody listens to tasks that a test leaves behind.
    coordinator.submit(task, move |outcome| drop(sender.send(outcome)));
    receiver
}

pub(crate) fn echo(agent: &Agent, work: Work) {
    agent.finished(work.token, Ok(work.payload));
}

#[test]
fn tasks_go_to_agents_and_results_come_back() {
    let (coordinator, told) = start(CoordinatorConfig::default());
    let identity = coordinator.development_identity("a1").unwrap();
    let a1 = connect(coordinator.address(), identity, &["echo"], echo).unwrap();
    assert_eq!((a1.agent.id(), a1.agent.state()), ("a1", AgentState::Connected));
    let joined = told.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(&joined, CoordinatorEvent::AgentJoined(agent) if &*agent.id == "a1"), "{joined:?}");
    assert_eq!(&*coordinator.agents()[0].key_exchange, "X25519MLKEM768");

    let results: Vec<_> = (0..200).map(|_| submit(&coordinator, task("echo", b"payload"))).collect();
    for result in results {
        let result = result.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!((&*result.agent, result.attempts, &result.value[..]), ("a1", 1, &b"payload"[..]));
    }
    let stats = coordinator.stats();
    assert_eq!((stats.completed, stats.queued, stats.running, stats.agents), (200, 0, 0, 1));

    // A payload that takes a stream of its own, both ways.
    let large = TaskRequest { payload: Bytes::from(vec![7; 3 << 20]), ..task("echo", b"") };
    let result = submit(&coordinator, large).recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(result.value.len() == 3 << 20 && result.value.iter().all(|&byte| byte == 7));

    close_agent(&a1.agent);
    assert_eq!(a1.agent.state(), AgentState::Closed);
    // The event of the end may still be on its way.
    let other = a1
        .events
        .try_iter()
        .find(|event| !matches!(event, AgentEvent::Connected { .. } | AgentEvent::Closed(None)));
    assert!(other.is_none(), "{other:?}");
    let until = Instant::now() + PATIENCE;
    while !coordinator.agents().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(coordinator.agents().len(), 0);
    close(&coordinator);
    close(&coordinator);
    let after = submit(&coordinator, task("echo", b"")).recv_timeout(PATIENCE).unwrap();
    assert_eq!(after.unwrap_err().code, SwarmCode::Closed);
}

#[test]
fn many_large_payloads_do_not_starve_the_connection() {
    let (coordinator, _told) =
        start(CoordinatorConfig { agent_timeout_ms: 2_000, ..CoordinatorConfig::default() });
    let identity = coordinator.development_identity("a1").unwrap();
    let a1 = connect(coordinator.address(), identity, &["echo"], echo).unwrap();
    let payload = Bytes::from((0..4 << 20).map(|at: u32| at as u8).collect::<Vec<u8>>());
    let large = TaskRequest { payload: payload.clone(), ..task("echo", b"") };
    let results: Vec<_> = (0..24).map(|_| submit(&coordinator, large.clone())).collect();
    for result in results {
        let result = result.recv_timeout(PATIENCE).unwrap().unwrap();
        assert!(result.value == payload, "both ways, whole");
    }
    close_agent(&a1.agent);
    close(&coordinator);
}

#[test]
fn a_handler_that_fails_is_retried_until_its_attempts_are_used_up() {
    let (coordinator, _told) = start(CoordinatorConfig::default());
    let identity = coordinator.development_identity("a1").unwrap();
    let a1 = connect(coordinator.address(), identity, &["fail"], |agent, work| {
        let failure = HandlerFailure {
            message: format!("attempt {}", work.attempt),
            code: Some("E_TEST".to_owned()),
            retryable: work.payload.is_empty(),
        };
        agent.finished(work.token, Err(failure));
    })
    .unwrap();
    let error = submit(&coordinator, task("fail", b"")).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.code, SwarmCode::TaskFailed);
    let failure = error.task.unwrap();
    assert_eq!((failure.attempts, failure.remote_message.as_str()), (3, "attempt 3"));
    assert_eq!(failure.remote_code.as_deref(), Some("E_TEST"));
    let error = submit(&coordinator, task("fail", b"no")).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.task.unwrap().attempts, 1);
    assert_eq!(coordinator.dead_letters().len(), 2);
    assert!(coordinator.dead_letters().iter().all(|letter| letter.state == TaskStateName::Failed));
    close(&coordinator);
    close_agent(&a1.agent);
}

#[test]
fn leaving_cancels_the_task_and_stops_its_handler() {
    let (coordinator, _told) = start(CoordinatorConfig::default());
    let identity = coordinator.development_identity("a1").unwrap();
    let (sender, running) = channel();
    let sender = Mutex::new(sender);
    let a1 = connect(coordinator.address(), identity, &["wait"], move |_, work| {
        sender.lock().unwrap().send(work.token).unwrap();
    })
    .unwrap();
    let (done, outcome) = channel();
    let waiter = coordinator.submit(task("wait", b""), move |result| done.send(result).unwrap());
    let token = running.recv_timeout(PATIENCE).unwrap();
    coordinator.leave(waiter);
    assert_eq!(outcome.recv_timeout(PATIENCE).unwrap().unwrap_err().code, SwarmCode::Aborted);
    let until = Instant::now() + PATIENCE;
    while a1.handler.0.stopped.lock().unwrap().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(*a1.handler.0.stopped.lock().unwrap(), [token]);
    close_agent(&a1.agent);
    close(&coordinator);
}

#[test]
fn who_has_no_certificate_of_ours_is_told_so() {
    let (coordinator, _told) = start(CoordinatorConfig::default());
    let (other, _other_told) = start(CoordinatorConfig::default());
    let identity = other.development_identity("a1").unwrap();
    let error = connect(coordinator.address(), identity, &[], echo).err().unwrap();
    assert_eq!(error.code, SwarmCode::Unauthenticated, "{error}");
    close(&coordinator);
    close(&other);
}

#[test]
fn a_later_login_replaces_the_earlier_one_for_good() {
    let (coordinator, _told) = start(CoordinatorConfig::default());
    let identity = || coordinator.development_identity("a1").unwrap();
    let first = connect(coordinator.address(), identity(), &["echo"], echo).unwrap();
    let second = connect(coordinator.address(), identity(), &["echo"], echo).unwrap();
    let until = Instant::now() + PATIENCE;
    let replaced = loop {
        let event = first.events.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap();
        if let AgentEvent::Closed(error) = event {
            break error.unwrap();
        }
    };
    assert_eq!(replaced.code, SwarmCode::SessionReplaced);
    let result = submit(&coordinator, task("echo", b"x")).recv_timeout(PATIENCE).unwrap();
    assert_eq!(result.unwrap().attempts, 1);
    close_agent(&second.agent);
    close(&coordinator);
}

#[test]
fn a_task_without_a_capable_agent_waits_until_its_deadline() {
    let (coordinator, _told) = start(CoordinatorConfig::default());
    let waiting = TaskRequest { timeout_ms: Some(50), ..task("nobody", b"") };
    let error = submit(&coordinator, waiting).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.code, SwarmCode::NoAgent);
    close(&coordinator);
}
