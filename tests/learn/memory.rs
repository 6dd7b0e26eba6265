//! What is distilled: shapes that pay, with proof, and nothing else.

use crate::worlds::Random;
use midstreamer::kernels::dtw::DtwOptions;
use midstreamer::learn::{
    Config, DistillError, DistillOptions, Distilled, Experience, ExperienceId, Learner, Representative,
    Resolution, distill,
};
use midstreamer::search::Job;

const LENGTH: usize = 16;

fn options() -> DistillOptions {
    DistillOptions {
        min_samples: 30,
        min_lower_bound: 0.0,
        dtw: DtwOptions { window: Some(3), ..DtwOptions::default() },
        length: LENGTH,
        channels: 1,
        representative: Representative::Medoid,
        at: 1e9,
        seed: 1,
    }
}

/// Hills and valleys with noise. `edge(is_hill)` is the probability of a win of 1 %.
fn learner(edge: impl Fn(bool) -> f64) -> Learner {
    let mut random = Random::new(11);
    let mut learner = Learner::new(Config::default()).unwrap();
    for seq in 0..400_u64 {
        let is_hill = random.uniform() < 0.5;
        let shape = |k: usize| {
            let arch = libm::sin(std::f64::consts::PI * k as f64 / (LENGTH - 1) as f64);
            if is_hill { arch } else { -arch }
        };
        let id = ExperienceId { node: 1, seq };
        let at = seq as f64 * 10.0;
        let experience = Experience {
            id,
            family: "arch".into(),
            similarity: 0.8,
            confidence: 0.5,
            predicted: 0.01,
            at,
            horizon_ends_at: Some(at + 5.0),
            taken: true,
            volatility: None,
            context: "".into(),
            values: (0..LENGTH).map(|k| shape(k) + 0.1 * random.normal()).collect(),
        };
        learner.record(experience).unwrap();
        let actual = if random.uniform() < edge(is_hill) { 0.01 } else { -0.01 };
        learner.resolve(Resolution { id, actual, at: at + 5.0 }).unwrap();
    }
    learner
}

fn found(learner: &Learner, options: &DistillOptions) -> Vec<Distilled> {
    distill(learner, options, &Job::new()).unwrap()
}

#[test]
fn shapes_that_pay_are_remembered() {
    let learner = learner(|is_hill| if is_hill { 0.8 } else { 0.3 });
    for representative in [Representative::Medoid, Representative::Barycenter] {
        let found = found(&learner, &DistillOptions { representative, ..options() });
        assert!(!found.is_empty());
        for one in &found {
            // A hill: the middle is above the ends.
            assert_eq!(one.values.len(), LENGTH);
            assert!(one.values[LENGTH / 2] > one.values[0] + 0.5, "{:?}", one.values);
            assert!(one.samples >= 30 && one.win_rate > 0.6 && one.lower_bound >= 0.0);
            assert!((one.mean_return - (2.0 * one.win_rate - 1.0) * 0.01).abs() < 1e-12);
            assert!(one.lower_bound < one.mean_return && &*one.family == "arch");
        }
    }
    // More than there is.
    assert_eq!(found(&learner, &DistillOptions { min_lower_bound: 0.01, ..options() }), []);
    assert_eq!(found(&learner, &DistillOptions { min_samples: 1000, ..options() }), []);
}

#[test]
fn nothing_is_remembered_where_nothing_pays() {
    assert_eq!(found(&learner(|_| 0.5), &options()), []);
}

#[test]
fn memory_ends_at_its_instant() {
    let learner = learner(|is_hill| if is_hill { 0.8 } else { 0.3 });
    let early = found(&learner, &DistillOptions { at: 300.0, ..options() });
    assert_eq!(early, []);
    let then = found(&learner, &DistillOptions { at: 3000.0, ..options() });
    assert!(then.iter().map(|one| one.samples).sum::<u64>() <= 300);
}

#[test]
fn matches_of_another_length_do_not_keep_the_others_back() {
    let mut learner = learner(|is_hill| if is_hill { 0.8 } else { 0.3 });
    let before = found(&learner, &options());
    assert!(!before.is_empty());
    // As they may come from another node: after all others, so that they have no say in what is known by then.
    for (seq, length) in [1, LENGTH - 1, LENGTH + 1, 100_000].into_iter().enumerate() {
        let id = ExperienceId { node: 2, seq: seq as u64 };
        let some =
            learner.events().get(ExperienceId { node: 1, seq: 0 }).unwrap().experience.clone().unwrap();
        let at = 1e6 + seq as f64;
        let values = vec![1.0; length].into();
        let strange = Experience { id, at, horizon_ends_at: Some(at + 0.5), values, ..(*some).clone() };
        learner.record(strange).unwrap();
        learner.resolve(Resolution { id, actual: 0.01, at: at + 0.5 }).unwrap();
    }
    let shapes = |found: Vec<Distilled>| -> Vec<_> {
        found.into_iter().map(|one| (one.medoid, one.values, one.samples)).collect()
    };
    assert_eq!(shapes(found(&learner, &options())), shapes(before));
    assert_eq!(found(&learner, &DistillOptions { channels: 3, ..options() }), []);
}

#[test]
fn distilling_can_be_cancelled() {
    let cancelled = Job::new();
    cancelled.cancel();
    assert!(matches!(distill(&learner(|_| 0.5), &options(), &cancelled), Err(DistillError::Kernel(_))));
}
