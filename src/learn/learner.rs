//! The facade: a set of events, and what follows from it.

use super::answer::{Adaptation, Event, Query, Thresholds, Verdict};
use super::config::{Config, ConfigError};
use super::event::{EventError, Experience, ExperienceId, Instant, Resolution};
use super::family::{Family, Match};
use super::fold::{Key, Kind, Timeline};
use super::policy::{Decision, Policy, Proof, Reason, Signal, interval, required};
use super::trajectory::{Calibration, Trajectory};
use super::union::{Entry, Events};
use super::verdict::Judgement;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Learns from events. A function of the set of events and the configuration alone: the order in which events arrive
/// changes no bit of any answer.
#[derive(Debug, Clone)]
pub struct Learner {
    config: Config,
    events: Events,
    /// Settled, except while events are added.
    families: BTreeMap<Arc<str>, Timeline<Family>>,
}

/// Folds one event into a family.
fn apply(events: &Events, config: &Config, family: &mut Family, key: &Key) {
    // A key is in a timeline exactly while its event is in the set.
    let Some((experience, outcome)) = events.get(key.id).and_then(Entry::known) else { return };
    match (key.kind, outcome) {
        (Kind::Match, _) => family.see(experience, config),
        (Kind::Outcome, Some(outcome)) => family.learn(experience, outcome.actual, key.at, config),
        (Kind::Outcome, None) => {}
    }
}

/// Where an entry stands in the timeline of its family.
struct Places<'a> {
    experience: &'a Arc<Experience>,
    matched: Key,
    known: Option<Key>,
}

impl<'a> Places<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        let (experience, outcome) = entry.known()?;
        let key = |at, kind| Key { at, kind, id: experience.id };
        Some(Self {
            experience,
            matched: key(experience.instant(), Kind::Match),
            known: outcome.map(|outcome| key(outcome.instant(), Kind::Outcome)),
        })
    }
}

impl Learner {
    /// Knows nothing.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, events: Events::default(), families: BTreeMap::new() })
    }

    /// How it learns.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All that happened.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Adds a match; whether it is news. The same one again changes nothing.
    pub fn record(&mut self, experience: Experience) -> Result<bool, EventError> {
        self.tell([Event::Experience(Arc::new(experience))]).map(|news| news > 0)
    }

    /// Adds the outcome of a known match, and judges. Told again, the earliest outcome counts and is judged.
    pub fn resolve(&mut self, resolution: Resolution) -> Result<Verdict, EventError> {
        let entry = self.events.get(resolution.id).and_then(|entry| entry.experience.as_ref());
        let experience = entry.ok_or(EventError::Unknown(resolution.id))?.clone();
        resolution.check()?;
        let (id, at, outcome_at) = (resolution.id, experience.at, resolution.at);
        if outcome_at <= at {
            return Err(EventError::Premature { id, at, outcome_at });
        }
        self.tell([Event::Resolution(resolution)])?;
        self.verdict(id).ok_or(EventError::Unknown(id))
    }

    /// Adds events in any order, also outcomes of matches that are not known yet; how many were news. All or nothing: with
    /// an invalid one among them none is added.
    pub fn tell(&mut self, events: impl IntoIterator<Item = Event>) -> Result<usize, EventError> {
        let events: Vec<Event> = events.into_iter().collect();
        for event in &events {
            match event {
                Event::Experience(experience) => experience.check()?,
                Event::Resolution(resolution) => resolution.check()?,
            }
        }
        let mut touched = BTreeSet::new();
        let news = events.into_iter().map(|event| usize::from(self.add(event, &mut touched))).sum();
        for family in touched {
            let (events, config) = (&self.events, &self.config);
            if let Some(timeline) = self.families.get_mut(&family) {
                timeline.settle(|family, key| apply(events, config, family, key));
            }
        }
        Ok(news)
    }

    /// Takes over what another learner knows; how many events were news. Commutative, associative and idempotent.
    pub fn merge(&mut self, other: &Events) -> usize {
        let experiences =
            other.iter().filter_map(|(_, entry)| entry.experience.clone().map(Event::Experience));
        let resolutions =
            other.iter().flat_map(|(_, entry)| entry.resolutions.iter().copied().map(Event::Resolution));
        self.tell(experiences.chain(resolutions))
            .expect("the events of a learner were checked when it was told them")
    }

    fn add(&mut self, event: Event, touched: &mut BTreeSet<Arc<str>>) -> bool {
        let (id, before) = match event {
            Event::Experience(experience) => (experience.id, self.events.add_experience(experience)),
            Event::Resolution(resolution) => (resolution.id, self.events.add_resolution(resolution)),
        };
        let Some(before) = before else { return false };
        let (before, after) = (Places::of(&before), self.events.get(id).and_then(Places::of));
        // Where the match is the same, the fold need not go back to it.
        let same = match (&before, &after) {
            (Some(before), Some(after)) => Arc::ptr_eq(before.experience, after.experience),
            _ => false,
        };
        if let Some(places) = before
            && let Some(timeline) = self.families.get_mut(&places.experience.family)
        {
            places.known.into_iter().for_each(|key| timeline.remove(key));
            if !same {
                timeline.remove(places.matched);
            }
            touched.insert(places.experience.family.clone());
        }
        if let Some(places) = after {
            let (name, config) = (&places.experience.family, &self.config);
            let start = || Timeline::new(Family::new(config));
            let timeline = self.families.entry(name.clone()).or_insert_with(start);
            timeline.insert(places.matched);
            places.known.into_iter().for_each(|key| timeline.insert(key));
            touched.insert(name.clone());
        }
        true
    }

    /// What the outcome of an experience says; none while there is none.
    pub fn verdict(&self, id: ExperienceId) -> Option<Verdict> {
        let (experience, outcome) = self.events.get(id)?.known()?;
        let actual = outcome?.actual;
        let family = self.families.get(&experience.family)?.head();
        let moves = family.moves.iter().filter(|moved| moved.cause == id);
        Some(Verdict {
            id,
            judgement: Judgement::new(experience.predicted, actual, experience.volatility, self.config.cost),
            adaptations: moves.map(|moved| Adaptation::new(&experience.family, moved)).collect(),
        })
    }

    /// Whether a match is a signal. Uses nothing that happened after `query.at`.
    pub fn assess(&self, query: &Query<'_>) -> Result<Decision, EventError> {
        let at = Instant::new("at", query.at)?;
        query.check()?;
        let config = &self.config;
        let unknown = Family::new(config);
        let family = self.as_of(query.family, at).unwrap_or(Cow::Borrowed(&unknown));
        let &Query { similarity, confidence, predicted, .. } = query;
        let seen = Match { similarity, confidence, predicted, at };
        let utility = family.utility(&seen, config);
        let proof = self.proof(&family, at);
        let is_proved = proof.is_some_and(|proof| proof.evidence >= proof.required);
        let estimate = match utility {
            Ok(estimate) => estimate,
            Err(reason) => {
                let estimate = family.estimate(similarity, at, config);
                return Ok(Decision { signal: None, reason, estimate, proof });
            }
        };
        if config.policy == Policy::Evidence && !is_proved {
            let reason = Reason::NoProof { proof };
            return Ok(Decision { signal: None, reason, estimate: Some(estimate), proof });
        }
        let center = Family::center(predicted, Some(&estimate), config);
        let signal = Signal {
            direction: seen.direction(),
            expected_return: center,
            interval: interval(&family.conformal, center, family.spread(query.volatility)),
            confidence: estimate.win_rate,
        };
        Ok(Decision { signal: Some(signal), reason: Reason::Signal, estimate: Some(estimate), proof })
    }

    /// The state of a family at `at`; none if it has never matched.
    fn as_of(&self, family: &str, at: Instant) -> Option<Cow<'_, Family>> {
        let timeline = self.families.get(family)?;
        Some(timeline.as_of(at, |family, key| apply(&self.events, &self.config, family, key)))
    }

    /// The paper trades of a family among those of all.
    fn proof(&self, family: &Family, at: Instant) -> Option<Proof> {
        let (paper, scale) = (&family.paper, family.scale.value()?);
        let all = self.families.keys().filter_map(|name| self.as_of(name, at));
        // A family without a match that has a direction by then cannot have a signal.
        let evidence =
            all.filter(|family| family.directed > 0).map(|family| family.paper.evidence()).collect();
        let required = required(evidence, self.config.alpha);
        Some(Proof {
            windows: paper.windows(),
            evidence: paper.evidence(),
            required,
            lower: paper.lower(1.0 / required) * scale,
            upper: paper.upper(1.0 / required) * scale,
        })
    }

    /// The names of all families that have matched, in order.
    pub fn families(&self) -> impl Iterator<Item = &Arc<str>> {
        self.families.iter().filter(|(_, timeline)| timeline.head().matches > 0).map(|(name, _)| name)
    }

    /// The thresholds of a family, after all that happened.
    pub fn thresholds(&self, family: &str) -> Thresholds {
        let known = self.families.get(family).map(Timeline::head);
        Thresholds {
            similarity: known.map_or(self.config.similarity_threshold, |family| family.similarity.value()),
            confidence: known.map_or(self.config.confidence_threshold, |family| family.confidence.value()),
            samples: known.map_or(0, |family| family.outcomes),
        }
    }

    /// How the thresholds of a family came to be where they are, oldest first; the last 256 moves.
    pub fn adaptations(&self, family: &str) -> Vec<Adaptation> {
        let Some((name, timeline)) = self.families.get_key_value(family) else { return Vec::new() };
        timeline.head().moves.iter().map(|moved| Adaptation::new(name, moved)).collect()
    }

    /// How often the drift test has found that a family's world has changed.
    pub fn alarms(&self, family: &str) -> u64 {
        self.families.get(family).map_or(0, |timeline| timeline.head().alarms)
    }

    /// The outcomes of a family that were known at `at`, oldest first: matches with a direction, and their net returns.
    pub fn outcomes(&self, family: &str, at: Instant) -> Vec<(Arc<Experience>, Resolution, f64)> {
        let Some(timeline) = self.families.get(family) else { return Vec::new() };
        let keys = timeline.keys().take_while(|key| key.at <= at).filter(|key| key.kind == Kind::Outcome);
        let outcome = |key: &Key| {
            let (experience, outcome) = self.events.get(key.id)?.known()?;
            let outcome = outcome.filter(|_| experience.predicted != 0.0)?;
            let judged =
                Judgement::new(experience.predicted, outcome.actual, experience.volatility, self.config.cost);
            Some((experience.clone(), outcome, judged.net_return))
        };
        keys.filter_map(outcome).collect()
    }

    /// How a family had done by `at`, in milliseconds.
    pub fn trajectory(&self, family: &str, at: f64) -> Result<Trajectory, EventError> {
        let at = Instant::new("at", at)?;
        let returns: Vec<f64> = self.outcomes(family, at).into_iter().map(|(_, _, net)| net).collect();
        let unknown = Family::new(&self.config);
        let state = self.as_of(family, at).unwrap_or(Cow::Borrowed(&unknown));
        let calibration =
            Calibration { coverage: state.conformal.coverage(), target: state.conformal.target() };
        let expired = self.expired(family, at);
        Ok(Trajectory::new(&returns, expired, self.config.periods_per_year, calibration))
    }

    /// Matches of a family whose horizon and grace were over at `at` without an outcome.
    fn expired(&self, family: &str, at: Instant) -> u64 {
        let Some(timeline) = self.families.get(family) else { return 0 };
        let keys = timeline.keys().take_while(|key| key.at <= at).filter(|key| key.kind == Kind::Match);
        let expired = |key: &&Key| {
            self.events.get(key.id).and_then(Entry::known).is_some_and(|(experience, outcome)| {
                experience.deadline(self.config.grace_ms) < at
                    && outcome.is_none_or(|outcome| outcome.instant() > at)
            })
        };
        keys.filter(expired).count() as u64
    }
}
