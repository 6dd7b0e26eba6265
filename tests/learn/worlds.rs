//! Markets of which the truth is known, and rules that trade in them.
//!
//! A win pays 1 %, a loss costs 1.2 %, so a match is worth trading when it wins more often than 54.5 %. In each world the
//! probability depends on the similarity, uniform in 0.6 to 1, and falls by 8 points after half of the time:
//!
//! - `Slope`: more similar matches are better;
//! - `Peak`: those in the middle are best, and near-duplicates (overfitted patterns) lose. After the change nothing is
//!   worth trading;
//! - `Even`: every match wins exactly 54.5 %, always: no edge.

use midstreamer::learn::{
    Config, Decision, Experience, ExperienceId, Learner, Policy, Query, Reason, Resolution,
};

/// Numbers that look random (Marsaglia's xorshift, multiplied).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..20 {
            random.uniform();
        }
        random
    }

    /// 0 to 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, deviation 1, nearly normal.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    Slope,
    Peak,
    Even,
}

const WIN: f64 = 0.01;
const LOSS: f64 = 0.012;

impl World {
    /// The probability of a win.
    fn chance(self, similarity: f64, is_late: bool) -> f64 {
        let x = (similarity - 0.6) / 0.4;
        let early = match self {
            Self::Slope => 0.35 + 0.35 * x,
            Self::Peak if x >= 0.8 => 0.45,
            Self::Peak => 0.62 - 1.6 * libm::pow((x - 0.45_f64).abs(), 1.5),
            Self::Even => return LOSS / (WIN + LOSS),
        };
        early - if is_late { 0.08 } else { 0.0 }
    }
}

/// What trades without learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Knows the truth.
    Oracle,
    /// A threshold that never moves.
    Fixed,
    /// The rule of the engine that this replaces: a bad verdict sets the threshold to its similarity and a bit.
    Upstream,
}

/// How a rule did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tally {
    /// In wins.
    pub(crate) gain: f64,
    pub(crate) trades: u32,
    pub(crate) matches: u32,
}

impl Tally {
    fn trade(&mut self, net: f64) {
        self.trades += 1;
        self.gain += net / WIN;
    }
}

/// Trades through one world by a rule that does not learn. The same seed gives the same matches and outcomes to all rules.
pub(crate) fn trade(world: World, rule: Rule, seed: u64, matches: u32) -> Tally {
    let (mut threshold, mut taken): (f64, Vec<bool>) = (0.75, Vec::new());
    let mut tally = Tally { matches, ..Tally::default() };
    for step in steps(world, seed, matches) {
        let trades = match rule {
            Rule::Oracle => step.chance * WIN - (1.0 - step.chance) * LOSS > 1e-12,
            Rule::Upstream => step.similarity >= threshold,
            _ => step.similarity >= 0.75,
        };
        if trades {
            tally.trade(step.net);
            taken.push(step.net > 0.0);
            if step.net < 0.0 {
                threshold = (step.similarity + 0.05).min(0.95);
            }
            let recent = &taken[taken.len().saturating_sub(100)..];
            if taken.len().is_multiple_of(100) && recent.iter().filter(|win| **win).count() > 65 {
                threshold = (threshold - 0.02).max(0.7);
            }
        }
    }
    tally
}

/// Trades through one world by both policies. One learner is enough: what waits for proof is what utility trades.
pub(crate) fn learned(world: World, config: Config, seed: u64, matches: u32) -> [Tally; 2] {
    let mut learner = Learner::new(Config { policy: Policy::Evidence, ..config }).unwrap();
    let mut tallies = [Tally { matches, ..Tally::default() }; 2];
    for (k, step) in steps(world, seed, matches).enumerate() {
        let decision = learn(&mut learner, k as u64, step.similarity, step.net);
        let waits = matches!(decision.reason, Reason::NoProof { .. });
        let [utility, evidence] = &mut tallies;
        if decision.signal.is_some() {
            evidence.trade(step.net);
        }
        if decision.signal.is_some() || waits {
            utility.trade(step.net);
        }
    }
    tallies
}

/// A match of a world and its outcome.
struct Step {
    similarity: f64,
    /// Of a win.
    chance: f64,
    net: f64,
}

fn steps(world: World, seed: u64, matches: u32) -> impl Iterator<Item = Step> {
    let mut random = Random::new(seed);
    (0..matches).map(move |k| {
        let similarity = 0.6 + 0.4 * random.uniform();
        let chance = world.chance(similarity, k >= matches / 2);
        Step { similarity, chance, net: if random.uniform() < chance { WIN } else { -LOSS } }
    })
}

/// A match with its outcome half a step later; what was decided.
fn learn(learner: &mut Learner, seq: u64, similarity: f64, actual: f64) -> Decision {
    let at = seq as f64;
    let (family, confidence, predicted) = ("family", 0.5, 0.005);
    let query = Query { family, similarity, confidence, predicted, volatility: None, at };
    let decision = learner.assess(&query).unwrap();
    let id = ExperienceId { node: 1, seq };
    let experience = Experience {
        id,
        family: family.into(),
        similarity,
        confidence,
        predicted,
        at,
        horizon_ends_at: Some(at + 0.5),
        taken: decision.signal.is_some(),
        volatility: None,
        context: "".into(),
        values: [].into(),
    };
    learner.record(experience).unwrap();
    learner.resolve(Resolution { id, actual, at: at + 0.5 }).unwrap();
    decision
}

/// Several families on prices that walk at random. Every step something matches in each family and predicts from the last
/// move; its outcome is the move over the next `horizon` steps, so windows overlap, within a family and between them. No
/// costs: there is no edge, and nothing that hides that there is none. Signals, and matches.
pub(crate) fn walk(config: Config, seed: u64, families: usize, horizon: usize, steps: usize) -> (u64, u64) {
    let mut random = Random::new(seed);
    let mut learner = Learner::new(config).unwrap();
    let names: Vec<String> = (0..families).map(|k| format!("family {k}")).collect();
    // All families trade one market in part.
    let mut prices = vec![vec![0.0]; families];
    let (mut signals, mut matches) = (0, 0);
    for step in 0..steps {
        let at = step as f64;
        for k in 0..families {
            if let Some(begin) = step.checked_sub(horizon) {
                let id = ExperienceId { node: k as u128, seq: begin as u64 };
                let actual = prices[k][step] - prices[k][begin];
                learner.resolve(Resolution { id, actual, at }).unwrap();
            }
        }
        for k in 0..families {
            let last = prices[k][step] - prices[k][step.saturating_sub(1)];
            let (similarity, confidence) = (0.5 + 0.5 * random.uniform(), random.uniform());
            let predicted = if last < 0.0 { -0.01 } else { 0.01 };
            let query = Query { family: &names[k], similarity, confidence, predicted, volatility: None, at };
            let signal = learner.assess(&query).unwrap().signal.is_some();
            signals += u64::from(signal);
            matches += 1;
            let experience = Experience {
                id: ExperienceId { node: k as u128, seq: step as u64 },
                family: names[k].as_str().into(),
                similarity,
                confidence,
                predicted,
                at,
                horizon_ends_at: Some(at + horizon as f64),
                taken: signal,
                volatility: None,
                context: "".into(),
                values: [].into(),
            };
            learner.record(experience).unwrap();
        }
        let market = random.normal();
        for price in &mut prices {
            price.push(price[step] + 0.01 * (market + random.normal()));
        }
    }
    (signals, matches)
}

/// A price that goes up or down a tick with every bar. A match every five bars is bought and sold where it has won `target`
/// ticks or lost `stop`, so windows overlap and winners end sooner than losers. No horizon is told, and there is no edge.
/// Signals, and matches.
pub(crate) fn exits(config: Config, seed: u64, bars: u32, (target, stop): (i64, i64)) -> (u64, u64) {
    let mut random = Random::new(seed);
    let mut learner = Learner::new(config).unwrap();
    let (mut price, mut open) = (0_i64, Vec::new());
    let (mut signals, mut matches) = (0, 0);
    for bar in 0..bars {
        let at = f64::from(bar);
        price += if random.uniform() < 0.5 { 1 } else { -1 };
        open.retain(|&(id, bought): &(ExperienceId, i64)| {
            let won = price - bought;
            let is_over = won >= target || won <= -stop;
            if is_over {
                learner.resolve(Resolution { id, actual: 0.001 * won as f64, at }).unwrap();
            }
            !is_over
        });
        if !bar.is_multiple_of(5) {
            continue;
        }
        let (family, similarity, confidence, predicted) =
            ("family", 0.5 + 0.5 * random.uniform(), 0.5, 0.005);
        let query = Query { family, similarity, confidence, predicted, volatility: None, at };
        let signal = learner.assess(&query).unwrap().signal.is_some();
        signals += u64::from(signal);
        matches += 1;
        let id = ExperienceId { node: 1, seq: u64::from(bar) + 1 };
        let experience = Experience {
            id,
            family: family.into(),
            similarity,
            confidence,
            predicted,
            at,
            horizon_ends_at: None,
            taken: signal,
            volatility: None,
            context: "".into(),
            values: [].into(),
        };
        learner.record(experience).unwrap();
        open.push((id, price));
    }
    (signals, matches)
}

/// Fair games of the kinds that fool tests which count on normal returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Game {
    /// Loses 1 nine times of ten, wins 9.
    RareWins,
    /// Wins 1 nine times of ten, loses 9.
    RareLosses,
    /// Wins 1 thirty times of 31, loses 30: more than the floor of the bounds while no loss has been seen.
    Crashes,
    /// The deviation is a random walk.
    Clusters,
    /// Tails of the power 2.5.
    FatTails,
}

impl Game {
    pub(crate) const ALL: [Self; 5] =
        [Self::RareWins, Self::RareLosses, Self::Crashes, Self::Clusters, Self::FatTails];

    /// An outcome; its expectation is 0.
    fn outcome(self, random: &mut Random, deviation: &mut f64) -> f64 {
        match self {
            Self::RareWins if random.uniform() < 0.9 => -1.0,
            Self::RareWins => 9.0,
            Self::RareLosses if random.uniform() < 0.9 => 1.0,
            Self::RareLosses => -9.0,
            Self::Crashes if random.uniform() < 30.0 / 31.0 => 1.0,
            Self::Crashes => -30.0,
            Self::Clusters => {
                *deviation = (*deviation * libm::exp(0.1 * random.normal())).clamp(0.1, 10.0);
                *deviation * random.normal()
            }
            Self::FatTails => random.normal() / libm::pow(random.uniform().max(0.01), 0.4),
        }
    }
}

/// Plays a fair game. Signals, and matches.
pub(crate) fn play(game: Game, config: Config, seed: u64, matches: u32) -> (u64, u64) {
    let mut random = Random::new(seed);
    let mut learner = Learner::new(config).unwrap();
    let (mut signals, mut deviation) = (0, 1.0);
    for k in 0..matches {
        let (similarity, actual) = (random.uniform(), 0.01 * game.outcome(&mut random, &mut deviation));
        signals += u64::from(learn(&mut learner, u64::from(k), similarity, actual).signal.is_some());
    }
    (signals, u64::from(matches))
}

/// Outcomes whose deviation and mean drift, with jumps; the coverage of the intervals.
pub(crate) fn coverage(seed: u64, outcomes: u32) -> f64 {
    let mut random = Random::new(seed);
    let mut learner = Learner::new(Config::default()).unwrap();
    let mut deviation = 0.01;
    for k in 0..outcomes {
        if k.is_multiple_of(1500) {
            deviation = if random.uniform() < 0.5 { 0.005 } else { 0.03 };
        }
        deviation *= libm::exp(0.01 * random.normal());
        let tail = if random.uniform() < 0.03 { 4.0 } else { 1.0 };
        let drift = 0.01 * libm::sin(f64::from(k) / 500.0);
        let similarity = random.uniform();
        learn(&mut learner, u64::from(k), similarity, drift + deviation * tail * random.normal());
    }
    learner.trajectory("family", f64::from(outcomes)).unwrap().calibration.coverage
}
