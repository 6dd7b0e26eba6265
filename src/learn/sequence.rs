//! Bounds of a mean that stay true however often they are looked at.
//!
//! # What is guaranteed
//! Let X_1, X_2, ... be the net returns that a sequence counts, and let every match be made knowing the past alone. If the
//! mean of each X_i, given all that was known at its match, is at most m, then the probability that the lower bound at
//! level alpha is *ever* above m, at whatever moment anybody looks, is at most alpha. The means need not be equal, the
//! returns need be neither normal nor independent. (The upper bound likewise.) A bound of 0 that is cleared therefore says
//! "there was an edge", at an error rate that no peeking inflates.
//!
//! # How: betting
//! Against "the mean is at most m" one bets the share k of a capital of 1 on every X: the capital becomes the product of
//! 1 + k (X_i / scale_i - m), which nobody can expect to grow if the claim is true. By Ville's inequality it ever reaches
//! 1 / alpha with probability at most alpha, so m is ruled out when it does (Waudby-Smith and Ramdas, "Estimating means
//! of bounded random variables by betting", 2023). The capital is divided over five bets, of which one bets nothing, and a
//! small part of it is redistributed at every step (Herbster and Warmuth, "Tracking the best expert", 1998): the total is
//! the same, so nothing of the guarantee is lost, and an edge that begins late does not find all capital gone. Capital
//! above [`FAMILIES`] / alpha is thrown away, which costs no validity either and lets the evidence fade when the edge does.
//!
//! # What is assumed
//! - *Losses beyond a floor count as the floor.* Returns are not bounded, and no bound of the mean exists for returns of
//!   which nothing is known: a strategy may win a little every day until it loses everything. A bet of share k is ruined
//!   by a loss of scale / k, and a larger one cannot take more; the boldest bet is 0.12, so what is bounded is the mean
//!   of the return with losses beyond 8.3 scales cut there. If such losses occur with a weight that matters, the mean
//!   can be worse than the bound. Gains need no cut: they can only be too large for the *upper* bound, which treats
//!   them alike.
//! - *The scale is known beforehand.* Each return is measured in the [`Scale`](super::window::Scale) that was known at its match, so that a bet on
//!   a calm day and one on a wild day risk the same. A mean of at most 0 is one in any scale; the other bounds are
//!   of the mean of X_i / scale_i, and are told in today's scale.
//! - *Windows do not overlap.* Outcomes of overlapping windows know of each other. Of those only the first to begin counts
//!   ([`Lane`]), which is known at the match, so an exit may depend on anything that happens in the window. Matches of one
//!   instant are one bet on their mean, made when all their outcomes are known.
//! - An outcome that nobody tells is missing for reasons unrelated to its return.

use super::event::Instant;
use super::window::Lane;

/// Bets in units of 1 / scale, and the share of the capital that each begins with. A bet of k grows fastest where the mean
/// is k deviations, and grows up to 2 k: most is on what a rule worth trading has, the rest is there for smaller edges and
/// for long times without one. The parts of 6 bets equally weighted cost 1.8 nats, these half a nat for most edges.
const BETS: [(f64, f64); 5] = [(0.0, 0.05), (0.015, 0.05), (0.03, 0.1), (0.06, 0.2), (0.12, 0.6)];

/// The part of each bet's capital that is redistributed after every step, in the shares of the beginning.
const REDISTRIBUTED: f64 = 0.0005;

/// A capital beyond this many times 1 / alpha is thrown away. Of more families one alone cannot reach what
/// [`policy`](super::policy) asks of it; with others of its kind it can.
pub const FAMILIES: f64 = 1000.0;

/// The largest outcome, in scales: where the scale is next to nothing, products stay finite. A loss of this size ruins every
/// bet anyway, and a gain counts no less than it may.
const LARGEST: f64 = 1e6;

/// Means that are tested, in units of the scale: -1 to 1 in steps of 0.05.
const MEANS: usize = 41;

/// The one of them that is 0.
const ZERO: usize = MEANS / 2;

/// The mean at a position, in units of the scale.
fn mean_at(position: usize) -> f64 {
    (position as f64 - ZERO as f64) / ZERO as f64
}

/// The capital of one claim about the mean, divided over the bets.
type Capital = [f64; BETS.len()];

/// One step of a capital whose bets are on `gain`, in units of the scale.
fn step(capital: &mut Capital, gain: f64) {
    for (share, (bet, _)) in capital.iter_mut().zip(BETS) {
        *share *= (1.0 + bet * gain).max(0.0);
    }
    let total = total(capital);
    for (share, (_, part)) in capital.iter_mut().zip(BETS) {
        *share = (1.0 - REDISTRIBUTED) * *share + REDISTRIBUTED * part * total;
    }
}

fn total(capital: &Capital) -> f64 {
    capital.iter().sum()
}

/// The part of a capital that is kept under a cap.
fn kept(capital: &Capital, cap: f64) -> f64 {
    (cap / total(capital)).min(1.0)
}

/// Throws away what is beyond the cap. Claims on the near side of 0 lose the part that the claim of 0 loses, so that their
/// order stays; the others have more and are cut alone.
fn cut<'a>(zero: f64, cap: f64, capitals: impl Iterator<Item = (bool, &'a mut Capital)>) {
    for (is_near, capital) in capitals {
        let kept = if is_near { zero } else { kept(capital, cap) };
        capital.iter_mut().for_each(|share| *share *= kept);
    }
}

/// A confidence sequence by betting.
#[derive(Debug, Clone, PartialEq)]
pub struct Betting {
    lane: Lane,
    cap: f64,
    windows: u64,
    /// The window under way: the sum of its outcomes, and its matches. It is no bet before all its outcomes are known.
    open: (f64, u32),
    /// Against "the mean is at most" and "at least" each of the means.
    at_most: Vec<Capital>,
    at_least: Vec<Capital>,
}

impl Betting {
    /// A capital of 1 at the error rate `alpha`; what it has beyond [`FAMILIES`] / alpha is thrown away.
    pub fn new(alpha: f64) -> Self {
        let start = vec![BETS.map(|(_, part)| part); MEANS];
        let (at_most, at_least) = (start.clone(), start);
        Self { lane: Lane::default(), cap: FAMILIES / alpha, windows: 0, open: (0.0, 0), at_most, at_least }
    }

    /// A match at `at`; whether it counts. If so, [`Betting::settle`] has to follow.
    pub fn reserve(&mut self, at: Instant) -> bool {
        let counts = self.lane.joins(at);
        self.open.1 += u32::from(counts);
        counts
    }

    /// The outcome `x` of a match that counts, in units of the scale known at the match; others may begin at `busy`. A match
    /// that is given up has the outcome 0.
    pub fn settle(&mut self, x: f64, busy: Instant) {
        self.open.0 += x.clamp(-LARGEST, LARGEST);
        if !self.lane.leaves(busy) {
            return;
        }
        let gain = self.open.0 / f64::from(self.open.1.max(1));
        self.open = (0.0, 0);
        self.windows += 1;
        for (position, capital) in self.at_most.iter_mut().enumerate() {
            step(capital, gain - mean_at(position));
        }
        for (position, capital) in self.at_least.iter_mut().enumerate() {
            step(capital, mean_at(position) - gain);
        }
        let cap = self.cap;
        let zero = kept(&self.at_most[ZERO], cap);
        cut(zero, cap, self.at_most.iter_mut().enumerate().map(|(k, capital)| (k >= ZERO, capital)));
        let zero = kept(&self.at_least[ZERO], cap);
        cut(zero, cap, self.at_least.iter_mut().enumerate().map(|(k, capital)| (k <= ZERO, capital)));
    }

    /// Windows that count.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// The evidence against "the mean is 0 or less": what a capital of 1 has become. Its expectation is at most 1 if that
    /// is true, and it ever reaches 1 / alpha with probability at most alpha.
    pub fn evidence(&self) -> f64 {
        total(&self.at_most[ZERO]).min(self.cap)
    }

    /// The lower bound at `alpha`, in scales, a multiple of a twentieth, rounded down; minus infinity when there is none. It is 0 or more exactly when [`Betting::evidence`] has reached 1 / `alpha`.
    pub fn lower(&self, alpha: f64) -> f64 {
        // What rules out "at most m" rules out "at most" everything below.
        let highest = self.at_most.iter().rposition(|capital| total(capital) >= 1.0 / alpha);
        highest.map_or(f64::NEG_INFINITY, mean_at)
    }

    /// The upper bound at `alpha`, likewise.
    pub fn upper(&self, alpha: f64) -> f64 {
        let lowest = self.at_least.iter().position(|capital| total(capital) >= 1.0 / alpha);
        lowest.map_or(f64::INFINITY, mean_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(millis: f64) -> Instant {
        Instant::new("at", millis).unwrap()
    }

    /// One outcome after the other.
    fn fed(outcomes: impl IntoIterator<Item = f64>) -> Betting {
        let mut betting = Betting::new(0.05);
        for (k, x) in outcomes.into_iter().enumerate() {
            add(&mut betting, k as f64, k as f64 + 0.5, x);
        }
        betting
    }

    fn add(betting: &mut Betting, at: f64, end: f64, x: f64) {
        if betting.reserve(instant(at)) {
            betting.settle(x, instant(end));
        }
    }

    struct Random(u64);

    impl Random {
        /// 0 to 1.
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn a_capital_is_the_product_of_its_bets() {
        // By hand: after one window of +2 scales each share grows by 1 + 2 k; the mean bet is 0.08775.
        let one = fed([2.0]);
        assert!((one.evidence() - (1.0 + 2.0 * 0.08775)).abs() < 1e-12);
        // Redistribution leaves the total as it is: of two windows only the second step differs, by what moved.
        let two = fed([2.0, 0.0]);
        assert!((two.evidence() - one.evidence()).abs() < 1e-12);
    }

    /// The expectation of the capital, computed over all paths of a fair coin, is exactly 1.
    #[test]
    fn nobody_expects_to_win_against_a_fair_game() {
        let steps = 10;
        let total: f64 = (0..1_u32 << steps)
            .map(|path| fed((0..steps).map(|k| if path >> k & 1 == 1 { 1.0 } else { -1.0 })).evidence())
            .sum();
        assert!((total / f64::from(1_u32 << steps) - 1.0).abs() < 1e-9);
    }

    /// A skewed fair game: rare large gains, and the mirror image. Looked at after every outcome.
    #[test]
    fn the_bound_is_wrong_in_no_more_worlds_than_it_says() {
        for (gain, loss) in [(1.0, 1.0), (3.0, 1.0 / 3.0), (1.0 / 3.0, 3.0)] {
            let worlds = 80;
            let mut wrong = 0;
            for seed in 0..worlds {
                let mut random = Random(seed * 2 + 1);
                let mut betting = Betting::new(0.05);
                let ever = (0..200).any(|k| {
                    let x = if random.uniform() < loss / (gain + loss) { gain } else { -loss };
                    add(&mut betting, f64::from(k), f64::from(k) + 0.5, x);
                    betting.evidence() >= 10.0
                });
                wrong += u32::from(ever);
            }
            // 8 at alpha = 0.1, if the inequality were tight; three deviations are 8 more.
            assert!(wrong <= 16, "{wrong} of {worlds}");
        }
    }

    #[test]
    fn an_edge_is_found() {
        let mut random = Random(5);
        let betting = fed((0..1500).map(|_| if random.uniform() < 0.6 { 1.0 } else { -1.0 }));
        let (lower, upper) = (betting.lower(0.05), betting.upper(0.05));
        assert!((0.0..=0.2).contains(&lower) && (0.2..0.4).contains(&upper), "{lower} {upper}");
    }

    #[test]
    fn bounds_nest_and_agree_with_the_evidence() {
        let mut random = Random(9);
        let mut betting = Betting::new(0.05);
        for k in 0..600 {
            let edge = if k < 300 { 0.65 } else { 0.4 };
            let x = if random.uniform() < edge { 1.0 } else { -1.0 };
            add(&mut betting, f64::from(k), f64::from(k) + 0.5, x);
            let levels = [0.2, 0.1, 0.05, 0.01, 0.001];
            for pair in levels.windows(2) {
                assert!(betting.lower(pair[1]) <= betting.lower(pair[0]));
                assert!(betting.upper(pair[1]) >= betting.upper(pair[0]));
            }
            for alpha in levels {
                assert_eq!(betting.lower(alpha) >= 0.0, betting.evidence() >= 1.0 / alpha);
            }
        }
    }

    #[test]
    fn evidence_fades_when_the_edge_is_gone() {
        let mut betting = fed((0..1000).map(|_| 1.0));
        assert!(betting.evidence() <= 20_000.0);
        let lost = (1000..1200).take_while(|&k| {
            add(&mut betting, f64::from(k), f64::from(k) + 0.5, -1.0);
            betting.evidence() >= 20.0
        });
        assert!(lost.count() < 100);
    }

    #[test]
    fn nothing_overflows() {
        for x in [f64::MAX, f64::INFINITY, f64::MIN] {
            let betting = fed([x, -1.0, x, 1.0, -x, x]);
            let numbers = [betting.evidence(), betting.lower(0.05), betting.upper(0.05)];
            assert!(
                (0.0..=20_000.0).contains(&numbers[0]) && numbers.iter().all(|x| !x.is_nan()),
                "{numbers:?}"
            );
        }
    }

    #[test]
    fn overlapping_windows_count_once_and_concurrent_ones_as_their_mean() {
        let mut betting = Betting::new(0.05);
        assert!(betting.reserve(instant(0.0)) && betting.reserve(instant(0.0)));
        betting.settle(1.0, instant(5.0));
        // Nothing is read in the middle of a window, and nothing begins while one match of it is under way.
        assert_eq!((betting.evidence(), betting.reserve(instant(5.0))), (1.0, false));
        betting.settle(3.0, instant(6.0));
        assert!(!betting.reserve(instant(5.9)) && betting.reserve(instant(6.0)));
        betting.settle(-1.0, instant(10.0));
        assert_eq!(betting.windows(), 2);
        assert_eq!(betting.evidence().to_bits(), fed([2.0, -1.0]).evidence().to_bits());
    }

    /// Capital that the cap takes from low means does not make them harder to rule out than 0 is.
    #[test]
    fn bounds_agree_with_the_evidence_after_large_losses() {
        let mut random = Random(3);
        let mut betting = fed((0..3000).map(|_| if random.uniform() < 0.55 { 1.0 } else { -1.0 }));
        for k in 3000..3006 {
            add(&mut betting, f64::from(k), f64::from(k) + 0.5, -9.0);
            for alpha in [0.5, 0.05, 0.001] {
                assert_eq!(betting.lower(alpha) >= 0.0, betting.evidence() >= 1.0 / alpha);
            }
        }
    }
}
