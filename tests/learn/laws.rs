//! Laws that hold for every set of events: order, repetition and detours change no bit, and nothing is known too early.

use midstreamer::learn::{
    Config, Decision, Event, EventError, Experience, ExperienceId, Instant, Learner, Policy, Query,
    Resolution,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

const FAMILIES: [&str; 2] = ["flag", "wedge"];

fn config() -> Config {
    let policy = Policy::Evidence;
    Config {
        policy,
        alpha: 0.3,
        min_samples: 5.0,
        half_life_ms: Some(500.0),
        grace_ms: 20.0,
        ..Config::default()
    }
}

/// One draw of an experience and its outcome, in small whole numbers so that instants and ids collide.
type Draw = (u64, usize, u32, u32, i32, i32, Option<u32>);

fn draw() -> impl Strategy<Value = Draw> {
    (
        0..3_u64,
        0..2_usize,
        0..200_u32,
        50..100_u32,
        -2..3_i32,
        -30..30_i32,
        prop::option::weighted(0.9, 1..40_u32),
    )
}

/// The events of draws. Some outcomes are told twice, the second time otherwise.
fn events(draws: &[Draw]) -> Vec<Event> {
    let mut events = Vec::new();
    for (seq, &(node, family, at, similarity, predicted, actual, after)) in draws.iter().enumerate() {
        let id = ExperienceId { node: u128::from(node), seq: seq as u64 };
        let at = f64::from(at);
        let experience = Experience {
            id,
            family: FAMILIES[family].into(),
            similarity: f64::from(similarity) / 100.0,
            confidence: f64::from(similarity % 10) / 10.0,
            predicted: f64::from(predicted) * 0.01,
            at,
            horizon_ends_at: Some(at + 10.0),
            taken: seq.is_multiple_of(2),
            volatility: (seq.is_multiple_of(3)).then_some(0.02),
            context: "".into(),
            values: Arc::new([f64::from(actual), 1.0]),
        };
        events.push(Event::Experience(Arc::new(experience)));
        if let Some(after) = after {
            let actual = f64::from(actual) * 0.001;
            events.push(Event::Resolution(Resolution { id, actual, at: at + f64::from(after) }));
            if seq.is_multiple_of(5) {
                events.push(Event::Resolution(Resolution {
                    id,
                    actual: -actual,
                    at: at + f64::from(after) + 3.0,
                }));
            }
            if seq.is_multiple_of(7) {
                // Before its match, as no caller can tell it: it comes by a merge.
                events.push(Event::Resolution(Resolution { id, actual: 0.5, at: at - f64::from(after % 3) }));
            }
        }
    }
    events
}

/// Everything that a learner says, and at which moments: bit by bit, as Debug writes f64 so that they read back.
fn said(learner: &Learner, moments: &[f64]) -> String {
    let mut text = String::new();
    for family in FAMILIES {
        for &at in moments {
            for (similarity, predicted) in [(0.55, 0.01), (0.75, -0.01), (0.95, 0.01)] {
                let query = Query { family, similarity, confidence: 0.9, predicted, volatility: None, at };
                text += &format!("{:?}\n", learner.assess(&query).unwrap());
            }
            text += &format!("{:?}\n", learner.trajectory(family, at).unwrap());
        }
    }
    text
}

fn everything(learner: &Learner) -> String {
    let families = FAMILIES
        .map(|family| (learner.thresholds(family), learner.adaptations(family), learner.alarms(family)));
    let verdicts: Vec<_> = learner.events().iter().map(|(id, _)| learner.verdict(*id)).collect();
    format!("{}{families:?}{verdicts:?}", said(learner, &[50.0, 120.0, 300.0]))
}

fn told(events: &[Event]) -> Learner {
    let mut learner = Learner::new(config()).unwrap();
    learner.tell(events.iter().cloned()).unwrap();
    learner
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_of_arrival_gives_the_same_bits(draws in vec(draw(), 100..240), seed in any::<u64>()) {
        let events = events(&draws);
        let expected = everything(&told(&events));
        let mut shuffled = events.clone();
        shuffle(&mut shuffled, seed);
        // In parts, some of them twice.
        let mut learner = Learner::new(config()).unwrap();
        for part in shuffled.chunks(7) {
            learner.tell(part.iter().cloned()).unwrap();
            prop_assert_eq!(learner.tell(part.iter().cloned()).unwrap(), 0);
        }
        prop_assert_eq!(everything(&learner), expected);
    }

    #[test]
    fn merge_is_commutative_associative_and_idempotent(draws in vec(draw(), 80..200), seed in any::<u64>()) {
        let all = events(&draws);
        let mut random = seed;
        // Three nodes that saw different things, some the same.
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for event in &all {
            let lot = next(&mut random) % 7 + 1;
            parts.iter_mut().enumerate().filter(|(k, _)| lot >> k & 1 == 1).for_each(|(_, part)| part.push(event.clone()));
        }
        let [a, b, c] = parts.map(|part| told(&part));
        let merged = |into: &Learner, others: &[&Learner]| {
            let mut learner = into.clone();
            for other in others {
                learner.merge(other.events());
            }
            learner
        };
        let (ab, bc) = (merged(&a, &[&b]), merged(&b, &[&c]));
        prop_assert_eq!(everything(&ab), everything(&merged(&b, &[&a])));
        let expected = everything(&told(&all));
        prop_assert_eq!(everything(&merged(&ab, &[&c])), expected.clone());
        prop_assert_eq!(everything(&merged(&a, &[&bc])), expected.clone());
        let mut again = merged(&ab, &[&c]);
        prop_assert_eq!(again.merge(&bc.events().clone()), 0);
        prop_assert_eq!(everything(&again), expected);
    }

    #[test]
    fn what_happens_later_changes_nothing(draws in vec(draw(), 100..240), moment in 20.0..180.0_f64, seed in any::<u64>()) {
        let past = events(&draws);
        let instant = |event: &Event| match event {
            Event::Experience(experience) => experience.at,
            Event::Resolution(resolution) => resolution.at,
        };
        let mut random = seed;
        let mut other = Vec::new();
        for event in &past {
            // What is later is changed, left out, or moved.
            match event {
                event if instant(event) <= moment => other.push(event.clone()),
                Event::Resolution(resolution) if !next(&mut random).is_multiple_of(3) => {
                    let actual = (next(&mut random) % 1000) as f64 * 0.001 - 0.5;
                    let at = resolution.at + (next(&mut random) % 5) as f64;
                    other.push(Event::Resolution(Resolution { actual, at, ..*resolution }));
                }
                Event::Experience(experience) if !next(&mut random).is_multiple_of(3) => {
                    let predicted = (next(&mut random) % 100) as f64 * 0.001 - 0.05;
                    let changed = Experience { predicted, similarity: 0.5, ..Experience::clone(experience) };
                    other.push(Event::Experience(Arc::new(changed)));
                }
                _ => {}
            }
        }
        let moments = [moment / 2.0, moment];
        prop_assert_eq!(said(&told(&past), &moments), said(&told(&other), &moments));
        // And what was said then is what is said now of then.
        let known: Vec<Event> = past.iter().filter(|event| instant(event) <= moment).cloned().collect();
        prop_assert_eq!(said(&told(&past), &moments), said(&told(&known), &moments));
    }
}

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

fn shuffle(events: &mut [Event], seed: u64) {
    let mut random = seed;
    for k in (1..events.len()).rev() {
        events.swap(k, next(&mut random) as usize % (k + 1));
    }
}

// ------------------------------------------------------------------------------------------- one after the other

fn experience(seq: u64, at: f64) -> Experience {
    Experience {
        id: ExperienceId { node: 1, seq },
        family: "flag".into(),
        similarity: 0.8,
        confidence: 0.7,
        predicted: 0.01,
        at,
        horizon_ends_at: Some(at + 10.0),
        taken: false,
        volatility: None,
        context: "".into(),
        values: Arc::new([]),
    }
}

fn outcome(seq: u64, actual: f64, at: f64) -> Resolution {
    Resolution { id: ExperienceId { node: 1, seq }, actual, at }
}

#[test]
fn outcomes_come_twice_late_or_never() {
    let mut learner = Learner::new(Config { grace_ms: 5.0, cost: 0.001, ..Config::default() }).unwrap();
    assert!(learner.record(experience(1, 0.0)).unwrap() && !learner.record(experience(1, 0.0)).unwrap());
    for seq in 2..=4 {
        learner.record(experience(seq, seq as f64)).unwrap();
    }
    let verdict = learner.resolve(outcome(1, 0.02, 10.0)).unwrap();
    assert!((verdict.judgement.net_return - 0.019).abs() < 1e-15 && verdict.adaptations.is_empty());
    // Told again, otherwise: the earliest counts, and is judged.
    assert_eq!(learner.resolve(outcome(1, -0.5, 11.0)).unwrap(), verdict);
    // Earlier than what was known: now that one counts.
    assert!(learner.resolve(outcome(1, -0.02, 9.0)).unwrap().judgement.net_return < 0.0);
    let figures = |learner: &Learner, at| {
        let trajectory = learner.trajectory("flag", at).unwrap();
        (trajectory.samples, trajectory.expired)
    };
    assert_eq!(figures(&learner, 8.0), (0, 0));
    assert_eq!(figures(&learner, 16.0), (1, 0));
    assert_eq!(figures(&learner, 100.0), (1, 3));
    // Days later: it was expired till then.
    learner.resolve(outcome(2, 0.01, 90.0)).unwrap();
    assert_eq!(figures(&learner, 89.0), (1, 3));
    assert_eq!(figures(&learner, 100.0), (2, 2));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut learner = Learner::new(Config::default()).unwrap();
    let unknown = ExperienceId { node: 1, seq: 9 };
    assert_eq!(learner.resolve(outcome(9, 0.1, 5.0)), Err(EventError::Unknown(unknown)));
    learner.record(experience(9, 5.0)).unwrap();
    assert!(matches!(learner.resolve(outcome(9, 0.1, 5.0)), Err(EventError::Premature { .. })));
    assert!(learner.resolve(outcome(9, f64::NAN, 6.0)).is_err());
    // All or nothing.
    let wrong = Event::Resolution(outcome(9, f64::INFINITY, 6.0));
    let right = Event::Resolution(outcome(9, 0.1, 6.0));
    assert!(learner.tell([right.clone(), wrong]).is_err());
    assert_eq!(learner.verdict(unknown), None);
    assert_eq!(learner.tell([right]), Ok(1));
    let query =
        Query { family: "flag", similarity: 2.0, confidence: 0.5, predicted: 0.0, volatility: None, at: 0.0 };
    assert!(learner.assess(&query).is_err());
    assert!(Instant::new("at", f64::NAN).is_err());
}

/// Windows of 10 with a match every 4: one of three counts, and with an embargo of 3 one of four.
#[test]
fn windows_that_overlap_count_once() {
    let windows = |embargo_ms: f64| {
        let mut learner = Learner::new(Config { embargo_ms, ..Config::default() }).unwrap();
        for seq in 0..620_u64 {
            let at = seq as f64 * 4.0;
            learner.record(experience(seq, at)).unwrap();
            learner.resolve(outcome(seq, 0.01, at + 10.0)).unwrap();
        }
        let query = Query {
            family: "flag",
            similarity: 0.8,
            confidence: 0.7,
            predicted: 0.01,
            volatility: None,
            at: 1e6,
        };
        learner.assess(&query).unwrap().proof.unwrap().windows
    };
    let (plain, embargo) = (windows(0.0), windows(3.0));
    assert!((195..=200).contains(&plain) && (145..=150).contains(&embargo), "{plain} {embargo}");
}

/// A world with an edge for shorts: the signal is one, the interval is around what the market does.
#[test]
fn a_proved_edge_is_a_signal() {
    let mut learner = Learner::new(Config { cost: 0.0005, ..Config::default() }).unwrap();
    let ask = |learner: &Learner, at: f64| -> Decision {
        let query =
            Query { family: "top", similarity: 0.8, confidence: 0.7, predicted: -0.01, volatility: None, at };
        learner.assess(&query).unwrap()
    };
    assert!(ask(&learner, 0.0).signal.is_none());
    for seq in 0..400_u64 {
        let at = seq as f64 * 20.0;
        let experience = Experience { family: "top".into(), predicted: -0.01, ..experience(seq, at) };
        learner.record(experience).unwrap();
        let actual = if seq % 3 == 0 { 0.01 } else { -0.01 };
        learner.resolve(outcome(seq, actual, at + 10.0)).unwrap();
    }
    let decision = ask(&learner, 1e6);
    let signal = decision.signal.unwrap();
    assert_eq!(format!("{:?}", signal.direction), "Short");
    assert!(
        (signal.expected_return - -0.01 / 3.0).abs() < 0.001 && (signal.confidence - 2.0 / 3.0).abs() < 0.05
    );
    assert!(signal.interval.0 <= -0.0099 && signal.interval.1 >= 0.0, "{:?}", signal.interval);
    let proof = decision.proof.unwrap();
    assert!(proof.lower >= 0.0 && proof.evidence >= 20.0);
    assert_eq!(proof.windows, 379);
    // Of another family nothing is known, and this one needs more where two are looked at.
    learner.record(experience(1000, 1e6)).unwrap();
    assert_eq!(ask(&learner, 2e6).proof.unwrap().required, 40.0);
    assert_eq!(ask(&learner, 9e5).proof.unwrap().required, 20.0);
}

/// What is barely similar loses, what is very similar earns: the threshold rises, once, with its evidence, and the
/// verdict with which it did says so. Before 20 outcomes nothing moves, whatever they are.
#[test]
fn thresholds_move_by_evidence_and_say_so() {
    let mut learner = Learner::new(Config::default()).unwrap();
    let mut told = Vec::new();
    for seq in 0..1500_u64 {
        let at = seq as f64 * 20.0;
        let is_similar = seq % 2 == 1;
        let similarity = if is_similar { 0.9 } else { 0.62 };
        learner.record(Experience { similarity, ..experience(seq, at) }).unwrap();
        // Disasters first, of the kind that must not move anything alone.
        let actual = match (seq, is_similar) {
            (0..40, false) => -0.5,
            (_, false) => {
                if seq % 5 == 0 {
                    0.01
                } else {
                    -0.01
                }
            }
            (_, true) => {
                if seq % 5 == 0 {
                    -0.01
                } else {
                    0.01
                }
            }
        };
        let verdict = learner.resolve(outcome(seq, actual, at + 10.0)).unwrap();
        assert!(seq > 40 || verdict.adaptations.is_empty());
        told.extend(verdict.adaptations);
    }
    assert_eq!(told, learner.adaptations("flag"));
    let first = &told[0];
    assert_eq!((first.parameter.as_str(), first.from, first.to), ("similarityThreshold", 0.0, 0.65));
    assert!(first.evidence.n >= 20.0 && first.evidence.upper < 0.0 && first.reason.contains("lose"));
    assert_eq!(learner.thresholds("flag").similarity, told.last().unwrap().to);
    let query = Query {
        family: "flag",
        similarity: 0.62,
        confidence: 0.7,
        predicted: 0.01,
        volatility: None,
        at: 1e6,
    };
    let decision = learner.assess(&query).unwrap();
    assert_eq!(decision.reason.to_string(), "similarity 0.620 is below the threshold 0.650");
}

/// Two nodes that see one half each and meet now and then agree to the last bit with one that saw everything in order,
/// in a history that is long enough for thresholds, proofs, alarms and checkpoints.
#[test]
fn nodes_that_meet_agree_with_one_that_saw_everything() {
    let mut history = Vec::new();
    for seq in 0..900_u64 {
        let (at, is_similar) = (seq as f64 * 7.0, seq % 2 == 1);
        let similarity = if is_similar { 0.9 } else { 0.62 };
        let wins = seq % 5 == 0;
        // The market turns at two thirds.
        let actual = if (wins == is_similar) == (seq < 600) { -0.01 } else { 0.01 };
        history.push(Event::Experience(Arc::new(Experience { similarity, ..experience(seq, at) })));
        history.push(Event::Resolution(outcome(seq, actual, at + 10.0)));
    }
    let config = Config { similarity_threshold: 0.3, ..Config::default() };
    let new = || Learner::new(config).unwrap();
    let mut whole = new();
    whole.tell(history.iter().cloned()).unwrap();
    assert!(!whole.adaptations("flag").is_empty() && whole.alarms("flag") > 0);
    assert!(said(&whole, &[4000.0]).contains("signal: Some"));
    let (mut a, mut b, mut random) = (new(), new(), 3);
    for part in history.chunks(225) {
        let (mut first, second): (Vec<Event>, Vec<Event>) =
            part.iter().cloned().partition(|_| next(&mut random).is_multiple_of(2));
        shuffle(&mut first, random);
        a.tell(first).unwrap();
        b.tell(second).unwrap();
        if next(&mut random).is_multiple_of(2) {
            a.merge(b.events());
        }
    }
    a.merge(b.events());
    b.merge(a.events());
    for node in [&a, &b] {
        assert_eq!(node.events(), whole.events());
        assert_eq!(everything(node), everything(&whole));
        assert_eq!(said(node, &[1000.0, 4000.0, 7000.0]), said(&whole, &[1000.0, 4000.0, 7000.0]));
    }
}
