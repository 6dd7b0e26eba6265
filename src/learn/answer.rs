//! What a learner is told and asked, and what it answers.

use super::event::{EventError, Experience, ExperienceId, Resolution};
use super::threshold::{Evidence, Move, Parameter};
use super::verdict::Judgement;
use std::sync::Arc;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something matched.
    Experience(Arc<Experience>),
    /// An outcome is known.
    Resolution(Resolution),
}

/// A threshold of a family that moved, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptation {
    /// Of which family.
    pub family: Arc<str>,
    /// Which threshold.
    pub parameter: Parameter,
    /// From here.
    pub from: f64,
    /// To here.
    pub to: f64,
    /// In words.
    pub reason: String,
    /// In numbers.
    pub evidence: Evidence,
    /// When the outcome that completed the evidence was known, in milliseconds.
    pub at: f64,
}

impl Adaptation {
    pub(super) fn new(family: &Arc<str>, moved: &Move) -> Self {
        let &Move { parameter, from, to, evidence, at, .. } = moved;
        let (family, reason) = (family.clone(), moved.to_string());
        Self { family, parameter, from, to, reason, evidence, at: at.millis() }
    }
}

/// What the outcome of an experience says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Of which.
    pub id: ExperienceId,
    /// Of the outcome that counts, which is the earliest that was told.
    pub judgement: Judgement,
    /// Thresholds that moved with this outcome. Not because of it: no outcome moves a threshold alone.
    pub adaptations: Vec<Adaptation>,
}

/// The thresholds of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Of similarity.
    pub similarity: f64,
    /// Of confidence.
    pub confidence: f64,
    /// Outcomes of the family that count.
    pub samples: u64,
}

/// What is asked of a match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Query<'a> {
    /// Its family.
    pub family: &'a str,
    /// 0 to 1.
    pub similarity: f64,
    /// 0 to 1.
    pub confidence: f64,
    /// The predicted return, a fraction; its sign is the direction.
    pub predicted: f64,
    /// The volatility of the horizon, where it is known.
    pub volatility: Option<f64>,
    /// When, in milliseconds. Nothing later is used.
    pub at: f64,
}

impl Query<'_> {
    /// Refuses what no match can have.
    pub(super) fn check(&self) -> Result<(), EventError> {
        Experience {
            id: ExperienceId { node: 0, seq: 0 },
            family: self.family.into(),
            similarity: self.similarity,
            confidence: self.confidence,
            predicted: self.predicted,
            at: self.at,
            horizon_ends_at: None,
            taken: false,
            volatility: self.volatility,
            context: "".into(),
            values: Arc::new([]),
        }
        .check()
    }
}
