//! The world that the state machines live in: time, processes, connections, and one event after the other.

use super::coordinator::Coordinator;
use super::frames::{Connection, ConnectionId, Frame, ProcessId, Side};
use super::model_store::ModelStore;
use super::process::{Process, Status};
use super::witness::Witness;
use fastrand::Rng;
use midstreamer::protocol::tasks::LedgerConfig;
use midstreamer::protocol::work::Report;
use midstreamer::protocol::{Fence, TaskId};
use std::collections::{BTreeMap, VecDeque};

pub(super) const AGENT_TIMEOUT_MS: u64 = 1_000;
pub(super) const KINDS: [&str; 3] = ["red", "green", "blue"];

#[derive(Debug, Clone)]
pub(super) enum Event {
    Arrives {
        connection: ConnectionId,
        to: Side,
        frame: Frame,
    },
    Closed {
        connection: ConnectionId,
        side: Side,
    },
    CoordinatorWakes {
        life: u64,
    },
    Committed {
        life: u64,
    },
    CoordinatorStarts,
    CoordinatorContinues,
    Dial {
        process: ProcessId,
    },
    Heartbeat {
        process: ProcessId,
    },
    ProcessWakes {
        process: ProcessId,
    },
    /// The handler's turn has come.
    Turn {
        process: ProcessId,
        task: TaskId,
        fence: Fence,
    },
    HandlerEnds {
        process: ProcessId,
        task: TaskId,
        fence: Fence,
        report: Report,
    },
    HandlerReports {
        process: ProcessId,
        task: TaskId,
        fence: Fence,
    },
    ProcessStarts {
        agent: usize,
    },
    ProcessContinues {
        process: ProcessId,
    },
    Heals {
        process: ProcessId,
    },
    /// A caller does something.
    Caller,
    /// Something breaks.
    Fault,
}

/// What kind of world a seed makes.
#[derive(Debug, Clone)]
pub(super) struct Climate {
    pub(super) agents: usize,
    pub(super) latency_ms: u64,
    pub(super) repeats: f64,
    pub(super) commit_ms: u64,
    pub(super) commit_fails: f64,
    /// Mean time between faults.
    pub(super) fault_ms: u64,
    /// Mean time between what callers do.
    pub(super) caller_ms: u64,
    pub(super) duration_ms: u64,
    pub(super) hangs: bool,
    /// The longest that a handler waits for its turn.
    pub(super) turn_ms: u64,
    /// The longest that the coordinator takes to start again.
    pub(super) restart_ms: u64,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: u64,
    pub(super) climate: Climate,
    pub(super) config: LedgerConfig,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    pub(super) store: ModelStore,
    pub(super) witness: Witness,
    pub(super) coordinator: Coordinator,
    pub(super) processes: Vec<Process>,
    pub(super) connections: Vec<Connection>,
    /// No more faults, no more callers: everything must come to its end.
    pub(super) calm: bool,
    pub(super) handled: u64,
}

/// One of several.
pub(super) fn pick<T: Copy, const N: usize>(rng: &mut Rng, from: [T; N]) -> T {
    from[rng.usize(0..N)]
}

impl World {
    pub(super) fn new(seed: u64, steps: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let climate = Climate {
            agents: rng.usize(1..=4),
            latency_ms: pick(&mut rng, [1, 10, 60, 250]),
            repeats: if rng.bool() { 0.0 } else { 0.1 },
            commit_ms: pick(&mut rng, [0, 2, 20, 150, 700]),
            commit_fails: if rng.u8(0..4) == 0 { 0.1 } else { 0.0 },
            fault_ms: pick(&mut rng, [150, 600, 2_500, 1_000_000]),
            caller_ms: pick(&mut rng, [10, 50, 200]),
            duration_ms: 0,
            hangs: rng.bool(),
            turn_ms: pick(&mut rng, [1, 60, 900]),
            restart_ms: pick(&mut rng, [1, 100, 2_000]),
        };
        let climate = Climate { duration_ms: climate.caller_ms * steps, ..climate };
        let config = LedgerConfig {
            agent_timeout_ms: AGENT_TIMEOUT_MS,
            max_agents: 16,
            max_queued: pick(&mut rng, [5, 40, 1_000]),
            max_queued_bytes: if rng.u8(0..8) == 0 { 12_000 } else { 1 << 30 },
            retention_ms: if rng.u8(0..3) == 0 { 3_000 } else { 1_000_000_000 },
            max_retained_bytes: if rng.u8(0..4) == 0 { 6_000 } else { 1 << 30 },
        };
        let mut store = ModelStore::default();
        let coordinator = Coordinator::start(&config, &mut store, 0, 5_000_000);
        let mut world = Self {
            rng,
            now: 0,
            climate,
            config,
            events: BTreeMap::new(),
            next_event: 0,
            store,
            witness: Witness::default(),
            coordinator,
            processes: Vec::new(),
            connections: Vec::new(),
            calm: false,
            handled: 0,
        };
        for agent in 0..world.climate.agents {
            let when = world.rng.u64(0..500);
            world.after(when, Event::ProcessStarts { agent });
        }
        world.after(0, Event::Caller);
        world.after(world.climate.fault_ms, Event::Fault);
        world
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.f64() < probability
    }

    pub(super) fn after(&mut self, wait_ms: u64, event: Event) {
        self.events.insert((self.now + wait_ms, self.next_event), event);
        self.next_event += 1;
    }

    /// Runs until faults stop, and then until nothing happens any more.
    pub(super) fn run(&mut self) {
        while self.now < self.climate.duration_ms {
            self.step();
        }
        self.calm_down();
        let patience = self.now + 400 * AGENT_TIMEOUT_MS;
        while !self.is_settled() {
            assert!(self.now < patience, "tasks without an outcome: {:#?}", self.coordinator.counts());
            self.step();
            // Somebody for every task: the first agent can do everything, and is started again when it is gone.
            if !self.processes.iter().any(|process| process.agent == 0 && process.status == Status::Live) {
                self.start_process(0);
            }
        }
        self.check_end();
    }

    fn step(&mut self) {
        let Some(((at, _), event)) = self.events.pop_first() else {
            panic!("nothing will ever happen again")
        };
        self.now = at;
        self.handled += 1;
        match self.inbox_of(&event) {
            Some(inbox) => inbox.push_back(event),
            None => self.handle(event),
        }
    }

    /// Where an event waits whose process is stopped.
    fn inbox_of(&mut self, event: &Event) -> Option<&mut VecDeque<Event>> {
        match self.owner(event)? {
            Side::Coordinator => self.coordinator.paused.as_mut(),
            Side::Agent => {
                let process = self.process_of(event)?;
                self.processes[process].paused.as_mut()
            }
        }
    }

    /// Whose code an event runs: that one may be stopped.
    fn owner(&self, event: &Event) -> Option<Side> {
        match event {
            Event::Arrives { to, .. } => Some(*to),
            Event::Closed { side, .. } => Some(*side),
            Event::CoordinatorWakes { .. } | Event::Committed { .. } => Some(Side::Coordinator),
            Event::Dial { .. }
            | Event::Heartbeat { .. }
            | Event::ProcessWakes { .. }
            | Event::Turn { .. }
            | Event::HandlerEnds { .. }
            | Event::HandlerReports { .. } => Some(Side::Agent),
            _ => None,
        }
    }

    fn process_of(&self, event: &Event) -> Option<ProcessId> {
        match event {
            Event::Arrives { connection, .. } | Event::Closed { connection, .. } => {
                Some(self.connections[*connection].process)
            }
            Event::Dial { process }
            | Event::Heartbeat { process }
            | Event::ProcessWakes { process }
            | Event::Turn { process, .. }
            | Event::HandlerEnds { process, .. }
            | Event::HandlerReports { process, .. } => Some(*process),
            _ => None,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrives { connection, to, frame } => {
                let there = &self.connections[connection];
                if there.cut || !there.open[to as usize] {
                    return;
                }
                match to {
                    Side::Coordinator => self.coordinator_hears(connection, frame),
                    Side::Agent => self.process_hears(connection, frame),
                }
            }
            Event::Closed { connection, side } => {
                if !std::mem::replace(&mut self.connections[connection].open[side as usize], false) {
                    return;
                }
                match side {
                    Side::Coordinator => self.coordinator_lost(connection),
                    Side::Agent => self.process_lost(connection),
                }
            }
            Event::CoordinatorWakes { life } => self.coordinator_wakes(life),
            Event::Committed { life } => self.committed(life),
            Event::CoordinatorStarts => self.start_coordinator(),
            Event::CoordinatorContinues => {
                let inbox = self.coordinator.paused.take().unwrap_or_default();
                self.replay(inbox);
            }
            Event::Dial { process } => self.dial(process),
            Event::Heartbeat { process } => self.heartbeat(process),
            Event::ProcessWakes { process } => self.process_wakes(process),
            Event::Turn { process, task, fence } => self.turn(process, task, fence),
            Event::HandlerEnds { process, task, fence, report } => {
                self.handler_ends(process, task, fence, report);
            }
            Event::HandlerReports { process, task, fence } => self.handler_reports(process, task, fence),
            Event::ProcessStarts { agent } => self.start_process(agent),
            Event::ProcessContinues { process } => {
                let inbox = self.processes[process].paused.take().unwrap_or_default();
                self.replay(inbox);
            }
            Event::Heals { process } => self.heal(process),
            Event::Caller => self.caller(),
            Event::Fault => self.fault(),
        }
    }

    /// A process that was stopped goes on: all at once, frames before its own timers or after them.
    fn replay(&mut self, inbox: VecDeque<Event>) {
        let frames_first = self.rng.bool();
        let is_frame = |event: &Event| matches!(event, Event::Arrives { .. } | Event::Closed { .. });
        let (first, second): (Vec<Event>, Vec<Event>) =
            inbox.into_iter().partition(|event| is_frame(event) == frames_first);
        for event in first.into_iter().chain(second) {
            self.handle(event);
        }
    }

    // ------------------------------------------------------------------------------------------ the network

    /// Sends a frame, unless the connection is known to be gone.
    pub(super) fn send(&mut self, connection: ConnectionId, from: Side, frame: Frame) {
        let to = if from == Side::Agent { Side::Coordinator } else { Side::Agent };
        let there = &mut self.connections[connection];
        if there.cut || !there.open[from as usize] {
            return;
        }
        if self.processes[there.process].partitioned {
            there.stalled.push((to, frame));
            return;
        }
        self.deliver(connection, to, frame);
    }

    fn deliver(&mut self, connection: ConnectionId, to: Side, frame: Frame) {
        let lane = frame.lane();
        let wait = self.rng.u64(0..=self.climate.latency_ms);
        let last = &mut self.connections[connection].last[to as usize][lane];
        *last = (*last).max(self.now + wait);
        let wait = *last - self.now;
        let repeat = frame.may_repeat() && self.chance(self.climate.repeats);
        if repeat {
            let later = wait + self.rng.u64(0..=2 * self.climate.latency_ms);
            self.after(later, Event::Arrives { connection, to, frame: frame.clone() });
        }
        self.after(wait, Event::Arrives { connection, to, frame });
    }

    /// The connection breaks. Either end may notice at once, late, or not at all.
    pub(super) fn cut(&mut self, connection: ConnectionId) {
        self.connections[connection].cut = true;
        for side in [Side::Coordinator, Side::Agent] {
            if self.rng.bool() {
                let wait = self.rng.u64(0..300);
                self.after(wait, Event::Closed { connection, side });
            }
        }
    }

    /// One end closes the connection; the other hears of it, if anything still arrives.
    pub(super) fn close(&mut self, connection: ConnectionId, by: Side) {
        let other = if by == Side::Agent { Side::Coordinator } else { Side::Agent };
        let there = &mut self.connections[connection];
        there.open[by as usize] = false;
        if there.cut || self.processes[there.process].partitioned {
            self.connections[connection].cut = true;
            return;
        }
        // After everything that was sent before.
        let last = self.connections[connection].last[other as usize];
        let wait = last[0].max(last[1]).saturating_sub(self.now) + 1;
        self.after(wait, Event::Closed { connection, side: other });
    }

    pub(super) fn heal(&mut self, process: ProcessId) {
        self.processes[process].partitioned = false;
        for connection in 0..self.connections.len() {
            if self.connections[connection].process == process && !self.connections[connection].cut {
                for (to, frame) in std::mem::take(&mut self.connections[connection].stalled) {
                    self.deliver(connection, to, frame);
                }
            }
        }
    }

    // ----------------------------------------------------------------------------------------------- the end

    /// Everything that is broken mends, and nothing new comes.
    fn calm_down(&mut self) {
        self.calm = true;
        self.climate.commit_fails = 0.0;
        if self.coordinator.paused.is_some() {
            self.handle(Event::CoordinatorContinues);
        }
        for process in 0..self.processes.len() {
            self.heal(process);
            if self.processes[process].paused.is_some() {
                self.handle(Event::ProcessContinues { process });
            }
        }
    }

    fn is_settled(&self) -> bool {
        let counts = self.coordinator.counts();
        let live = |process: &&Process| matches!(process.status, Status::Live);
        self.coordinator.is_up()
            && self.coordinator.is_quiet()
            && counts.queued + counts.running == 0
            && self.processes.iter().filter(live).all(|process| process.bench.is_idle())
    }

    fn check_end(&mut self) {
        let ledger = self.coordinator.ledger();
        ledger.audit();
        for task in &self.witness.accepted {
            match ledger.outcome(*task) {
                Ok(outcome) => assert!(outcome.is_some(), "{task:?} was accepted and has no outcome"),
                // Its retention was over.
                Err(_) => assert!(self.store.outcomes.contains_key(task), "{task:?} is lost"),
            }
        }
        // Time goes by, and nothing is left.
        let end = self.coordinator.clock(self.now) + self.config.retention_ms + AGENT_TIMEOUT_MS;
        let (mut changes, mut effects) = (Vec::new(), Vec::new());
        let ledger = self.coordinator.ledger_mut();
        ledger.tick(end);
        ledger.audit();
        ledger.drain(&mut changes, &mut effects);
        for change in &changes {
            self.store.apply(change);
        }
        let counts = self.coordinator.counts();
        assert_eq!((counts.retained, counts.retained_bytes, counts.queued_bytes), (0, 0, 0));
        assert!(self.store.tasks.is_empty(), "{:?} are kept for ever", self.store.tasks.keys());
    }
}
