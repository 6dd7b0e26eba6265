//! What the policies earn in worlds of which the truth is known, what they do where there is nothing to earn, and what a
//! decision costs. Prints tables; `cargo bench --bench learn -- <seeds>` for other than 64 seeds.

#![allow(clippy::print_stdout, reason = "a report")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed run, with its place")]

#[path = "../tests/learn/worlds.rs"]
mod worlds;

use midstreamer::learn::{Config, Policy};
use std::time::Instant;
use worlds::{Game, Rule, Tally, World, coverage, exits, learned, play, trade, walk};

const MATCHES: u32 = 6000;

/// Of the worlds without an edge.
const NULL_SEEDS: u64 = 200;

fn main() {
    // Cargo passes options of its own.
    let seeds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(64);
    println!("{seeds} seeds, {MATCHES} matches each; gains in wins");
    [World::Slope, World::Peak].into_iter().for_each(|world| earned(world, seeds));
    println!("\nWithout an edge, {NULL_SEEDS} seeds, looked at after every outcome");
    for policy in [Policy::Utility, Policy::Evidence] {
        let one = |seed| learned(World::Even, Config::default(), seed + 1, MATCHES)[policy_index(policy)];
        let each: Vec<(u64, u64)> = (0..NULL_SEEDS)
            .map(one)
            .map(|tally| (u64::from(tally.trades), u64::from(tally.matches)))
            .collect();
        signals(policy, "even odds", &each);
        let config = Config { policy, ..Config::default() };
        let each: Vec<(u64, u64)> = (0..NULL_SEEDS).map(|seed| walk(config, seed + 1, 4, 5, 1500)).collect();
        signals(policy, "four families on random walks, windows that overlap", &each);
    }
    let each: Vec<(u64, u64)> =
        (0..NULL_SEEDS).map(|seed| exits(Config::default(), seed + 1, 20_000, (10, 30))).collect();
    signals(Policy::Evidence, "a walk, sold 10 ticks up or 30 down", &each);
    for game in Game::ALL {
        let each: Vec<(u64, u64)> =
            (0..NULL_SEEDS).map(|seed| play(game, Config::default(), seed + 1, MATCHES / 2)).collect();
        signals(Policy::Evidence, &format!("{game:?}"), &each);
    }
    let covered: Vec<f64> = (0..16).map(|seed| coverage(seed + 1, 10_000)).collect();
    let (low, high) = covered.iter().fold((1.0_f64, 0.0_f64), |(low, high), &c| (low.min(c), high.max(c)));
    println!("\nCoverage of 90 % intervals under drift, 10,000 outcomes, 16 seeds: {low:.4} to {high:.4}");
    let begin = Instant::now();
    learned(World::Slope, Config::default(), 1, 20_000);
    println!("assess + record + resolve: {:.1} us", begin.elapsed().as_secs_f64() / 20_000.0 * 1e6);
}

fn policy_index(policy: Policy) -> usize {
    usize::from(policy == Policy::Evidence)
}

fn earned(world: World, seeds: u64) {
    println!("\n{world:?}\n{:12} {:>8} {:>8} {:>8} {:>8}", "rule", "gain", "worst", "trades", "share");
    let simple = |rule| (1..=seeds).map(|seed| trade(world, rule, seed, MATCHES)).collect();
    let both: Vec<[Tally; 2]> =
        (1..=seeds).map(|seed| learned(world, Config::default(), seed, MATCHES)).collect();
    let of = |index: usize| both.iter().map(|tallies| tallies[index]).collect();
    let rules: [(&str, Vec<Tally>); 5] = [
        ("oracle", simple(Rule::Oracle)),
        ("fixed 0.75", simple(Rule::Fixed)),
        ("upstream", simple(Rule::Upstream)),
        ("utility", of(0)),
        ("evidence", of(1)),
    ];
    let mean = |tallies: &[Tally]| tallies.iter().map(|tally| tally.gain).sum::<f64>() / seeds as f64;
    let oracle = mean(&rules[0].1);
    for (name, tallies) in &rules {
        let gain = mean(tallies);
        let trades = tallies.iter().map(|tally| f64::from(tally.trades)).sum::<f64>() / seeds as f64;
        let worst = tallies.iter().map(|tally| tally.gain).fold(f64::INFINITY, f64::min);
        println!("{name:12} {gain:8.1} {worst:8.1} {trades:8.0} {:7.1}%", 100.0 * gain / oracle);
    }
}

fn signals(policy: Policy, world: &str, each: &[(u64, u64)]) {
    let (signals, matches) = each.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let ever = each.iter().filter(|one| one.0 > 0).count();
    let share = 100.0 * signals as f64 / matches as f64;
    println!("{policy:?}, {world}: signals in {share:.2} % of matches, ever in {ever} of {NULL_SEEDS}");
}
