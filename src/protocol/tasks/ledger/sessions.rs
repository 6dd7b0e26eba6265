//! Agents come, stay and go; one live session for each name.

use super::*;
use std::collections::HashSet;

/// A name that is connected or has leases.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) session: Option<Session>,
    /// Sessions that have ended, as long as they have leases: their process may come back, or may not know yet.
    pub(super) former: Vec<Former>,
    pub(super) completed: u64,
    pub(super) failed: u64,
}

/// A connection that is served.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) generation: Generation,
    /// Which process it is.
    pub(super) instance: [u8; 16],
    /// Sorted.
    pub(super) kinds: Vec<Arc<str>>,
    /// Sorted; nothing: all.
    pub(super) allowed: Option<Vec<Arc<str>>>,
    /// Sorted.
    pub(super) capabilities: Vec<Arc<str>>,
    pub(super) slots: u32,
    pub(super) connected_at: Millis,
    pub(super) last_heard: Millis,
    pub(super) leases: HashSet<TaskId, TaskHash>,
    /// Executions without a lease that have not stopped yet, as far as we know. Each uses a slot.
    pub(super) ghosts: Vec<Ghost>,
}

/// An execution whose task has its outcome already.
#[derive(Debug)]
pub(super) struct Ghost {
    pub(super) task: TaskId,
    pub(super) fence: Fence,
    /// It no longer counts after this.
    pub(super) until: Millis,
}

/// A session that has ended and has leases.
#[derive(Debug)]
pub(super) struct Former {
    /// 0 for those of an earlier life of the coordinator.
    pub(super) generation: Generation,
    /// Nothing for those of an earlier life of the coordinator: any process of that name may have them.
    pub(super) instance: Option<[u8; 16]>,
    /// When its process can no longer start anything.
    pub(super) until: Millis,
    pub(super) leases: BTreeSet<TaskId>,
}

impl Session {
    pub(super) fn outstanding(&self) -> usize {
        self.leases.len() + self.ghosts.len()
    }

    fn can(&self, kind: &str, requires: &[Arc<str>]) -> bool {
        listed(&self.kinds, kind)
            && self.allowed.as_ref().is_none_or(|allowed| listed(allowed, kind))
            && requires.iter().all(|name| listed(&self.capabilities, name))
    }
}

/// Whether a sorted list holds a name.
fn listed(list: &[Arc<str>], name: &str) -> bool {
    list.binary_search_by(|other| (**other).cmp(name)).is_ok()
}

fn sorted(mut names: Vec<Arc<str>>) -> Vec<Arc<str>> {
    names.sort_unstable();
    names.dedup();
    names
}

/// What ends the leases of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// They go back to the queue as if they had never been given out.
    GivenBack,
    /// Each uses an attempt.
    Lost(&'static str),
}

impl Ledger {
    /// An agent has logged in. `instance` names its process; `allowed` holds the kinds that its identity may run
    /// (nothing: all); `resume` lists what it has from earlier connections to this store.
    ///
    /// A process that comes back goes on with what it listed, if nobody else got it meanwhile; what it had and does
    /// not list is given to others at once. Another process under the same name is given the session; what the
    /// earlier one had waits until that one has confirmed or can no longer start it.
    pub fn join(
        &mut self,
        agent: AgentId,
        instance: [u8; 16],
        offer: Offer,
        allowed: Option<Vec<Arc<str>>>,
        resume: &[Held],
        now: Millis,
    ) -> Result<Joined, Refusal> {
        self.advance(now);
        let known = self.by_agent.get(&agent).copied();
        let connected = known.is_some_and(|at| self.agent(at).session.is_some());
        if !connected && self.counts.agents >= self.config.max_agents {
            return Err(Refusal::TooManyAgents);
        }
        let at = self.agent_index(&agent);
        if let Some(session) = &self.agent(at).session {
            let (generation, same) = (session.generation, session.instance == instance);
            self.effects.push(match same {
                true => Effect::Abandon { agent: agent.clone(), generation },
                false => Effect::Replace { agent: agent.clone(), generation },
            });
            self.end_session(at);
        }
        let generation = Generation(self.next_generation);
        self.next_generation += 1;
        let allowed = allowed.map(sorted);
        let resumed = self.resume_leases(at, instance, generation, allowed.as_deref(), resume);
        let now = self.now;
        self.agent(at).session = Some(Session {
            generation,
            instance,
            kinds: sorted(offer.kinds),
            allowed,
            capabilities: sorted(offer.capabilities),
            slots: offer.slots,
            connected_at: now,
            last_heard: now,
            leases: resumed.iter().map(|(task, _)| *task).collect(),
            ghosts: Vec::new(),
        });
        self.counts.agents += 1;
        // Its process has come back without the rest.
        let left_over = |former: &Former| former.instance == Some(instance);
        self.expire(at, left_over, End::Lost("the agent came back without the task"));
        self.offers(at);
        self.watch_silence();
        self.feed(at);
        Ok(Joined { generation, resumed })
    }

    /// Moves the leases that the agent listed and still has to its new session.
    fn resume_leases(
        &mut self,
        at: AgentIndex,
        instance: [u8; 16],
        generation: Generation,
        allowed: Option<&[Arc<str>]>,
        resume: &[Held],
    ) -> Vec<(TaskId, Fence)> {
        let mut resumed = Vec::new();
        for held in resume {
            let Some(entry) = self.tasks.get_mut(&held.task) else { continue };
            // It was given the task when it was allowed to have it.
            if !allowed.is_none_or(|allowed| listed(allowed, &entry.kind)) {
                continue;
            }
            let Some(lease) = entry.lease_mut() else { continue };
            if lease.agent != at || lease.fence != held.fence || lease.ending.is_some() {
                continue;
            }
            let agent = self.agents[at].as_mut().expect("it was given an index just now");
            let holder = agent.former.iter_mut().find(|former| former.generation == lease.generation);
            // Nobody has it when the list names it twice.
            let Some(holder) = holder.filter(|former| former.instance.is_none_or(|other| other == instance))
            else {
                continue;
            };
            holder.leases.remove(&held.task);
            lease.generation = generation;
            // It may have been unable to report progress.
            lease.progress_at = self.now;
            resumed.push((held.task, held.fence));
        }
        self.agent(at).former.retain(|former| !former.leases.is_empty());
        for (task, _) in &resumed {
            self.set_timer(*task);
        }
        resumed
    }

    /// The agent handles other kinds now, or has another number of slots.
    pub fn offer_changed(
        &mut self,
        agent: &str,
        generation: Generation,
        kinds: Vec<Arc<str>>,
        slots: u32,
        now: Millis,
    ) {
        self.advance(now);
        let Some(at) = self.current(agent, generation) else { return };
        let session = self.agent(at).session.as_mut().expect("its generation was compared");
        session.kinds = sorted(kinds);
        session.slots = slots;
        self.offers(at);
        self.feed(at);
    }

    /// Something came from the agent. False when this session is no longer the one that is served: then nothing must
    /// be answered that would prolong its lease.
    pub fn heard(&mut self, agent: &str, generation: Generation, now: Millis) -> bool {
        self.advance(now);
        self.current(agent, generation).is_some()
    }

    /// A session has ended.
    pub fn leave(&mut self, agent: &str, generation: Generation, departure: Departure, now: Millis) {
        self.advance(now);
        let Some(at) = self.by_agent.get(agent).copied() else { return };
        if self.agent(at).session.as_ref().is_some_and(|session| session.generation == generation) {
            self.end_session(at);
        }
        let it = |former: &Former| former.generation == generation;
        match departure {
            Departure::Disconnected => {}
            Departure::Goodbye => self.expire(at, it, End::GivenBack),
            Departure::ReplacedAcknowledged => {
                self.expire(at, it, End::Lost("another process logged in as this agent"));
            }
            Departure::Expelled => self.expire(at, |_| true, End::Lost("the agent was revoked")),
        }
        self.reap(at);
    }

    /// The agent of this session, if it is the one that is served. It has been heard of.
    pub(super) fn current(&mut self, agent: &str, generation: Generation) -> Option<AgentIndex> {
        let at = self.by_agent.get(agent).copied()?;
        let now = self.now;
        let session = self.agent(at).session.as_mut().filter(|session| session.generation == generation)?;
        session.last_heard = now;
        Some(at)
    }

    /// The number of a name, a new one if need be.
    pub(super) fn agent_index(&mut self, id: &AgentId) -> AgentIndex {
        if let Some(at) = self.by_agent.get(id) {
            return *at;
        }
        let agent = Agent { id: id.clone(), session: None, former: Vec::new(), completed: 0, failed: 0 };
        let at = self.free_agents.pop().unwrap_or_else(|| {
            self.agents.push(None);
            self.agents.len() - 1
        });
        self.agents[at] = Some(agent);
        self.by_agent.insert(id.clone(), at);
        at
    }

    /// Forgets a name that is not connected and has nothing.
    pub(super) fn reap(&mut self, at: AgentIndex) {
        let unused = |agent: &Agent| agent.session.is_none() && agent.former.is_empty();
        if let Some(agent) = self.agents[at].take_if(|agent| unused(agent)) {
            self.by_agent.remove(&agent.id);
            self.free_agents.push(at);
        }
    }

    /// Tells the index what an agent can do and how much it does.
    fn offers(&mut self, at: AgentIndex) {
        let agent = self.agents[at].as_ref().expect("it is connected");
        if let Some(session) = &agent.session {
            self.index.agent_offers(at, self.now, |kind, requires| session.can(kind, requires));
        }
        self.load(at);
    }

    /// Tells the index how much an agent does.
    pub(super) fn load(&mut self, at: AgentIndex) {
        if let Some(Agent { session: Some(session), .. }) = &self.agents[at] {
            self.index.set_load(at, session.outstanding(), session.slots);
        }
    }

    /// The session is served no longer; its leases wait.
    pub(super) fn end_session(&mut self, at: AgentIndex) {
        let now = self.now;
        let timeout = self.config.agent_timeout_ms;
        self.index.agent_left(at, now);
        let agent = self.agent(at);
        let Some(session) = agent.session.take() else { return };
        if !session.leases.is_empty() {
            agent.former.push(Former {
                generation: session.generation,
                instance: Some(session.instance),
                until: session.last_heard + timeout,
                leases: session.leases.into_iter().collect(),
            });
        }
        self.counts.agents -= 1;
    }

    /// Ends the leases of some former sessions of an agent.
    fn expire(&mut self, at: AgentIndex, which: impl Fn(&Former) -> bool, end: End) {
        let (ended, kept) = std::mem::take(&mut self.agent(at).former).into_iter().partition(which);
        self.agent(at).former = kept;
        let ended: Vec<Former> = ended;
        for task in ended.into_iter().flat_map(|former| former.leases) {
            match end {
                End::GivenBack => self.give_back(task),
                End::Lost(why) => self.lose(task, why),
            }
        }
    }

    /// Ends the leases of those who were silent for too long.
    pub(super) fn expire_silent(&mut self, at: AgentIndex) {
        let now = self.now;
        self.expire(at, |former| former.until <= now && former.instance.is_none(), End::GivenBack);
        self.expire(at, |former| former.until <= now, End::Lost("the agent was lost"));
        self.reap(at);
    }

    /// The signature of a task, with the agents that can run it.
    pub(super) fn signature_of(&mut self, record: &TaskRecord) -> index::SignatureIndex {
        let (kind, requires) = (&record.spec.kind, &record.spec.requires);
        let agents = &self.agents;
        self.index.retain(kind, requires, || {
            let can = |agent: &Option<Agent>| {
                let session = agent.as_ref().and_then(|agent| agent.session.as_ref());
                session.is_some_and(|session| session.can(kind, requires))
            };
            (0..agents.len()).filter(|at| can(&agents[*at])).collect()
        })
    }
}
