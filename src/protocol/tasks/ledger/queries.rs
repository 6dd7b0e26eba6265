//! What others can ask.

use super::sessions::Agent;
use super::*;

impl Ledger {
    /// A task that is kept, or why there is none.
    pub(super) fn find(&self, task: TaskId) -> Result<&Entry, Refusal> {
        let gone = if task.0 < self.next_task { Refusal::Expired } else { Refusal::NotFound };
        self.tasks.get(&task).map(|entry| &**entry).ok_or(gone)
    }

    /// The outcome of a task, if it has one yet.
    pub fn outcome(&self, task: TaskId) -> Result<Option<Arc<Outcome>>, Refusal> {
        match &self.find(task)?.place {
            Place::Finished { outcome, .. } => Ok(Some(outcome.clone())),
            _ => Ok(None),
        }
    }

    /// Makes sure that an [`Effect::Settled`] follows: now, if the task has its outcome.
    pub fn watch(&mut self, task: TaskId) -> Result<(), Refusal> {
        if let Some(outcome) = self.outcome(task)? {
            self.effects.push(Effect::Settled { task, outcome });
        }
        Ok(())
    }

    /// The task that has this idempotency key.
    pub fn by_key(&self, key: &str) -> Option<TaskId> {
        self.by_key.get(key).copied()
    }

    /// The number of tasks that were given a number, in all lives of the store.
    pub fn next_task(&self) -> TaskId {
        TaskId(self.next_task)
    }

    /// A task as it is now.
    pub fn task(&self, task: TaskId) -> Option<TaskView> {
        let entry = self.tasks.get(&task)?;
        let mut view = TaskView {
            task,
            key: entry.key.clone(),
            kind: entry.kind.clone(),
            status: TaskStatus::Queued,
            attempts: entry.attempts,
            agent: None,
            progress: None,
            error: None,
        };
        match &entry.place {
            Place::Waiting { error, .. } => view.error = error.as_ref().map(|error| error.message.clone()),
            Place::Leased { lease, .. } => {
                view.status = TaskStatus::Running;
                view.attempts += 1;
                view.agent = self.agents[lease.agent].as_ref().map(|agent| agent.id.clone());
                view.progress = lease.progress;
            }
            Place::Finished { outcome, .. } => match &**outcome {
                Outcome::Completed { agent, .. } => {
                    (view.status, view.agent) = (TaskStatus::Completed, Some(agent.clone()));
                }
                Outcome::Failed { failure, .. } => {
                    (view.status, view.agent) = (TaskStatus::Failed, failure.agent.clone());
                    view.error = Some(failure.message.clone());
                }
                Outcome::Cancelled => view.status = TaskStatus::Cancelled,
            },
        }
        Some(view)
    }

    /// The dead letters that are kept, in order of number.
    pub fn dead_letters(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.dead.iter().copied()
    }

    /// The numbers of this ledger.
    pub fn counts(&self) -> Counts {
        Counts { dead_letters: self.dead.len(), ..self.counts }
    }

    /// The agents that are connected.
    pub fn agents(&self) -> impl Iterator<Item = AgentView> + '_ {
        self.agents.iter().flatten().filter_map(agent_view)
    }

    /// One of the agents that are connected.
    pub fn agent_named(&self, id: &str) -> Option<AgentView> {
        self.by_agent.get(id).and_then(|at| self.agents[*at].as_ref()).and_then(agent_view)
    }

    /// Starts of a coordinator on this store, this one included.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

fn agent_view(agent: &Agent) -> Option<AgentView> {
    let session = agent.session.as_ref()?;
    Some(AgentView {
        id: agent.id.clone(),
        generation: session.generation,
        connected_at: session.connected_at,
        last_heard_at: session.last_heard,
        running: session.leases.len(),
        slots: session.slots,
        completed: agent.completed,
        failed: agent.failed,
    })
}
