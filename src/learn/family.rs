//! What is known of one family: the state that `fold` folds events into.
//!
//! At a match everything is fixed that its outcome will be measured against: the estimate, the interval, whether it is
//! a paper trade. At the outcome that is taken up again. Between the two the state knows nothing of what happens in the
//! window, so nothing leaks.

use super::config::Config;
use super::conformal::Conformal;
use super::drift::PageHinkley;
use super::event::{Experience, ExperienceId, Instant};
use super::policy::{Direction, Reason, has_edge};
use super::sequence::Betting;
use super::stats::{Bins, Estimate, discount};
use super::threshold::{Move, Parameter, Seen, Threshold};
use super::verdict::{Judgement, direction};
use super::window::{Lane, Scale};
use std::collections::BTreeMap;

/// What everything weighs after an alarm of the drift test.
const AFTER_ALARM: f64 = 0.25;

/// Outcomes after which the square of a return weighs half in the spread.
const SPREAD_HALF_LIFE: f64 = 50.0;

/// Matches without a horizon that wait for their outcome; of more, the first are given up.
const ENDLESS: usize = 1024;

/// Moves of thresholds that are remembered; the oldest are forgotten.
const MOVES: usize = 256;

/// A match as the policies see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match {
    pub(super) similarity: f64,
    pub(super) confidence: f64,
    pub(super) predicted: f64,
    pub(super) at: Instant,
}

impl Match {
    fn of(experience: &Experience) -> Self {
        let &Experience { similarity, confidence, predicted, .. } = experience;
        Self { similarity, confidence, predicted, at: experience.instant() }
    }

    /// Of a prediction that is not 0.
    pub(super) fn direction(&self) -> Direction {
        if self.predicted < 0.0 { Direction::Short } else { Direction::Long }
    }
}

/// What was fixed at a match whose outcome is to come.
#[derive(Debug, Clone, PartialEq)]
struct Pending {
    /// Where it stands in the slices of the thresholds.
    similarity: f64,
    confidence: f64,
    /// Which sequences it counts in, the slices with their lives.
    in_paper: bool,
    in_drift: bool,
    in_similarity: Option<u32>,
    in_confidence: Option<u32>,
    /// In which sequences measure the outcome; none: it was not known, and they do not count it.
    scale: Option<f64>,
    estimate: Option<Estimate>,
    /// The center of the interval.
    center: f64,
    /// What its radius is measured in; none: not known yet.
    spread: Option<f64>,
    radius: f64,
    /// See [`stats`](super::stats).
    uniqueness: f64,
}

/// One family.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    pub(super) matches: u64,
    /// Of these with a prediction that is not 0: others can never have a signal.
    pub(super) directed: u64,
    pub(super) outcomes: u64,
    bins: Bins,
    last_outcome: Option<Instant>,
    pending: BTreeMap<(Instant, ExperienceId), Pending>,
    /// The net returns of paper trades.
    pub(super) paper: Betting,
    /// Of all net returns.
    pub(super) scale: Scale,
    /// Discounted mean square of the market's returns, and its weight.
    spread: (f64, f64),
    pub(super) conformal: Conformal,
    drift: PageHinkley,
    drift_lane: Lane,
    pub(super) alarms: u64,
    pub(super) similarity: Threshold,
    pub(super) confidence: Threshold,
    pub(super) moves: Vec<Move>,
}

impl Family {
    /// Nothing is known.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            matches: 0,
            directed: 0,
            outcomes: 0,
            bins: Bins::default(),
            last_outcome: None,
            pending: BTreeMap::new(),
            paper: Betting::new(config.alpha),
            scale: Scale::default(),
            spread: (0.0, 0.0),
            conformal: Conformal::new(config.coverage),
            drift: PageHinkley::default(),
            drift_lane: Lane::default(),
            alarms: 0,
            similarity: Threshold::new(Parameter::Similarity, config.similarity_threshold),
            confidence: Threshold::new(Parameter::Confidence, config.confidence_threshold),
            moves: Vec::new(),
        }
    }

    /// What the age of everything makes of its weight.
    fn age(&self, at: Instant, config: &Config) -> f64 {
        let millis = self.last_outcome.map_or(0.0, |last| at.millis() - last.millis());
        discount(0.0, config.half_life_events, millis, config.half_life_ms)
    }

    /// Discounted outcomes of the whole family.
    pub(super) fn samples(&self, at: Instant, config: &Config) -> f64 {
        self.bins.total().n * self.age(at, config)
    }

    /// What is expected of a match with `similarity`.
    pub(super) fn estimate(&self, similarity: f64, at: Instant, config: &Config) -> Option<Estimate> {
        self.bins.estimate(similarity, config.bandwidth, config.prior_weight, self.age(at, config))
    }

    /// What the market is expected to return, a fraction.
    pub(super) fn center(predicted: f64, estimate: Option<&Estimate>, config: &Config) -> f64 {
        estimate.map_or(predicted, |estimate| direction(predicted) * (estimate.mean + config.cost))
    }

    /// What an interval is measured in: the volatility that the caller knows, else that of earlier outcomes.
    pub(super) fn spread(&self, volatility: Option<f64>) -> Option<f64> {
        let own = (self.spread.0 / self.spread.1).sqrt();
        volatility.or((own > 0.0).then_some(own))
    }

    /// What [`Policy::Utility`](super::policy::Policy::Utility) says of a match: its estimate, or why it is none to trade.
    pub(super) fn utility(&self, seen: &Match, config: &Config) -> Result<Estimate, Reason> {
        let n = self.samples(seen.at, config);
        let (similarity, confidence) = (self.similarity.value(), self.confidence.value());
        if seen.predicted == 0.0 {
            Err(Reason::NoPrediction)
        } else if seen.similarity < similarity {
            Err(Reason::BelowSimilarity { similarity: seen.similarity, threshold: similarity })
        } else if seen.confidence < confidence {
            Err(Reason::BelowConfidence { confidence: seen.confidence, threshold: confidence })
        } else if n < config.min_samples {
            Err(Reason::FewSamples { n, needed: config.min_samples })
        } else {
            let estimate = self.estimate(seen.similarity, seen.at, config);
            let estimate = estimate.ok_or(Reason::FewNearby { similarity: seen.similarity })?;
            if has_edge(&estimate) { Ok(estimate) } else { Err(Reason::NoEdge { estimate }) }
        }
    }

    /// A match.
    pub(super) fn see(&mut self, experience: &Experience, config: &Config) {
        let seen = Match::of(experience);
        self.matches += 1;
        self.expire(seen.at, config);
        if seen.predicted == 0.0 {
            return;
        }
        self.directed += 1;
        let estimate = self.estimate(seen.similarity, seen.at, config);
        // Horizons that are over and wait for their outcome are no windows any more.
        let windows = (seen.at.plus(config.grace_ms), ExperienceId { node: u128::MAX, seq: u64::MAX })
            ..=(Instant::NEVER, ExperienceId { node: u128::MAX, seq: u64::MAX });
        let open = if windows.start() <= windows.end() { self.pending.range(windows).count() } else { 0 };
        let (scale, trades) = (self.scale.value(), self.utility(&seen, config).is_ok());
        let can_drift = estimate.is_some_and(|estimate| estimate.deviation > 0.0);
        let pending = Pending {
            similarity: seen.similarity,
            confidence: seen.confidence,
            in_paper: trades && scale.is_some() && self.paper.reserve(seen.at),
            in_drift: can_drift && self.drift_lane.opens(seen.at),
            in_similarity: scale.and_then(|_| self.similarity.reserve(seen.similarity, seen.at)),
            in_confidence: scale.and_then(|_| self.confidence.reserve(seen.confidence, seen.at)),
            scale,
            center: Self::center(seen.predicted, estimate.as_ref(), config),
            estimate,
            spread: self.spread(experience.volatility),
            radius: self.conformal.radius(),
            uniqueness: 1.0 / (1 + open) as f64,
        };
        self.pending.insert((experience.deadline(config.grace_ms), experience.id), pending);
        // Those without a horizon never expire; of too many the ones with the lowest ids are given up.
        let endless = (Instant::NEVER, ExperienceId { node: 0, seq: 0 });
        while self.pending.len() > ENDLESS && self.pending.range(endless..).count() > ENDLESS {
            let Some((&key, _)) = self.pending.range(endless..).next() else { break };
            self.give_up(key, seen.at, config);
        }
    }

    /// What will not be needed: an outcome after the deadline enters the sums alone.
    fn expire(&mut self, now: Instant, config: &Config) {
        while let Some((&key, _)) =
            self.pending.first_key_value().filter(|((deadline, _), _)| *deadline < now)
        {
            self.give_up(key, key.0, config);
        }
    }

    /// A match of which nothing more is expected, at `now`.
    fn give_up(&mut self, key: (Instant, ExperienceId), now: Instant, config: &Config) {
        if let Some(pending) = self.pending.remove(&key) {
            let busy = now.plus(config.embargo_ms);
            self.leave(&pending, busy);
            if pending.in_paper {
                self.paper.settle(0.0, busy);
            }
        }
    }

    /// Gives the lanes back that a match has held, but for that of paper trades.
    fn leave(&mut self, pending: &Pending, busy: Instant) {
        if pending.in_drift {
            self.drift_lane.leaves(busy);
        }
        if pending.in_similarity.is_some() {
            self.similarity.leave(pending.similarity, busy);
        }
        if pending.in_confidence.is_some() {
            self.confidence.leave(pending.confidence, busy);
        }
    }

    /// The outcome of a match.
    pub(super) fn learn(&mut self, experience: &Experience, actual: f64, end: Instant, config: &Config) {
        self.expire(end, config);
        let seen = Match::of(experience);
        if seen.predicted == 0.0 {
            return;
        }
        let net = Judgement::new(seen.predicted, actual, experience.volatility, config.cost).net_return;
        let pending = self.pending.remove(&(experience.deadline(config.grace_ms), experience.id));
        if let Some(pending) = &pending {
            self.compare(pending, actual, net, end.plus(config.embargo_ms));
        }
        let millis = self.last_outcome.map_or(0.0, |last| end.millis() - last.millis());
        self.bins.discount(discount(1.0, config.half_life_events, millis, config.half_life_ms));
        // What the threshold of confidence leaves out is not what the estimate is of.
        if seen.confidence >= self.confidence.value() {
            let uniqueness = pending.as_ref().map_or(1.0, |pending| pending.uniqueness);
            self.bins.add(seen.similarity, net, uniqueness);
        }
        self.last_outcome = Some(end);
        let keep = discount(1.0, SPREAD_HALF_LIFE, 0.0, None);
        self.spread = (self.spread.0 * keep + actual * actual, self.spread.1 * keep + 1.0);
        self.outcomes += 1;
        self.scale.add(net);
        if let Some((pending, scale)) =
            pending.and_then(|pending| pending.scale.map(|scale| (pending, scale)))
        {
            let judged = Seen { id: experience.id, end, net_return: net, scale };
            let moves = [
                pending
                    .in_similarity
                    .and_then(|life| self.similarity.add(seen.similarity, life, &judged, config.alpha)),
                pending
                    .in_confidence
                    .and_then(|life| self.confidence.add(seen.confidence, life, &judged, config.alpha)),
            ];
            self.moves.extend(moves.into_iter().flatten());
            let surplus = self.moves.len().saturating_sub(MOVES);
            self.moves.drain(..surplus);
        }
    }

    /// The outcome against what was fixed at the match; its window and embargo end at `busy`.
    fn compare(&mut self, pending: &Pending, actual: f64, net: f64, busy: Instant) {
        if let Some(spread) = pending.spread {
            self.conformal.add((actual - pending.center).abs() / spread, pending.radius);
        }
        self.leave(pending, busy);
        if let Some(scale) = pending.scale.filter(|_| pending.in_paper) {
            self.paper.settle(net / scale, busy);
        }
        if let Some(estimate) = pending.estimate.filter(|_| pending.in_drift)
            && self.drift.add((net - estimate.mean) / estimate.deviation)
        {
            self.alarms += 1;
            self.bins.discount(AFTER_ALARM);
            self.similarity.restart();
            self.confidence.restart();
        }
    }
}
