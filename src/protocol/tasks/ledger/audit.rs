//! The ledger compared with itself, for tests.

use super::sessions::Agent;
use super::*;

impl Ledger {
    /// Panics when an index contradicts the tasks, a limit is exceeded, or a task waits that an agent could have.
    /// Looks at everything: for tests.
    pub fn audit(&self) {
        let (mut queued, mut running, mut retained) = (0, 0, 0);
        let (mut queued_bytes, mut retained_bytes) = (0, 0);
        let mut timers = BTreeSet::new();
        for (&id, entry) in &self.tasks {
            timers.extend(entry.timer.map(|at| (at, id)));
            match &entry.place {
                Place::Waiting { signature, ready, .. } => {
                    queued += 1;
                    queued_bytes += entry.bytes();
                    assert_eq!(entry.timer, entry.due(), "{id:?} is not looked at in time");
                    assert!(*ready || entry.timer.is_some(), "{id:?} waits for nothing");
                    assert!(!*ready || self.index.has_queue(*signature), "{id:?} stands in no queue");
                }
                Place::Leased { lease, .. } => {
                    running += 1;
                    queued_bytes += entry.bytes();
                    let due = entry.due();
                    assert!(due.is_none() || entry.timer.is_some_and(|timer| Some(timer) <= due), "{id:?}");
                    let agent = self.agents[lease.agent].as_ref().expect("a lease has a holder");
                    let sessions = agent.session.iter().filter(|session| {
                        session.generation == lease.generation && session.leases.contains(&id)
                    });
                    let former = agent.former.iter().filter(|former| {
                        former.generation == lease.generation && former.leases.contains(&id)
                    });
                    assert_eq!(sessions.count() + former.count(), 1, "{id:?} has one holder");
                }
                Place::Finished { at, outcome, .. } => {
                    retained += 1;
                    retained_bytes += entry.bytes();
                    assert!(self.retained.contains(&(*at, id)), "{id:?} would be kept for ever");
                    assert_eq!(entry.timer, None);
                    let failed = matches!(&**outcome, Outcome::Failed { .. });
                    assert_eq!(self.dead.contains(&id), failed);
                    assert_eq!(entry.accepted.is_some(), failed, "{id:?}: a payload is kept for nothing");
                }
            }
        }
        assert_eq!(timers, self.timers);
        assert_eq!(retained, self.retained.len());
        let counts = &self.counts;
        assert_eq!((queued, running, retained), (counts.queued, counts.running, counts.retained));
        assert_eq!((queued_bytes, retained_bytes), (counts.queued_bytes, counts.retained_bytes));
        assert!(retained_bytes <= self.config.max_retained_bytes);
        for (key, task) in &self.by_key {
            assert_eq!(self.tasks[task].key.as_ref(), Some(key), "a key outlives its task");
        }
        self.audit_agents();
    }

    fn audit_agents(&self) {
        let mut connected = 0;
        for (at, agent) in self.agents.iter().enumerate() {
            let Some(Agent { id, session, former, .. }) = agent else { continue };
            assert_eq!(self.by_agent.get(id), Some(&at));
            // A name whose last lease was ended by somebody else is known until the next sweep.
            assert!(self.next_sweep.is_some(), "nobody waits for {id}");
            let held =
                session.iter().flat_map(|session| session.leases.iter().map(|id| (session.generation, id)));
            let was_held =
                former.iter().flat_map(|former| former.leases.iter().map(|id| (former.generation, id)));
            for (generation, task) in held.chain(was_held) {
                let Place::Leased { lease, .. } = &self.tasks[task].place else {
                    panic!("{id} has {task:?}")
                };
                assert_eq!((lease.agent, lease.generation), (at, generation), "{task:?}");
            }
            let Some(session) = session else { continue };
            connected += 1;
            let free = session.outstanding() < session.slots as usize;
            if self.dispatching && free {
                assert_eq!(self.index.task_for(at), None, "{id} has a free slot and a task waits");
            }
        }
        assert_eq!(connected, self.counts.agents);
        assert!(connected <= self.config.max_agents);
        let limit = self.counts.queued + self.counts.running + Index::idle_limit();
        assert!(self.index.signatures() <= limit, "signatures that nobody uses are kept");
    }
}
