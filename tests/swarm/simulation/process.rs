//! An agent's process: a workbench, handlers that take their time, and a connection that comes and goes.

use super::coordinator::thrown;
use super::frames::{Connection, ConnectionId, Frame, ProcessId, Side};
use super::world::{AGENT_TIMEOUT_MS, Event, KINDS, World, pick};
use bytes::Bytes;
use midstreamer::protocol::tasks::{Failure, TaskRecord};
use midstreamer::protocol::work::{Assigned, Effect, Report, Start, Welcome, Workbench};
use midstreamer::protocol::{Fence, TaskId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

const HEARTBEAT_MS: u64 = AGENT_TIMEOUT_MS / 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Live,
    /// It takes its leave: no new tasks, until it is idle or this has passed.
    Draining {
        until: u64,
    },
    /// It has ended.
    Gone,
}

pub(super) struct Process {
    /// Which agent it is.
    pub(super) agent: usize,
    pub(super) instance: [u8; 16],
    pub(super) bench: Workbench,
    pub(super) status: Status,
    pub(super) connection: Option<ConnectionId>,
    pub(super) paused: Option<VecDeque<Event>>,
    pub(super) partitioned: bool,
    kinds: Vec<Arc<str>>,
    slots: u32,
    most_slots: u32,
    /// Its clock minus the time of the world.
    offset: u64,
    last_acknowledged: u64,
    /// Payloads of what is not started.
    payloads: BTreeMap<(TaskId, Fence), Arc<TaskRecord>>,
    /// Handlers that run and were not told to stop.
    running: BTreeSet<(TaskId, Fence)>,
    /// Results that are nobody else's yet.
    unacknowledged: BTreeSet<(TaskId, Fence)>,
}

pub(super) fn agent_name(agent: usize) -> Arc<str> {
    format!("agent-{agent}").into()
}

impl Process {
    fn new(agent: usize, number: usize, slots: u32, kinds: Vec<Arc<str>>, offset: u64) -> Self {
        let mut instance = [0; 16];
        instance[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Self {
            agent,
            instance,
            bench: Workbench::new(slots),
            status: Status::Live,
            connection: None,
            paused: None,
            partitioned: false,
            kinds,
            slots,
            most_slots: slots,
            offset,
            last_acknowledged: 0,
            payloads: BTreeMap::new(),
            running: BTreeSet::new(),
            unacknowledged: BTreeSet::new(),
        }
    }

    pub(super) fn jump(&mut self, by_ms: u64) {
        self.offset += by_ms;
    }
}

impl World {
    fn process_now(&self, process: ProcessId) -> u64 {
        self.now + self.processes[process].offset
    }

    pub(super) fn start_process(&mut self, agent: usize) {
        let number = self.processes.len();
        let slots = self.rng.u32(1..=3);
        // The first agent can do everything.
        let some = |rng: &mut fastrand::Rng| agent == 0 || rng.bool();
        let kinds = KINDS.iter().filter(|_| some(&mut self.rng)).map(|kind| (*kind).into()).collect();
        let offset = self.rng.u64(0..1_000_000);
        self.processes.push(Process::new(agent, number, slots, kinds, offset));
        self.after(0, Event::Dial { process: number });
        self.after(HEARTBEAT_MS, Event::Heartbeat { process: number });
    }

    /// Killed, here and now.
    pub(super) fn crash_process(&mut self, process: ProcessId) {
        let dead = &mut self.processes[process];
        if dead.status == Status::Gone {
            return;
        }
        let agent = dead.agent;
        dead.paused = None;
        self.end_process(process);
        let wait = self.rng.u64(0..2_000);
        self.after(wait, Event::ProcessStarts { agent });
    }

    fn end_process(&mut self, process: ProcessId) {
        let dead = &mut self.processes[process];
        dead.status = Status::Gone;
        dead.payloads.clear();
        dead.running.clear();
        dead.unacknowledged.clear();
        dead.bench = Workbench::new(0);
        if let Some(connection) = dead.connection.take() {
            self.connections[connection].open[Side::Agent as usize] = false;
            self.cut(connection);
        }
    }

    pub(super) fn dial(&mut self, process: ProcessId) {
        let it = &self.processes[process];
        if it.status == Status::Gone || it.connection.is_some() {
            return;
        }
        if it.partitioned || !self.coordinator.is_up() {
            let wait = self.rng.u64(1..300);
            return self.after(wait, Event::Dial { process });
        }
        let connection = self.connections.len();
        self.connections.push(Connection::new(process));
        let sent_at = self.process_now(process);
        let it = &mut self.processes[process];
        it.connection = Some(connection);
        it.last_acknowledged = sent_at;
        it.bench.disconnected();
        let hello =
            Frame::Hello { kinds: it.kinds.clone(), slots: it.slots, resume: it.bench.resume(), sent_at };
        self.send(connection, Side::Agent, hello);
    }

    pub(super) fn process_lost(&mut self, connection: ConnectionId) {
        let process = self.connections[connection].process;
        let it = &mut self.processes[process];
        if it.connection != Some(connection) {
            return;
        }
        it.connection = None;
        it.bench.disconnected();
        let wait = self.rng.u64(0..200);
        self.after(wait, Event::Dial { process });
    }

    pub(super) fn heartbeat(&mut self, process: ProcessId) {
        if self.processes[process].status == Status::Gone {
            return;
        }
        let now = self.process_now(process);
        self.after(HEARTBEAT_MS, Event::Heartbeat { process });
        if let Some(connection) = self.processes[process].connection {
            if now - self.processes[process].last_acknowledged > AGENT_TIMEOUT_MS {
                self.close(connection, Side::Agent);
                self.process_lost(connection);
            } else if self.connections[connection].welcomed {
                self.send(connection, Side::Agent, Frame::Heartbeat { sent_at: now });
            }
        }
        self.finish_draining(process);
    }

    pub(super) fn process_hears(&mut self, connection: ConnectionId, frame: Frame) {
        let process = self.connections[connection].process;
        let now = self.process_now(process);
        if self.processes[process].connection != Some(connection) {
            return;
        }
        if !self.connections[connection].welcomed && frame.lane() == 1 {
            return self.connections[connection].early.push(frame);
        }
        let it = &mut self.processes[process];
        match frame {
            Frame::Welcome { welcome, hello_sent_at } => {
                self.connections[connection].welcomed = true;
                it.last_acknowledged = now;
                let resumed: BTreeSet<_> = welcome.resumed.iter().copied().collect();
                it.unacknowledged.retain(|held| resumed.contains(held));
                let lease_until = hello_sent_at + AGENT_TIMEOUT_MS;
                it.bench.connected(Welcome { lease_until, ..welcome }, now);
                self.after_bench(process);
                for frame in std::mem::take(&mut self.connections[connection].early) {
                    self.process_hears(connection, frame);
                }
                return;
            }
            Frame::HeartbeatAck { sent_at } => {
                it.last_acknowledged = now;
                it.bench.renewed(sent_at + AGENT_TIMEOUT_MS, now);
            }
            Frame::Assign { fence, task } => match it.bench.assign(task.id, fence) {
                Assigned::Run => {
                    let id = task.id;
                    it.payloads.insert((id, fence), task);
                    // A dead letter that was put back: its earlier attempts are of no use.
                    it.unacknowledged.retain(|(task, _)| *task != id);
                    assert!(it.bench.outstanding() <= it.most_slots as usize, "more tasks than slots");
                    let wait = self.rng.u64(0..=self.climate.turn_ms);
                    self.after(wait, Event::Turn { process, task: id, fence });
                }
                Assigned::Duplicate | Assigned::Refused => {}
                Assigned::Overflow => panic!("the coordinator sends more than the slots"),
            },
            Frame::Acknowledge { task, fence } => {
                it.unacknowledged.remove(&(task, fence));
                it.bench.acknowledged(task, fence);
            }
            Frame::Cancel { task, fence } => {
                self.witness.told(process, task, fence);
                it.bench.cancel(task, fence, now);
            }
            Frame::Replaced => {
                self.send(connection, Side::Agent, Frame::ReplacedAcknowledged);
                return self.close_process(process);
            }
            other => panic!("{other:?} is not for an agent"),
        }
        self.after_bench(process);
    }

    /// The end, in an orderly way.
    fn close_process(&mut self, process: ProcessId) {
        self.processes[process].bench.close_down();
        self.processes[process].unacknowledged.clear();
        self.after_bench(process);
        if let Some(connection) = self.processes[process].connection.take() {
            // What was sent last has to arrive: the other end closes, or notices that nobody is there.
            self.connections[connection].open[Side::Agent as usize] = false;
        }
        self.end_process(process);
    }

    pub(super) fn drain_process(&mut self, process: ProcessId) {
        let until = self.process_now(process) + 1_500;
        let it = &mut self.processes[process];
        if it.status != Status::Live {
            return;
        }
        it.status = Status::Draining { until };
        self.offer(process, 0);
        let agent = self.processes[process].agent;
        let wait = self.rng.u64(0..4_000);
        self.after(wait, Event::ProcessStarts { agent });
    }

    /// Another number of slots.
    pub(super) fn offer(&mut self, process: ProcessId, slots: u32) {
        let it = &mut self.processes[process];
        it.slots = slots;
        it.most_slots = it.most_slots.max(slots);
        it.bench.set_slots(slots);
        let kinds = it.kinds.clone();
        if let Some(connection) = it.connection.filter(|connection| self.connections[*connection].welcomed) {
            self.send(connection, Side::Agent, Frame::Offer { kinds, slots });
        }
    }

    fn finish_draining(&mut self, process: ProcessId) {
        let now = self.process_now(process);
        let it = &self.processes[process];
        let Status::Draining { until } = it.status else { return };
        let Some(connection) = it.connection else { return };
        if self.connections[connection].welcomed && (it.bench.is_idle() || until <= now) {
            self.processes[process].unacknowledged.clear();
            self.processes[process].bench.close_down();
            self.after_bench(process);
            self.send(connection, Side::Agent, Frame::Goodbye);
            self.close_process(process);
        }
    }

    // --------------------------------------------------------------------------------------------- handlers

    pub(super) fn turn(&mut self, process: ProcessId, task: TaskId, fence: Fence) {
        let now = self.process_now(process);
        let it = &mut self.processes[process];
        if it.status == Status::Gone || !it.payloads.contains_key(&(task, fence)) {
            return;
        }
        match it.bench.may_start(task, fence, now) {
            Start::Now => {
                let record = it.payloads.remove(&(task, fence)).expect("looked at just now");
                it.running.insert((task, fence));
                assert!(it.running.len() <= it.most_slots as usize, "more handlers than slots");
                self.witness.starts(process, task, fence, self.now, AGENT_TIMEOUT_MS, &self.store);
                self.run_handler(process, &record, fence);
            }
            Start::Later => {}
            Start::Never => panic!("{task:?} {fence} was dropped without a word"),
        }
    }

    fn run_handler(&mut self, process: ProcessId, record: &TaskRecord, fence: Fence) {
        let task = record.id;
        let limited = record.spec.attempt_timeout_ms.is_some() || record.spec.timeout_ms.is_some();
        let value = Bytes::from(format!("{task:?} {fence}"));
        let run = pick(&mut self.rng, [0, 5, 50, 400, 1_500]);
        let run = self.rng.u64(0..=run);
        if record.spec.progress_timeout_ms.is_some() && self.rng.bool() {
            self.after(run / 2, Event::HandlerReports { process, task, fence });
        }
        let failed =
            |retryable| Report::Failed { message: "no".to_owned(), code: None, too_large: false, retryable };
        let report = match self.rng.u8(0..20) {
            0 if limited && self.climate.hangs => return,
            1..4 => failed(true),
            4 => failed(false),
            _ => Report::Completed { value, run_ms: run },
        };
        self.after(run, Event::HandlerEnds { process, task, fence, report });
    }

    pub(super) fn handler_ends(&mut self, process: ProcessId, task: TaskId, fence: Fence, report: Report) {
        let it = &mut self.processes[process];
        if it.status == Status::Gone {
            return;
        }
        it.running.remove(&(task, fence));
        if it.bench.is_running(task, fence) {
            it.unacknowledged.insert((task, fence));
        }
        it.bench.finished(task, fence, report);
        self.after_bench(process);
    }

    pub(super) fn handler_reports(&mut self, process: ProcessId, task: TaskId, fence: Fence) {
        let it = &self.processes[process];
        let told = it.running.contains(&(task, fence)) && it.bench.generation().is_some();
        if let Some(connection) = it.connection.filter(|_| told) {
            self.send(connection, Side::Agent, Frame::Progress { task, fence });
        }
    }

    pub(super) fn process_wakes(&mut self, process: ProcessId) {
        let now = self.process_now(process);
        self.processes[process].bench.tick(now);
        self.after_bench(process);
    }

    /// Does what the workbench wants.
    fn after_bench(&mut self, process: ProcessId) {
        let mut effects = Vec::new();
        let it = &mut self.processes[process];
        it.bench.drain(&mut effects);
        let held = it.bench.resume();
        for kept in &it.unacknowledged {
            let there = held.iter().any(|held| (held.task, held.fence) == *kept && held.finished);
            assert!(there, "the result of {kept:?} is gone before it was acknowledged");
        }
        for effect in effects {
            self.do_for_bench(process, effect);
        }
        let now = self.process_now(process);
        if let Some(next) = self.processes[process].bench.next_deadline() {
            self.after(next.saturating_sub(now).max(1), Event::ProcessWakes { process });
        }
    }

    fn do_for_bench(&mut self, process: ProcessId, effect: Effect) {
        let it = &mut self.processes[process];
        let frame = match effect {
            Effect::Run { task, fence } => {
                let wait = self.rng.u64(0..20);
                return self.after(wait, Event::Turn { process, task, fence });
            }
            Effect::Drop { task, fence } => {
                let there = it.payloads.remove(&(task, fence));
                assert!(there.is_some(), "{task:?} {fence} is dropped after its start");
                return;
            }
            Effect::Abort { task, fence, .. } => {
                it.running.remove(&(task, fence));
                // Some handlers listen.
                if self.rng.bool() {
                    let wait = self.rng.u64(0..300);
                    let report = Report::Completed { value: Bytes::new(), run_ms: 0 };
                    self.after(wait, Event::HandlerEnds { process, task, fence, report });
                }
                return;
            }
            Effect::Send { task, fence, report } => match &*report {
                Report::Completed { value, .. } => Frame::Completed { task, fence, value: value.clone() },
                Report::Failed { message, retryable, .. } => {
                    let failure = Failure { message: message.clone(), ..thrown() };
                    Frame::Failed { task, fence, failure, retryable: *retryable }
                }
            },
            Effect::Stopped { task, fence } => Frame::Stopped { task, fence },
        };
        if let Some(connection) = self.processes[process].connection {
            self.send(connection, Side::Agent, frame);
        }
    }
}
