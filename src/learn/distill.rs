//! Long-term memory: shapes that have paid, with proof.
//!
//! The outcomes of a family, winners and losers alike, are clustered by the shape of their matches (k-medoids on DTW
//! distances). Outcomes have no say in that, so a cluster is not good because good ones were put into it. Each cluster then
//! has to prove itself by the net returns of all its members: `min_samples` of them, and an anytime-valid lower bound of
//! their mean ([`sequence`](super::sequence)) of at least `min_lower_bound`, where alpha is divided over all clusters of all
//! families. What is left is represented by its medoid or by the DTW barycenter of its members.
//!
//! The shapes of later matches may contain prices of earlier outcomes; that this does not sort outcomes into clusters is
//! an assumption.

use super::event::{EventError, Experience, ExperienceId, Instant, Resolution};
use super::learner::Learner;
use super::sequence::Betting;
use super::window::Scale;
use crate::kernels::KernelError;
use crate::kernels::dtw::DtwOptions;
use crate::search::{BarycenterOptions, Candidates, Job, barycenter, medoids};
use std::sync::Arc;

/// Outcomes of one family that are clustered: the newest.
pub const MAX_MEMBERS: usize = 1000;

/// Clusters of one family.
pub const MAX_CLUSTERS: usize = 8;

/// How a cluster is represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Representative {
    /// By the member that is nearest to all others: a pattern that has been there.
    #[default]
    Medoid,
    /// By the average of all members, for matches of one channel: smoother than each of them.
    Barycenter,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct DistillOptions {
    /// The members that a cluster needs, at least 1.
    pub min_samples: usize,
    /// The bound that it needs, a fraction.
    pub min_lower_bound: f64,
    /// How shapes are compared.
    pub dtw: DtwOptions,
    /// Time steps of a match. Matches of another length, or without their values, are no shapes.
    pub length: usize,
    /// Values per time step.
    pub channels: usize,
    /// How clusters are represented.
    pub representative: Representative,
    /// Nothing later is used, in milliseconds.
    pub at: f64,
    /// For the clustering.
    pub seed: u64,
}

/// A shape with proof.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// Of which family.
    pub family: Arc<str>,
    /// The member in the middle.
    pub medoid: ExperienceId,
    /// The shape.
    pub values: Vec<f64>,
    /// Members.
    pub samples: u64,
    /// The share with a positive net return.
    pub win_rate: f64,
    /// Of net returns, a fraction.
    pub mean_return: f64,
    /// Of the mean net return, a fraction.
    pub lower_bound: f64,
    /// Mean of what happened, a fraction: before costs, and whatever was predicted.
    pub mean_outcome: f64,
    /// When the last outcome of its family was known that had a say in it, in milliseconds.
    pub known_at: f64,
}

/// Why nothing was distilled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DistillError {
    /// An option.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Shapes that are no series.
    #[error(transparent)]
    Input(#[from] crate::series::InputError),
    /// The clustering: cancelled or too large.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// An outcome of a family.
struct Member {
    experience: Arc<Experience>,
    /// When its window and embargo are over.
    busy: Instant,
    net_return: f64,
    actual: f64,
    /// When that was known.
    known: Instant,
    /// That was known when it matched.
    scale: f64,
}

/// A family's outcomes in clusters.
struct Clustered {
    family: Arc<str>,
    members: Vec<Member>,
    /// The last.
    scale: f64,
    /// Of each cluster its medoid and its members, by their places in `members`.
    clusters: Vec<(usize, Vec<usize>)>,
}

/// The shapes of all families with proof, in the order of families. Blocks while it clusters.
pub fn distill(
    learner: &Learner,
    options: &DistillOptions,
    job: &Job,
) -> Result<Vec<Distilled>, DistillError> {
    let at = Instant::new("at", options.at)?;
    let mut all = Vec::new();
    for family in learner.families() {
        all.extend(cluster(learner, family, at, options, job)?);
    }
    let clusters: usize = all.iter().map(|family| family.clusters.len()).sum();
    let alpha = learner.config().alpha / clusters.max(1) as f64;
    let mut found = Vec::new();
    for family in &all {
        for (medoid, members) in &family.clusters {
            found.extend(prove(family, *medoid, members, alpha, options, job)?);
        }
    }
    Ok(found)
}

/// The newest outcomes of a family that have a shape and a scale, oldest first, and the last scale.
fn members(learner: &Learner, family: &Arc<str>, at: Instant, values: usize) -> Option<(Vec<Member>, f64)> {
    let outcomes = learner.outcomes(family, at);
    let mut scale = Scale::default();
    let scales: Vec<Option<f64>> = std::iter::once(None)
        .chain(outcomes.iter().map(|(_, _, net)| {
            scale.add(*net);
            scale.value()
        }))
        .collect();
    let member = |(experience, outcome, net_return): &(Arc<Experience>, Resolution, f64)| {
        let before = outcomes.partition_point(|(_, other, _)| other.instant() <= experience.instant());
        let busy = outcome.instant().plus(learner.config().embargo_ms);
        Some(Member {
            experience: experience.clone(),
            busy,
            net_return: *net_return,
            actual: outcome.actual,
            known: outcome.instant(),
            scale: scales[before]?,
        })
    };
    let mut members: Vec<Member> = outcomes.iter().filter_map(member).collect();
    // What came from elsewhere may have any length: it must not keep the others back.
    members.retain(|member| values > 0 && member.experience.values.len() == values);
    members.drain(..members.len().saturating_sub(MAX_MEMBERS));
    Some((members, scale.value()?))
}

/// The clusters of one family; none while it has too few outcomes with a shape.
fn cluster(
    learner: &Learner,
    family: &Arc<str>,
    at: Instant,
    options: &DistillOptions,
    job: &Job,
) -> Result<Option<Clustered>, DistillError> {
    let least = options.min_samples.max(1);
    let values = options.length.saturating_mul(options.channels);
    let found = members(learner, family, at, values).filter(|(members, _)| members.len() >= least);
    let Some((members, scale)) = found else { return Ok(None) };
    let count = (members.len() / (2 * least)).clamp(1, MAX_CLUSTERS);
    let shapes = members.iter().map(|member| &*member.experience.values);
    let series = Candidates::from_list("values", shapes, options.channels)?;
    let found = medoids(&series, count, &options.dtw, options.seed, job)?;
    let of = |cluster: usize| {
        let belongs = |index: &usize| found.assignment[*index] as usize == cluster;
        (found.medoids[cluster] as usize, (0..members.len()).filter(belongs).collect())
    };
    let clusters = (0..count).map(of).collect();
    Ok(Some(Clustered { family: family.clone(), members, scale, clusters }))
}

/// Bets on members in the order in which they began. Those that begin at one instant end together, with the last.
fn bet(sequence: &mut Betting, mut members: Vec<&Member>) {
    members.sort_by_key(|member| (member.experience.instant(), member.experience.id));
    for same in members.chunk_by(|a, b| a.experience.instant() == b.experience.instant()) {
        let counted: Vec<_> =
            same.iter().filter(|member| sequence.reserve(member.experience.instant())).collect();
        counted.into_iter().for_each(|member| sequence.settle(member.net_return / member.scale, member.busy));
    }
}

/// A cluster that has proved itself.
fn prove(
    family: &Clustered,
    medoid: usize,
    members: &[usize],
    alpha: f64,
    options: &DistillOptions,
    job: &Job,
) -> Result<Option<Distilled>, DistillError> {
    let all = || members.iter().map(|&index| &family.members[index]);
    let mut sequence = Betting::new(alpha);
    bet(&mut sequence, all().collect());
    let lower_bound = sequence.lower(alpha) * family.scale;
    if members.len() < options.min_samples || lower_bound < options.min_lower_bound {
        return Ok(None);
    }
    let n = members.len() as f64;
    let middle = &family.members[medoid].experience;
    let values = match options.representative {
        Representative::Barycenter if options.channels == 1 => {
            let shapes = all().map(|member| &*member.experience.values);
            let series = Candidates::from_list("values", shapes, 1)?;
            let options = BarycenterOptions { window: options.dtw.window, ..BarycenterOptions::default() };
            barycenter(&series, &options, job)?.center
        }
        _ => middle.values.to_vec(),
    };
    Ok(Some(Distilled {
        family: family.family.clone(),
        medoid: middle.id,
        values,
        samples: members.len() as u64,
        win_rate: all().filter(|member| member.net_return > 0.0).count() as f64 / n,
        mean_return: all().map(|member| member.net_return).sum::<f64>() / n,
        lower_bound,
        mean_outcome: all().map(|member| member.actual).sum::<f64>() / n,
        // All members had a say in what the clusters are.
        known_at: family.members.iter().map(|member| member.known).max().map_or(options.at, Instant::millis),
    }))
}
