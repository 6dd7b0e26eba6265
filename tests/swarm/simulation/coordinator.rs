//! The coordinator's process: a ledger, a store that takes its time, and the rule that nothing is said before it is
//! committed.

use super::frames::{ConnectionId, Frame, Side};
use super::model_store::ModelStore;
use super::process::agent_name;
use super::world::{Event, World};
use midstreamer::protocol::tasks::{
    Change, Counts, Departure, Effect, Enqueued, Failure, FailureCode, Ledger, LedgerConfig, Offer,
};
use midstreamer::protocol::work::Welcome;
use midstreamer::protocol::{Generation, TaskId};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// What a caller is told once everything before it is committed.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) enqueued: Enqueued,
    pub(super) key: Option<Arc<str>>,
}

/// What one turn of the coordinator left to be done.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Change>,
    effects: Vec<Effect>,
    replies: Vec<Reply>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.effects.is_empty() && self.replies.is_empty()
    }
}

pub(super) struct Coordinator {
    ledger: Option<Ledger>,
    /// Counts its starts, so that what an earlier life waited for is not taken for one's own.
    life: u64,
    /// Its wall clock minus the time of the world.
    offset: u64,
    connections: HashMap<(Arc<str>, Generation), ConnectionId>,
    /// Being committed, or waiting for that, in order.
    batches: VecDeque<Batch>,
    committing: bool,
    wakes_at: Option<u64>,
    pub(super) paused: Option<VecDeque<Event>>,
    last_counts: Counts,
}

impl Coordinator {
    pub(super) fn start(config: &LedgerConfig, store: &mut ModelStore, now: u64, offset: u64) -> Self {
        let recovered = store.open();
        Self {
            ledger: Some(Ledger::new(config.clone(), recovered, now + offset)),
            life: store.epoch,
            offset,
            connections: HashMap::new(),
            batches: VecDeque::new(),
            committing: false,
            wakes_at: None,
            paused: None,
            last_counts: Counts::default(),
        }
    }

    pub(super) fn clock(&self, now: u64) -> u64 {
        now + self.offset
    }

    pub(super) fn is_up(&self) -> bool {
        self.ledger.is_some()
    }

    /// Nothing waits for the store.
    pub(super) fn is_quiet(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn counts(&self) -> Counts {
        self.ledger.as_ref().map_or(self.last_counts, Ledger::counts)
    }

    pub(super) fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("the coordinator runs")
    }

    pub(super) fn ledger_mut(&mut self) -> &mut Ledger {
        self.ledger.as_mut().expect("the coordinator runs")
    }

    /// A clock that was set, or a machine that slept.
    pub(super) fn jump(&mut self, by_ms: u64) {
        self.offset += by_ms;
    }
}

impl World {
    pub(super) fn coordinator_now(&self) -> u64 {
        self.coordinator.clock(self.now)
    }

    /// Killed, here and now. What was being committed is there, or not.
    pub(super) fn crash_coordinator(&mut self) {
        let coordinator = &mut self.coordinator;
        let Some(ledger) = coordinator.ledger.take() else { return };
        coordinator.last_counts = ledger.counts();
        coordinator.paused = None;
        let batches = std::mem::take(&mut coordinator.batches);
        if coordinator.committing
            && let Some(batch) = batches.front()
            && self.rng.bool()
        {
            batch.changes.iter().for_each(|change| self.store.apply(change));
        }
        for connection in 0..self.connections.len() {
            if self.connections[connection].open[Side::Coordinator as usize] {
                self.connections[connection].open[Side::Coordinator as usize] = false;
                if self.rng.bool() {
                    let wait = self.rng.u64(0..300);
                    self.after(wait, Event::Closed { connection, side: Side::Agent });
                }
            }
        }
        let wait = self.rng.u64(0..=self.climate.restart_ms);
        self.after(wait, Event::CoordinatorStarts);
    }

    pub(super) fn start_coordinator(&mut self) {
        if self.coordinator.is_up() {
            return;
        }
        // The wall clock of the new process may be anything.
        let offset = self.rng.u64(0..10_000_000);
        self.coordinator = Coordinator::start(&self.config, &mut self.store, self.now, offset);
        self.after_turn();
    }

    pub(super) fn coordinator_wakes(&mut self, life: u64) {
        if life != self.coordinator.life || !self.coordinator.is_up() {
            return;
        }
        let now = self.coordinator_now();
        if self.coordinator.wakes_at.is_some_and(|at| at <= now) {
            self.coordinator.wakes_at = None;
        }
        self.coordinator.ledger_mut().tick(now);
        self.after_turn();
    }

    pub(super) fn coordinator_lost(&mut self, connection: ConnectionId) {
        self.session_ended(connection, Departure::Disconnected);
    }

    fn session_ended(&mut self, connection: ConnectionId, departure: Departure) {
        let there = &self.connections[connection];
        let agent = agent_name(self.processes[there.process].agent);
        let Some(generation) = there.generation else { return };
        let now = self.coordinator_now();
        if self.coordinator.is_up() {
            self.coordinator.ledger_mut().leave(&agent, generation, departure, now);
            self.after_turn();
        }
    }

    pub(super) fn coordinator_hears(&mut self, connection: ConnectionId, frame: Frame) {
        if !self.coordinator.is_up() {
            return;
        }
        let now = self.coordinator_now();
        let process = self.connections[connection].process;
        let agent = agent_name(self.processes[process].agent);
        let instance = self.processes[process].instance;
        if let Frame::Hello { kinds, slots, resume, sent_at } = frame {
            let capabilities = vec!["tall".into()];
            let offer = Offer { kinds, capabilities, slots };
            let ledger = self.coordinator.ledger_mut();
            let (epoch, store) = (ledger.epoch(), [42; 16]);
            let joined = ledger.join(agent.clone(), instance, offer, None, &resume, now);
            let joined = joined.expect("there are fewer agents than the limit");
            let generation = joined.generation;
            self.connections[connection].generation = Some(generation);
            self.coordinator.connections.insert((agent, generation), connection);
            let welcome = Welcome { store, epoch, generation, resumed: joined.resumed, lease_until: 0 };
            self.send(connection, Side::Coordinator, Frame::Welcome { welcome, hello_sent_at: sent_at });
            return self.after_turn();
        }
        let generation = self.connections[connection].generation.expect("a Hello comes first");
        let ledger = self.coordinator.ledger_mut();
        match frame {
            Frame::Heartbeat { sent_at } => {
                if ledger.heard(&agent, generation, now) {
                    self.send(connection, Side::Coordinator, Frame::HeartbeatAck { sent_at });
                }
            }
            Frame::Offer { kinds, slots } => ledger.offer_changed(&agent, generation, kinds, slots, now),
            Frame::Completed { task, fence, value } => {
                ledger.completed(&agent, generation, task, fence, value, 1, now);
            }
            Frame::Failed { task, fence, failure, retryable } => {
                ledger.failed(&agent, generation, task, fence, failure, retryable, now);
            }
            Frame::Stopped { task, fence } => ledger.stopped(&agent, generation, task, fence, now),
            Frame::Progress { task, fence } => ledger.progress(&agent, generation, task, fence, 0.5, now),
            Frame::ReplacedAcknowledged => {
                return self.session_ended(connection, Departure::ReplacedAcknowledged);
            }
            Frame::Goodbye => return self.session_ended(connection, Departure::Goodbye),
            other => panic!("{other:?} is not for a coordinator"),
        }
        self.after_turn();
    }

    /// Something was said to the ledger: takes out what follows, and lets the store have it.
    pub(super) fn after_turn(&mut self) {
        self.after_turn_with(None);
    }

    pub(super) fn after_turn_with(&mut self, reply: Option<Reply>) {
        let mut batch = Batch::default();
        let ledger = self.coordinator.ledger_mut();
        if self.handled.is_multiple_of(4) {
            ledger.audit();
        }
        ledger.drain(&mut batch.changes, &mut batch.effects);
        batch.replies.extend(reply);
        let next = ledger.next_deadline();
        if !batch.is_empty() {
            // What comes in during a commit goes into the next one, together.
            match self.coordinator.batches.len() {
                2.. => {
                    let waiting = self.coordinator.batches.back_mut().expect("there are two");
                    waiting.changes.append(&mut batch.changes);
                    waiting.effects.append(&mut batch.effects);
                    waiting.replies.append(&mut batch.replies);
                }
                _ => self.coordinator.batches.push_back(batch),
            }
            self.commit();
        }
        if let Some(next) = next
            && self.coordinator.wakes_at.is_none_or(|at| next < at)
        {
            self.coordinator.wakes_at = Some(next);
            let late = self.rng.u64(0..5);
            let wait = next.saturating_sub(self.coordinator_now()) + late;
            let life = self.coordinator.life;
            self.after(wait, Event::CoordinatorWakes { life });
        }
    }

    fn commit(&mut self) {
        if !self.coordinator.committing && !self.coordinator.batches.is_empty() {
            self.coordinator.committing = true;
            let wait = self.rng.u64(0..=self.climate.commit_ms);
            let life = self.coordinator.life;
            self.after(wait, Event::Committed { life });
        }
    }

    /// The store has answered.
    pub(super) fn committed(&mut self, life: u64) {
        if life != self.coordinator.life || !self.coordinator.is_up() {
            return;
        }
        self.coordinator.committing = false;
        if self.chance(self.climate.commit_fails) {
            self.commit_failed();
        } else if let Some(batch) = self.coordinator.batches.pop_front() {
            batch.changes.iter().for_each(|change| self.store.apply(change));
            for Reply { enqueued, key } in batch.replies {
                self.witness.accepted(enqueued.task, key, &self.store);
            }
            for effect in batch.effects {
                self.witness.leaves(&effect, &self.store, self.now);
                self.act(effect);
            }
        }
        self.commit();
    }

    /// The disk is full. What was to be accepted is not; everything else is tried again.
    fn commit_failed(&mut self) {
        let accepts = self.coordinator.batches[0].changes.iter();
        let gone: BTreeSet<TaskId> = accepts.filter_map(Change::accepts_new).collect();
        for batch in &mut self.coordinator.batches {
            batch.changes.retain(|change| !gone.contains(&change.task()));
            batch.effects.retain(|effect| effect.task().is_none_or(|task| !gone.contains(&task)));
            batch.replies.retain(|reply| !gone.contains(&reply.enqueued.task));
        }
        let gone: Vec<TaskId> = gone.into_iter().collect();
        let now = self.coordinator_now();
        self.coordinator.ledger_mut().withdraw(&gone, now);
        self.coordinator.ledger().audit();
        self.after_turn();
    }

    fn act(&mut self, effect: Effect) {
        let mut to = |agent: &Arc<str>, generation: Generation, frame: Frame| {
            let connection = self.coordinator.connections.get(&(agent.clone(), generation)).copied();
            if let Some(connection) = connection {
                self.send(connection, Side::Coordinator, frame);
            }
        };
        match effect {
            Effect::Assign { agent, generation, fence, task, .. } => {
                to(&agent, generation, Frame::Assign { fence, task });
            }
            Effect::Acknowledge { agent, generation, task, fence, .. } => {
                to(&agent, generation, Frame::Acknowledge { task, fence });
            }
            Effect::Cancel { agent, generation, task, fence, .. } => {
                to(&agent, generation, Frame::Cancel { task, fence });
            }
            Effect::Replace { agent, generation } => to(&agent, generation, Frame::Replaced),
            Effect::Abandon { agent, generation } | Effect::Lost { agent, generation } => {
                if let Some(connection) = self.coordinator.connections.remove(&(agent, generation)) {
                    self.close(connection, Side::Coordinator);
                }
            }
            Effect::Settled { .. } | Effect::Retried { .. } => {}
        }
    }
}

/// What a handler says when it throws.
pub(super) fn thrown() -> Failure {
    Failure { code: FailureCode::Handler, message: "no".to_owned(), remote_code: None, agent: None }
}
