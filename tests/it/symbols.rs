//! LCS, Levenshtein and LCSS against the textbook programs, on every level, and laws that hold for any input.

use midstreamer::kernels::simd::Level;
use midstreamer::kernels::{Interrupt, KernelError, lcs, lcss, levenshtein, oracle};
use midstreamer::search::{Job, LcsRatio, lcs_matrix};
use midstreamer::series::Series;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ALPHABETS: [u32; 8] = [1, 2, 3, 4, 6, 50, 300, 5000];

/// Symbols over one of the alphabets: small numbers, numbers around zero, or any bits at all.
fn symbols(alphabet: u32, spread: u32, longest: usize) -> impl Strategy<Value = Vec<u32>> {
    let symbol = (0..alphabet).prop_map(move |x| match spread {
        0 => x,
        1 => x.wrapping_sub(alphabet / 2),
        _ => x.wrapping_mul(0x9e37_79b9),
    });
    prop::collection::vec(symbol, 0..=longest)
}

fn pair(longest: usize) -> impl Strategy<Value = (Vec<u32>, Vec<u32>)> {
    (prop::sample::select(&ALPHABETS[..]), 0..3_u32)
        .prop_flat_map(move |(s, spread)| (symbols(s, spread, longest), symbols(s, spread, longest)))
}

/// A sequence and the same after some edits: what real inputs look like.
fn edited(longest: usize) -> impl Strategy<Value = (Vec<u32>, Vec<u32>)> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u32, 0..50_u32), 0..20);
    (prop::sample::select(&ALPHABETS[..]), edits)
        .prop_flat_map(move |(s, edits)| (symbols(s, 0, longest), Just(edits)))
        .prop_map(|(a, edits)| {
            let mut b = a.clone();
            for (at, what, symbol) in edits {
                let at = at.index(b.len() + 1);
                match what {
                    0 => b.insert(at, symbol),
                    1 if at < b.len() => b[at] = symbol,
                    _ if at < b.len() => drop(b.remove(at)),
                    _ => b.push(symbol),
                }
            }
            (a, b)
        })
}

fn check(a: &[u32], b: &[u32]) {
    let length = oracle::lcs_length(a, b);
    let distance = oracle::levenshtein(a, b);
    let mut first: Option<Vec<(u32, u32)>> = None;
    for level in Level::available() {
        let name = level.name();
        assert_eq!(lcs::length(level, a, b, Interrupt::NEVER), Ok(length), "{name}: lcs of {a:?} and {b:?}");
        assert_eq!(
            levenshtein::distance(level, a, b, Interrupt::NEVER),
            Ok(distance),
            "{name}: levenshtein of {a:?} and {b:?}"
        );
        let pairs = lcs::align(level, a, b, Interrupt::NEVER).unwrap();
        assert_eq!(pairs.len(), length, "{name}: alignment of {a:?} and {b:?}");
        assert!(pairs.iter().all(|&(i, j)| a[i as usize] == b[j as usize]), "{name}: {pairs:?}");
        assert!(pairs.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{name}: {pairs:?}");
        let first = first.get_or_insert_with(|| pairs.clone());
        assert_eq!(*first, pairs, "{name} finds another subsequence");
    }
}

fn check_lcss(a: &[f64], b: &[f64], epsilon: f64, window: Option<usize>) {
    let (x, y) = (Series::new("a", a, 1).unwrap(), Series::new("b", b, 1).unwrap());
    let want = oracle::lcss_length(x, y, epsilon, window);
    for level in Level::available() {
        let got = lcss::length(level, x, y, epsilon, window, Interrupt::NEVER);
        assert_eq!(got, Ok(want), "{}: {a:?} {b:?} epsilon {epsilon} window {window:?}", level.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_pairs((a, b) in pair(300)) {
        check(&a, &b);
    }

    #[test]
    fn edited_pairs((a, b) in edited(300)) {
        check(&a, &b);
    }

    #[test]
    fn laws((a, b) in pair(700)) {
        let level = Level::best();
        let lcs = |a: &[u32], b: &[u32]| lcs::length(level, a, b, Interrupt::NEVER).unwrap();
        let edit = |a: &[u32], b: &[u32]| levenshtein::distance(level, a, b, Interrupt::NEVER).unwrap();
        let (length, distance) = (lcs(&a, &b), edit(&a, &b));
        prop_assert_eq!(length, lcs(&b, &a));
        prop_assert_eq!(distance, edit(&b, &a));
        prop_assert_eq!(lcs(&a, &a), a.len());
        prop_assert_eq!(edit(&a, &a), 0);
        // Without substitutions the distance is n + m - 2 lcs; each substitution saves at most one step.
        let indel = a.len() + b.len() - 2 * length;
        prop_assert!(distance <= indel && indel <= 2 * distance);
        prop_assert!(distance >= a.len().abs_diff(b.len()));
        prop_assert!(distance + length >= a.len().max(b.len()));
        let reversed = |x: &[u32]| x.iter().rev().copied().collect::<Vec<_>>();
        prop_assert_eq!(lcs(&reversed(&a), &reversed(&b)), length);
        prop_assert_eq!(edit(&reversed(&a), &reversed(&b)), distance);
        // One symbol more gains at most one match.
        if let Some((_, shorter)) = a.split_last() {
            let less = lcs(shorter, &b);
            prop_assert!(less <= length && length <= less + 1);
            prop_assert!(edit(shorter, &b).abs_diff(distance) <= 1);
        }
        // Names of symbols do not matter.
        let renamed = |x: &[u32]| x.iter().map(|y| y.wrapping_mul(0x0101_0101).wrapping_add(77)).collect::<Vec<_>>();
        prop_assert_eq!(lcs(&renamed(&a), &renamed(&b)), length);
    }

    #[test]
    fn real_values(
        a in prop::collection::vec(-20..20_i32, 1..300),
        b in prop::collection::vec(-20..20_i32, 1..300),
        step in prop::sample::select(&[1.0, 0.1, 1e-300, 1e307][..]),
        epsilon in 0..12_u32,
        window in prop::option::of(0..320_usize),
    ) {
        // Multiples of one step, so that differences fall on the tolerance and beside it.
        let scale = |x: &[i32]| x.iter().map(|&x| f64::from(x) / 2.0 * step).collect::<Vec<_>>();
        check_lcss(&scale(&a), &scale(&b), f64::from(epsilon) / 4.0 * step, window);
    }

    #[test]
    fn wider_tolerance_and_window_match_more(
        a in prop::collection::vec(-1.0..1.0_f64, 1..600),
        b in prop::collection::vec(-1.0..1.0_f64, 1..600),
        epsilon in 0.0..0.5_f64,
        window in 0..590_usize,
    ) {
        let (x, y) = (Series::new("a", &a, 1).unwrap(), Series::new("b", &b, 1).unwrap());
        let length = |epsilon, window| {
            lcss::length(Level::best(), x, y, epsilon, window, Interrupt::NEVER).unwrap()
        };
        check_lcss(&a, &b, epsilon, Some(window));
        let base = length(epsilon, Some(window));
        prop_assert!(base <= length(epsilon * 1.5, Some(window)));
        prop_assert!(base <= length(epsilon, Some(window + 7)));
        prop_assert!(base <= length(epsilon, None));
        prop_assert_eq!(base, lcss::length(Level::best(), y, x, epsilon, Some(window), Interrupt::NEVER).unwrap());
        prop_assert_eq!(length(3.0, None), a.len().min(b.len()));
    }

    #[test]
    fn matrix_is_every_pair(
        (alphabet, sequences) in prop::sample::select(&ALPHABETS[..])
            .prop_flat_map(|s| (Just(s), prop::collection::vec(symbols(s, 1, 700), 0..14))),
    ) {
        let n = sequences.len();
        let raw = lcs_matrix(&sequences, LcsRatio::None, &Job::new()).unwrap();
        let job = Job::new();
        let dice = lcs_matrix(&sequences, LcsRatio::Dice, &job).unwrap();
        prop_assert_eq!(job.done() as usize, n * n.saturating_sub(1) / 2);
        for (i, a) in sequences.iter().enumerate() {
            for (j, b) in sequences.iter().enumerate() {
                let length = lcs::length(Level::best(), a, b, Interrupt::NEVER).unwrap();
                prop_assert_eq!(raw[i * n + j], length as f64, "({}, {}) of {} symbols", i, j, alphabet);
                let whole = a.len() + b.len();
                let want = if whole == 0 { 1.0 } else { 2.0 * length as f64 / whole as f64 };
                prop_assert_eq!(dice[i * n + j], want);
            }
        }
    }
}

#[test]
fn lengths_around_word_and_strip_ends() {
    let lengths = [
        0, 1, 2, 62, 63, 64, 65, 126, 127, 128, 129, 251, 252, 253, 256, 257, 503, 504, 505, 512, 1007, 1009,
    ];
    let sequence = |n: usize, seed: usize, s: usize| {
        (0..n).map(|i| ((i * 7919 + seed * 104_729 + (i * i) / 3) % s) as u32).collect::<Vec<_>>()
    };
    for (index, &n) in lengths.iter().enumerate() {
        for &m in &lengths[index..] {
            for s in [2, 7, 400] {
                check(&sequence(n, 1, s), &sequence(m, 2, s));
            }
        }
    }
}

#[test]
fn structured_pairs() {
    for n in [1, 5, 64, 300, 1500, 2100] {
        let up: Vec<u32> = (0..n).collect();
        let down: Vec<u32> = (0..n).rev().collect();
        let other: Vec<u32> = (n..2 * n).collect();
        let waves: Vec<u32> = (0..n).map(|i| i % 5).collect();
        let late: Vec<u32> = (0..n).map(|i| (i + 2) % 5).collect();
        for (a, b) in
            [(&up, &up), (&up, &down), (&up, &other), (&waves, &waves), (&waves, &late), (&up, &waves)]
        {
            check(a, b);
            check(a, &[]);
            check(&[], b);
        }
    }
}

#[test]
fn long_pairs_agree_across_levels() {
    // Beyond one block of steps and one strip in both directions; the oracle would need the whole table.
    let sequence = |n: u32, s: u32| {
        let mut state = n;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) % s
            })
            .collect::<Vec<_>>()
    };
    for s in [4, 90, 700] {
        let (a, b) = (sequence(5000, s), sequence(7001, s));
        let want = {
            let mut row = vec![0_u32; b.len() + 1];
            for x in &a {
                let mut diagonal = 0;
                for (j, y) in b.iter().enumerate() {
                    let up = row[j + 1];
                    row[j + 1] = if x == y { diagonal + 1 } else { up.max(row[j]) };
                    diagonal = up;
                }
            }
            row[b.len()] as usize
        };
        let alignments: Vec<_> = Level::available()
            .into_iter()
            .map(|l| lcs::align(l, &a, &b, Interrupt::NEVER).unwrap())
            .collect();
        for (level, pairs) in Level::available().into_iter().zip(&alignments) {
            assert_eq!(lcs::length(level, &a, &b, Interrupt::NEVER), Ok(want));
            assert_eq!(pairs.len(), want);
            assert!(pairs.iter().all(|&(i, j)| a[i as usize] == b[j as usize]));
            assert!(pairs.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1));
            assert_eq!(*pairs, alignments[0]);
        }
    }
}

#[test]
fn both_empty_is_equal() {
    let sequences = vec![vec![], vec![], vec![3]];
    let ratios = |ratio| lcs_matrix(&sequences, ratio, &Job::new()).unwrap();
    let expected = vec![1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    assert_eq!(ratios(LcsRatio::Max), expected);
    assert_eq!(ratios(LcsRatio::Dice), expected);
    assert_eq!(ratios(LcsRatio::Min), expected);
    assert_eq!(ratios(LcsRatio::None), vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn odd_tolerances() {
    let (a, b) = ([1.0, 2.0, f64::MAX], [2.0, -f64::MAX]);
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX] {
        check_lcss(&a, &b, epsilon, None);
        check_lcss(&a, &b, epsilon, Some(0));
        check_lcss(&a, &b, epsilon, Some(usize::MAX));
    }
}

#[test]
fn a_raised_flag_ends_the_work() {
    let flag = AtomicBool::new(true);
    let stop = Interrupt::when(&flag);
    let (a, b): (Vec<u32>, Vec<u32>) =
        ((0..3000).map(|i| i % 7).collect(), (0..3000).map(|i| i % 5).collect());
    let (x, y): (Vec<f64>, Vec<f64>) = (a.iter().map(|&x| f64::from(x)).collect(), vec![1.0; 3000]);
    let (x, y) = (Series::new("a", &x, 1).unwrap(), Series::new("b", &y, 1).unwrap());
    for level in Level::available() {
        assert_eq!(lcs::length(level, &a, &b, stop), Err(KernelError::Interrupted));
        assert_eq!(lcs::align(level, &a, &b, stop), Err(KernelError::Interrupted));
        assert_eq!(levenshtein::distance(level, &a, &b, stop), Err(KernelError::Interrupted));
        assert_eq!(lcss::length(level, x, y, 0.5, None, stop), Err(KernelError::Interrupted));
    }
    let job = Job::new();
    job.cancel();
    assert_eq!(lcs_matrix(&[a, b], LcsRatio::Max, &job), Err(KernelError::Interrupted));
}

/// `n` symbols below 4 with no order in them.
fn noise(n: usize, seed: u32) -> Vec<u32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 30
        })
        .collect()
}

/// Raises the flag while `kernel` is at work on something long.
fn stops_midway<T: PartialEq + std::fmt::Debug>(
    kernel: impl Fn(Level, Interrupt<'_>) -> Result<T, KernelError>,
) {
    for level in Level::available() {
        let flag = AtomicBool::new(false);
        let began = Instant::now();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                flag.store(true, Ordering::Relaxed);
            });
            kernel(level, Interrupt::when(&flag))
        });
        assert_eq!(result, Err(KernelError::Interrupted), "{}", level.name());
        assert!(began.elapsed() < Duration::from_secs(20), "{}: {:?}", level.name(), began.elapsed());
    }
}

#[test]
fn lcs_length_stops_midway() {
    let (a, b) = (noise(4_000_000, 1), noise(4_000_000, 2));
    stops_midway(|level, stop| lcs::length(level, &a, &b, stop));
}

#[test]
fn lcs_align_stops_midway() {
    // As large as it may be: some seconds at the widest level, half a minute and more at the others.
    let (a, b) = (noise(830_000, 1), noise(830_000, 2));
    stops_midway(|level, stop| lcs::align(level, &a, &b, stop));
}

#[test]
fn levenshtein_stops_midway() {
    let (a, b) = (noise(2_000_000, 1), noise(2_000_000, 2));
    stops_midway(|level, stop| levenshtein::distance(level, &a, &b, stop));
}

#[test]
fn lcss_stops_midway() {
    let reals = |seed| noise(1_500_000, seed).into_iter().map(f64::from).collect::<Vec<_>>();
    let (a, b) = (reals(1), reals(2));
    let (a, b) = (Series::new("a", &a, 1).unwrap(), Series::new("b", &b, 1).unwrap());
    stops_midway(|level, stop| lcss::length(level, a, b, 0.5, None, stop));
    stops_midway(|level, stop| lcss::length(level, a, b, 0.5, Some(700_000), stop));
}

#[test]
fn lcss_in_a_narrow_window_is_linear() {
    let n = 1_000_000;
    let a: Vec<f64> = noise(n, 1).into_iter().map(f64::from).collect();
    let series = |values| Series::new("x", values, 1).unwrap();
    for level in Level::available() {
        let length = |rows, shift| {
            let (a, b) = (series(&a[..rows]), series(&a[shift..rows]));
            lcss::length(level, a, b, 0.25, Some(10), Interrupt::NEVER).unwrap()
        };
        // Shifted by less than the window, everything matches; by more, not everything.
        assert_eq!(length(n, 3), n - 3);
        let beyond = length(n, 11);
        assert!(n / 2 < beyond && beyond < n - 11, "{}: {beyond}", level.name());
        // A pass over all rows for each strip would take 16 times as long for 4 times the rows. A machine that is slow is so
        // for both; one that was busy with something else meanwhile is asked again.
        let time = |rows| {
            let began = Instant::now();
            length(rows, 3);
            began.elapsed()
        };
        assert!((0..5).any(|_| time(n) < 9 * time(n / 4)), "{}", level.name());
    }
}

#[test]
#[should_panic(expected = "both series have one channel")]
fn lcss_of_two_channels_is_refused() {
    let values = [1.0, 2.0, 3.0, 4.0];
    let (a, b) = (Series::new("a", &values, 2).unwrap(), Series::new("b", &values, 1).unwrap());
    let _ = lcss::length(Level::best(), a, b, 0.5, None, Interrupt::NEVER);
}

#[test]
fn an_alignment_beyond_the_limit_is_refused() {
    // What both begin and end with does not count.
    let n = 840_000;
    let (mut a, mut b) = (vec![1; n], vec![2; n]);
    let refused = lcs::align(Level::best(), &a, &b, Interrupt::NEVER);
    let cells = n as u128 * n as u128;
    assert_eq!(refused, Err(KernelError::TooLarge { cells, limit: lcs::MAX_ALIGN_CELLS }));
    a[10..n - 10].fill(2);
    b[..10].fill(1);
    b[n - 10..].fill(1);
    assert_eq!(lcs::align(Level::best(), &a, &b, Interrupt::NEVER).map(|pairs| pairs.len()), Ok(n));
}

#[test]
fn a_matrix_beyond_the_limit_is_refused() {
    let sequences = vec![vec![]; 11_586];
    let refused = lcs_matrix(&sequences, LcsRatio::Max, &Job::new());
    assert_eq!(refused, Err(KernelError::TooLarge { cells: 11_586 * 11_586, limit: 1 << 27 }));
}
