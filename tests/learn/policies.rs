//! What the policies earn, and how often they are wrong. The report with more seeds is `cargo bench --bench learn`.

use crate::worlds::{Game, Rule, Tally, World, coverage, exits, learned, play, trade, walk};
use midstreamer::learn::Config;
use std::thread;

const MATCHES: u32 = 6000;

/// One run for each seed, on as many threads as there are processors.
fn each<T: Send>(seeds: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let run = &run;
    let share = |thread: u64| (thread..seeds).step_by(threads as usize).map(|seed| run(seed + 1)).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|k| scope.spawn(move || -> Vec<T> { share(k) })).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn gain<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> f64 {
    tallies.into_iter().map(|tally| tally.gain).sum()
}

/// The shares of the oracle that utility and evidence earn in a world, where they beat the rules that do not learn.
fn shares(world: World) -> [f64; 2] {
    const SEEDS: u64 = 16;
    let of = |rule: Rule| gain(&each(SEEDS, |seed| trade(world, rule, seed, MATCHES)));
    let both = each(SEEDS, |seed| learned(world, Config::default(), seed, MATCHES));
    let [utility, evidence] = [0, 1].map(|policy| gain(both.iter().map(|tallies| &tallies[policy])));
    assert!(evidence > of(Rule::Fixed) && evidence > of(Rule::Upstream));
    let oracle = of(Rule::Oracle);
    [utility / oracle, evidence / oracle]
}

#[test]
fn where_similar_is_better_most_is_earned() {
    let [utility, evidence] = shares(World::Slope);
    assert!(utility >= 0.8 && evidence >= 0.57, "{utility} {evidence}");
}

#[test]
fn where_near_duplicates_lose_nothing_is_lost() {
    let [utility, evidence] = shares(World::Peak);
    assert!(utility >= 0.6 && evidence > 0.0, "{utility} {evidence}");
}

/// The share of signals, in all and as the share of worlds that ever had one.
fn signals(worlds: &[(u64, u64)]) -> (f64, f64) {
    let (signals, matches) = worlds.iter().fold((0, 0), |sum, world| (sum.0 + world.0, sum.1 + world.1));
    let ever = worlds.iter().filter(|world| world.0 > 0).count();
    (signals as f64 / matches as f64, ever as f64 / worlds.len() as f64)
}

/// Looked at after each of 200 outcomes, 200 times. That a world ever has a signal is bounded as well; three standard
/// deviations of 200 draws are added.
#[test]
fn without_an_edge_there_are_no_more_signals_than_alpha() {
    for alpha in [0.05, 0.3] {
        let config = Config { alpha, ..Config::default() };
        let even = each(200, |seed| {
            let tally = learned(World::Even, config, seed, 200)[1];
            (u64::from(tally.trades), u64::from(tally.matches))
        });
        let (share, ever) = signals(&even);
        assert!(
            share <= alpha && ever <= alpha + 3.0 * (alpha * (1.0 - alpha) / 200.0).sqrt(),
            "{share} {ever}"
        );
        assert!(alpha < 0.3 || share > 0.0, "a test that cannot fail");
    }
}

/// Fair games that are far from normal. All but the one whose losses are beyond the floor, of which nothing is promised.
#[test]
fn no_fair_game_looks_like_an_edge() {
    let (alpha, seeds) = (0.1, 60);
    for game in Game::ALL.into_iter().filter(|game| *game != Game::Crashes) {
        let config = Config { alpha, ..Config::default() };
        let (share, ever) = signals(&each(seeds, |seed| play(game, config, seed, 200)));
        let deviation = (alpha * (1.0 - alpha) / seeds as f64).sqrt();
        assert!(share <= alpha && ever <= alpha + 3.0 * deviation, "{game:?}: {share} {ever}");
    }
}

/// The share of worlds that may ever have a signal: three deviations of so many draws are added.
fn at_most(alpha: f64, seeds: u64) -> f64 {
    alpha + 3.0 * (alpha * (1.0 - alpha) / seeds as f64).sqrt()
}

#[test]
fn random_walks_with_overlapping_windows_have_no_edge() {
    let worlds = each(24, |seed| walk(Config::default(), seed, 3, 5, 200));
    let (share, ever) = signals(&worlds);
    assert!(share <= 0.05 && ever <= at_most(0.05, 24), "{share} {ever}");
    // One family, for which the least is asked, and enough windows to reach it.
    let (alpha, seeds) = (0.2, 60);
    let worlds = each(seeds, |seed| walk(Config { alpha, ..Config::default() }, seed, 1, 5, 800));
    let (share, ever) = signals(&worlds);
    assert!(share <= alpha && ever <= at_most(alpha, seeds), "{share} {ever}");
}

/// Winners are sold soon and losers late: whoever counted the windows that end first would see an edge in every world.
#[test]
fn exits_by_targets_and_stops_are_no_edge() {
    for exit in [(10, 30), (5, 20)] {
        let (alpha, seeds) = (0.05, 24);
        let worlds = each(seeds, |seed| exits(Config { alpha, ..Config::default() }, seed, 20_000, exit));
        let (share, ever) = signals(&worlds);
        assert!(share <= alpha && ever <= at_most(alpha, seeds), "{exit:?}: {share} {ever}");
    }
}

#[test]
fn intervals_cover_what_they_promise_under_drift() {
    let covered = coverage(1, 10_000);
    assert!((0.88..=0.92).contains(&covered), "{covered}");
}
