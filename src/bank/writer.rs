//! The thread: commands in, commits, answers out.

use super::{Answer, BankError, Shared, locked};
use crate::learn::{
    Decision, Event, EventError, Experience, ExperienceId, Learner, Query, Resolution, Verdict,
};
use crate::store::{ExperienceFile, Storage};
use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};

/// Commands of one commit.
const BATCH: usize = 4096;

/// What is asked of the thread.
pub(super) enum Command {
    Record { experience: Experience, answer: Answer<ExperienceId> },
    Assess { experience: Experience, answer: Answer<(ExperienceId, Decision)> },
    Resolve { id: ExperienceId, actual: f64, at: Option<f64>, now: f64, answer: Answer<Verdict> },
    Merge { events: Vec<(ExperienceId, Event)>, answer: Answer<usize> },
    Close { answer: Answer<()> },
}

impl Command {
    /// There is no room for it, or nobody to do it.
    pub(super) fn refuse(self, error: BankError) {
        match self {
            Self::Record { answer, .. } => answer(Err(error)),
            Self::Assess { answer, .. } => answer(Err(error)),
            Self::Resolve { answer, .. } => answer(Err(error)),
            Self::Merge { answer, .. } => answer(Err(error)),
            Self::Close { answer } => answer(Err(error)),
        }
    }
}

/// An answer that waits for the commit.
enum Waiting {
    Id(Answer<ExperienceId>, ExperienceId),
    Decision(Answer<(ExperienceId, Decision)>, ExperienceId, Decision),
    Verdict(Answer<Verdict>, ExperienceId),
    Count(Answer<usize>, usize),
}

impl Waiting {
    fn fail(self, error: BankError) {
        match self {
            Self::Id(answer, _) => answer(Err(error)),
            Self::Decision(answer, ..) => answer(Err(error)),
            Self::Verdict(answer, _) => answer(Err(error)),
            Self::Count(answer, _) => answer(Err(error)),
        }
    }

    fn succeed(self, learner: &Learner) {
        match self {
            Self::Id(answer, id) => answer(Ok(id)),
            Self::Decision(answer, id, decision) => answer(Ok((id, decision))),
            Self::Verdict(answer, id) => answer(learner.verdict(id).ok_or(EventError::Unknown(id).into())),
            Self::Count(answer, news) => answer(Ok(news)),
        }
    }
}

/// What one commit is made of.
#[derive(Default)]
struct Batch {
    events: Vec<(ExperienceId, Event)>,
    waiting: Vec<Waiting>,
    /// Outcomes in `events`.
    outcomes: HashMap<ExperienceId, f64>,
    /// The numbers after those in `events`.
    next: HashMap<u128, u64>,
}

pub(super) struct Writer<S: Storage> {
    shared: Arc<Shared>,
    file: Option<ExperienceFile<S>>,
    node: u128,
}

impl<S: Storage> Writer<S> {
    pub(super) fn new(shared: Arc<Shared>, file: Option<ExperienceFile<S>>, node: u128) -> Self {
        Self { shared, file, node }
    }

    /// Until it is closed, or nobody is there who could ask.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        while let Ok(first) = commands.recv() {
            let mut batch = Batch::default();
            let mut closing = None;
            for command in std::iter::once(first).chain(commands.try_iter().take(BATCH)) {
                if let Command::Close { answer } = command {
                    closing = Some(answer);
                    break;
                }
                self.take(command, &mut batch);
            }
            self.finish(batch);
            if let Some(answer) = closing {
                // The lock goes with the file, and before the answer.
                self.file = None;
                answer(Ok(()));
                commands.try_iter().for_each(|command| command.refuse(BankError::Closed));
                return;
            }
        }
    }

    /// The place of the next event of a node.
    fn next(&self, batch: &Batch, node: u128) -> u64 {
        let known = || locked(&self.shared.log).get(&node).map_or(0, Vec::len) as u64;
        batch.next.get(&node).copied().unwrap_or_else(|| known() + 1)
    }

    fn stage(&self, batch: &mut Batch, event: impl FnOnce(ExperienceId) -> Event) -> ExperienceId {
        let place = ExperienceId { node: self.node, seq: self.next(batch, self.node) };
        batch.next.insert(place.node, place.seq + 1);
        batch.events.push((place, event(place)));
        place
    }

    fn take(&self, command: Command, batch: &mut Batch) {
        match command {
            Command::Record { experience, answer } => match experience.check() {
                Ok(()) => {
                    let id =
                        self.stage(batch, |id| Event::Experience(Arc::new(Experience { id, ..experience })));
                    batch.waiting.push(Waiting::Id(answer, id));
                }
                Err(error) => answer(Err(error.into())),
            },
            Command::Assess { mut experience, answer } => match self.assess(&experience) {
                Ok(decision) => {
                    experience.taken = decision.signal.is_some();
                    let id =
                        self.stage(batch, |id| Event::Experience(Arc::new(Experience { id, ..experience })));
                    batch.waiting.push(Waiting::Decision(answer, id, decision));
                }
                Err(error) => answer(Err(error.into())),
            },
            Command::Resolve { id, actual, at, now, answer } => {
                match self.outcome(batch, id, actual, at, now) {
                    Ok(Some(resolution)) => {
                        batch.outcomes.insert(id, actual);
                        self.stage(batch, |_| Event::Resolution(resolution));
                        batch.waiting.push(Waiting::Verdict(answer, id));
                    }
                    Ok(None) => batch.waiting.push(Waiting::Verdict(answer, id)),
                    Err(error) => answer(Err(error)),
                }
            }
            Command::Merge { events, answer } => match self.news(batch, events) {
                Ok(events) => {
                    batch.waiting.push(Waiting::Count(answer, events.len()));
                    for (place, event) in events {
                        batch.next.insert(place.node, place.seq + 1);
                        batch.events.push((place, event));
                    }
                }
                Err(error) => answer(Err(error)),
            },
            // The loop has taken those out.
            Command::Close { answer } => answer(Ok(())),
        }
    }

    fn assess(&self, experience: &Experience) -> Result<Decision, EventError> {
        experience.check()?;
        let &Experience { similarity, confidence, predicted, volatility, at, .. } = experience;
        let query = Query { family: &experience.family, similarity, confidence, predicted, volatility, at };
        self.shared.learner.read().unwrap_or_else(PoisonError::into_inner).assess(&query)
    }

    /// The outcome as it is to be recorded; none: it is known.
    fn outcome(
        &self,
        batch: &Batch,
        id: ExperienceId,
        actual: f64,
        at: Option<f64>,
        now: f64,
    ) -> Result<Option<Resolution>, BankError> {
        let learner = self.shared.learner.read().unwrap_or_else(PoisonError::into_inner);
        let entry = learner.events().get(id).and_then(|entry| entry.known());
        let (experience, known) = entry.ok_or(EventError::Unknown(id))?;
        // Whoever does not say when it was known means the end of the horizon, or now where there is none or it is to come;
        // and an outcome comes after its match, also when both happen within a millisecond.
        let by_now = || now.max(experience.at + 1.0);
        let at =
            at.unwrap_or_else(|| experience.horizon_ends_at.filter(|&end| end <= now).unwrap_or_else(by_now));
        let resolution = Resolution { id, actual, at };
        resolution.check()?;
        if at <= experience.at {
            return Err(EventError::Premature { id, at: experience.at, outcome_at: at }.into());
        }
        match batch.outcomes.get(&id).copied().or(known.map(|known| known.actual)) {
            Some(known) if known == actual => Ok(None),
            Some(known) => Err(BankError::Differs { id, known, told: actual }),
            None => Ok(Some(resolution)),
        }
    }

    /// Those of the events that are not known and continue what is. What comes after a gap is left: an answer to somebody else
    /// was overheard, and it comes again with what is before it.
    fn news(
        &self,
        batch: &Batch,
        events: Vec<(ExperienceId, Event)>,
    ) -> Result<Vec<(ExperienceId, Event)>, BankError> {
        let mut next: HashMap<u128, u64> = HashMap::new();
        let mut found = Vec::new();
        for (place, event) in events {
            let expected = *next.entry(place.node).or_insert_with(|| self.next(batch, place.node));
            match &event {
                Event::Experience(experience) => experience.check()?,
                Event::Resolution(resolution) => resolution.check()?,
            }
            if place.seq == expected {
                next.insert(place.node, expected + 1);
                found.push((place, event));
            }
        }
        Ok(found)
    }

    /// Commits, learns, answers.
    fn finish(&mut self, batch: Batch) {
        let Batch { events, waiting, .. } = batch;
        if let Err(error) = self.commit(&events) {
            waiting.into_iter().for_each(|one| one.fail(error.clone().into()));
            return;
        }
        self.learn(events);
        let learner = self.shared.learner.read().unwrap_or_else(PoisonError::into_inner);
        waiting.into_iter().for_each(|one| one.succeed(&learner));
    }

    fn commit(&mut self, events: &[(ExperienceId, Event)]) -> Result<(), Arc<crate::store::StoreError>> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if file.has_failed() {
            // A commit that failed may have been kept. Then these events have other places, which `take` did not know.
            let log = file.reopen().map_err(Arc::new)?;
            let known = locked(&self.shared.log).get(&self.node).map_or(0, Vec::len) as u64;
            let kept: Vec<_> =
                log.into_iter().filter(|(place, _)| place.node == self.node && place.seq > known).collect();
            if !kept.is_empty() {
                self.learn(kept);
                // The next opening, and the next command, begin after them.
                let path = String::from("experiences.redb");
                let message = String::from("a commit that failed before was kept after all; call again");
                return Err(Arc::new(crate::store::StoreError::Io { path, message }));
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if events.is_empty() { Ok(()) } else { file.append(events).map_err(Arc::new) }
    }

    /// Tells the learner what is durable.
    fn learn(&self, events: Vec<(ExperienceId, Event)>) {
        if events.is_empty() {
            return;
        }
        let mut learner = self.shared.learner.write().unwrap_or_else(PoisonError::into_inner);
        let told = learner.tell(events.iter().map(|(_, event)| event.clone()));
        told.expect("every event of a batch was checked when it was taken");
        let touched: BTreeSet<Arc<str>> = (events.iter())
            .filter_map(|(_, event)| match event {
                Event::Experience(experience) => Some(experience.family.clone()),
                Event::Resolution(resolution) => {
                    Some(learner.events().get(resolution.id)?.experience.as_ref()?.family.clone())
                }
            })
            .collect();
        let mut thresholds = locked(&self.shared.thresholds);
        for family in touched {
            let current = learner.thresholds(&family);
            thresholds.insert(family, current);
        }
        let mut log = locked(&self.shared.log);
        for (place, event) in events {
            log.entry(place.node).or_default().push(event);
        }
    }
}
