//! The swarm's state machines in a simulated world: a seed makes the number of agents, the network, the store, and
//! what breaks when. Processes are killed, stopped and continued with all that has piled up, replaced by others of the
//! same name; connections are cut, stalled, out of step; commits fail; clocks jump. After each seed's faults have
//! stopped, every task that was accepted has exactly one outcome, and nothing that was seen on the way contradicts it.
//!
//! `MIDSTREAMER_SIMULATION_SEEDS=100000 MIDSTREAMER_SIMULATION_STEPS=500 MIDSTREAMER_SIMULATION_FIRST=7` runs others;
//! a failure names its seed, and `..._FIRST=seed ..._SEEDS=1` repeats it.

mod coordinator;
mod frames;
mod model_store;
mod process;
mod trouble;
mod witness;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use world::World;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
        Err(_) => default,
    }
}

/// What a run saw, to know that it saw something.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    accepted: u64,
    starts: u64,
    outcomes: u64,
}

fn run(seed: u64, steps: u64) -> Seen {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, steps);
        world.run();
        Seen {
            events: world.handled,
            accepted: world.witness.accepted.len() as u64,
            starts: world.witness.starts,
            outcomes: world.witness.delivered() as u64,
        }
    }));
    outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        panic!("seed {seed} with {steps} steps: {message}")
    })
}

fn run_many(first: u64, seeds: u64, steps: u64) -> Seen {
    let mut all = Seen::default();
    for seed in first..first + seeds {
        let seen = run(seed, steps);
        all.events += seen.events;
        all.accepted += seen.accepted;
        all.starts += seen.starts;
        all.outcomes += seen.outcomes;
    }
    all
}

#[test]
fn every_accepted_task_ends_in_exactly_one_outcome() {
    let seeds = setting("MIDSTREAMER_SIMULATION_SEEDS", 2_000);
    let steps = setting("MIDSTREAMER_SIMULATION_STEPS", 60);
    let first = setting("MIDSTREAMER_SIMULATION_FIRST", 1);
    // Two halves at once: most machines have more than one core.
    let half = seeds / 2;
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run_many(first, half, steps));
        let own = run_many(first + half, seeds - half, steps);
        (other.join().unwrap_or_else(|panic| resume_unwind(panic)), own)
    });
    println!("{a:?} {b:?}");
    assert!(a.outcomes + b.outcomes > seeds, "hardly anything happened: {a:?} {b:?}");
}

#[test]
fn a_seed_is_the_same_world_each_time() {
    let [a, b] = [run(7, 200), run(7, 200)];
    assert_eq!((a.events, a.accepted, a.starts, a.outcomes), (b.events, b.accepted, b.starts, b.outcomes));
}
