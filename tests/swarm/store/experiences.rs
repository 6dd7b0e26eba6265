//! The file of a learner's events: appended batches are there whole or not at all, in their order.

use super::disk::{Disk, Fault};
use midstreamer::learn::{Event, Experience, ExperienceId, Resolution};
use midstreamer::store::{ExperienceFile, StoreError};
use std::sync::Arc;

type Log = Vec<(ExperienceId, Event)>;

/// Events of two nodes in turns, the same for the same `first`: matches, and now and then an outcome.
fn batch(logs: &mut [u64; 2], size: usize) -> Log {
    let mut events = Log::new();
    for turn in 0..size {
        let node = turn % 2;
        logs[node] += 1;
        let place = ExperienceId { node: node as u128 + 1, seq: logs[node] };
        let at = place.seq as f64 * 10.0;
        let event = if place.seq.is_multiple_of(3) {
            let id = ExperienceId { seq: place.seq - 1, ..place };
            Event::Resolution(Resolution { id, actual: 0.01 * node as f64, at })
        } else {
            Event::Experience(Arc::new(Experience {
                id: place,
                family: ["flag", "wedge"][node].into(),
                similarity: 0.9,
                confidence: 0.6,
                predicted: 0.01,
                at,
                horizon_ends_at: Some(at + 5.0),
                taken: turn.is_multiple_of(3),
                volatility: None,
                context: "{}".into(),
                values: (0..turn % 40).map(|k| k as f64).collect(),
            }))
        };
        events.push((place, event));
    }
    events
}

/// As a file tells them.
fn sorted(mut log: Log) -> Log {
    log.sort_by_key(|(place, _)| *place);
    log
}

/// What may be on a disk after a life that ended somewhere: what was acknowledged last, and what was tried after it.
struct Told {
    allowed: Vec<Log>,
}

fn live(disk: &Disk) -> Told {
    let mut told = Told { allowed: vec![Log::new()] };
    let Ok((mut file, log)) = ExperienceFile::on(disk.place()) else { return told };
    assert_eq!(log, Log::new());
    let (mut all, mut places) = (Log::new(), [0; 2]);
    for _ in 0..5 {
        let events = batch(&mut places, 9);
        all.extend(events.iter().cloned());
        told.allowed.push(sorted(all.clone()));
        if file.append(&events).is_err() {
            assert!(file.has_failed());
            return told;
        }
        told.allowed.drain(..told.allowed.len() - 1);
    }
    told
}

#[test]
fn power_may_go_at_any_operation() {
    let whole = Disk::new();
    live(&whole);
    let operations = whole.operations();
    assert!(operations > 20, "{operations}");
    for at in 0..operations {
        for seed in 0..4 {
            let disk = Disk::new();
            disk.set_fault(Fault::From { at });
            let told = live(&disk);
            disk.lose_power(&mut fastrand::Rng::with_seed(seed * 1_000_000 + at as u64));
            for start in 1..3 {
                let (_, log) = ExperienceFile::on(disk.place())
                    .unwrap_or_else(|error| panic!("operation {at}, seed {seed}, start {start}: {error}"));
                assert!(told.allowed.contains(&log), "operation {at}, seed {seed}, start {start}");
            }
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_the_file_goes_on_when_there_is_room() {
    for at in 0.. {
        let disk = Disk::new();
        let (mut file, _) = ExperienceFile::on(disk.place()).unwrap();
        disk.set_fault(Fault::From { at: disk.operations() + at });
        let (mut all, mut places, mut failures) = (Log::new(), [0; 2], 0);
        for _ in 0..4 {
            let events = batch(&mut places, 9);
            let mut known = sorted(all.clone());
            all.extend(events.iter().cloned());
            let wanted = sorted(all.clone());
            while known != wanted {
                if file.append(&events).is_ok() {
                    known.clone_from(&wanted);
                    break;
                }
                failures += 1;
                // It is told that the disk is full until there is room.
                assert!(matches!(file.reopen(), Err(StoreError::Io { .. }) | Ok(_)) && failures < 100);
                disk.set_fault(Fault::None);
                known = file.reopen().unwrap();
                assert!(!file.has_failed());
            }
        }
        // Which may be what fails.
        drop(file);
        disk.set_fault(Fault::None);
        let (_, log) = ExperienceFile::on(disk.place()).unwrap();
        assert_eq!(log, sorted(all), "operation {at}");
        if failures == 0 {
            assert!(at > 10, "everything was done before operation {at}");
            return;
        }
    }
}

fn used() -> (Vec<u8>, Log) {
    let disk = Disk::new();
    let (mut file, _) = ExperienceFile::on(disk.place()).unwrap();
    let (mut all, mut places) = (Log::new(), [0; 2]);
    for _ in 0..6 {
        let events = batch(&mut places, 12);
        all.extend(events.iter().cloned());
        file.append(&events).unwrap();
    }
    drop(file);
    (disk.bytes(), sorted(all))
}

#[test]
fn a_changed_bit_is_noticed_or_means_nothing() {
    let (bytes, wanted) = used();
    let mut noticed = 0;
    let filled = (0..bytes.len()).filter(|at| bytes[*at] != 0).step_by(11);
    for at in (0..400).chain(filled) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        match ExperienceFile::on(Disk::with(changed).place()) {
            Ok((_, log)) => assert_eq!(log, wanted, "byte {at}"),
            Err(StoreError::Corrupt { .. } | StoreError::Schema { .. }) => noticed += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(noticed > 100, "{noticed}");
}

#[test]
fn events_out_of_their_order_are_no_log() {
    let disk = Disk::new();
    let (mut file, _) = ExperienceFile::on(disk.place()).unwrap();
    let mut events = batch(&mut [0; 2], 9);
    // The second of the first node.
    events.retain(|(place, _)| *place != ExperienceId { node: 1, seq: 2 });
    file.append(&events).unwrap();
    drop(file);
    let Err(StoreError::Corrupt { message, .. }) = ExperienceFile::on(disk.place()) else { panic!("a gap") };
    assert!(message.contains("event 2 of node"), "{message}");
}

#[test]
fn nobody_else_has_it_open() {
    let disk = Disk::new();
    let first = ExperienceFile::on(disk.place()).unwrap();
    assert!(matches!(ExperienceFile::on(disk.place()), Err(StoreError::InUse { .. })));
    drop(first);
    assert!(ExperienceFile::on(disk.place()).is_ok());
}
