//! Power that goes at any operation, and a disk that is full from any operation on.

use super::disk::{Disk, Fault};
use super::model::{Lives, Model};
use midstreamer::store::{RedbStore, StoreError, TaskStore};

/// What a life of a process on a disk had been told when it ended.
struct Told {
    /// The models that the store may hold: the last one that was acknowledged, and the one after it, if that was tried.
    allowed: Vec<Model>,
    /// The identity, once it was told.
    store: Option<[u8; 16]>,
    epoch: u64,
}

/// Opens, commits some batches, and stops at the first error.
fn live(disk: &Disk, seed: u64) -> Told {
    let mut lives = Lives::new(seed, 600);
    let mut told = Told { allowed: vec![Model::new()], store: None, epoch: 0 };
    let mut store = RedbStore::on(disk.place());
    let Ok(recovered) = store.open() else { return told };
    (told.store, told.epoch) = (Some(recovered.store), recovered.epoch);
    for _ in 0..5 {
        let batch = lives.batch(8);
        told.allowed.push(lives.model.clone());
        if store.commit(&batch).is_err() {
            return told;
        }
        told.allowed.drain(..told.allowed.len() - 1);
    }
    told
}

fn check(disk: &Disk, told: &Told, context: &str) {
    for start in 1..3 {
        let recovered = RedbStore::on(disk.place())
            .open()
            .unwrap_or_else(|error| panic!("{context}, start {start}: {error}"));
        assert!(told.allowed.iter().any(|model| model.matches(&recovered)), "{context}, start {start}");
        assert!(told.store.is_none_or(|store| store == recovered.store), "{context}");
        assert!(recovered.epoch >= told.epoch + start, "{context}: {}", recovered.epoch);
    }
}

#[test]
fn power_may_go_at_any_operation() {
    let whole = Disk::new();
    live(&whole, 0);
    let operations = whole.operations();
    assert!(operations > 30, "{operations}");
    for at in 0..operations {
        for seed in 0..3 {
            let disk = Disk::new();
            disk.set_fault(Fault::From { at });
            let told = live(&disk, 0);
            disk.lose_power(&mut fastrand::Rng::with_seed(seed * 1_000_000 + at as u64));
            check(&disk, &told, &format!("operation {at}, seed {seed}"));
        }
    }
}

#[test]
fn power_may_go_at_any_operation_of_the_start_after_that() {
    // A store in use whose process was killed, so that the start has something to repair.
    let killed = Disk::new();
    killed.set_fault(Fault::From { at: 60 });
    let told = live(&killed, 3);
    killed.lose_power(&mut fastrand::Rng::with_seed(3));
    let bytes = killed.bytes();
    let whole = Disk::with(bytes.clone());
    drop(RedbStore::on(whole.place()).open().unwrap());
    for at in 0..whole.operations() {
        let disk = Disk::with(bytes.clone());
        disk.set_fault(Fault::From { at });
        let mut store = RedbStore::on(disk.place());
        let opened = store.open();
        let epoch = opened.as_ref().map_or(told.epoch, |recovered| recovered.epoch);
        drop(store);
        disk.lose_power(&mut fastrand::Rng::with_seed(at as u64));
        check(&disk, &Told { epoch, allowed: told.allowed.clone(), ..told }, &format!("operation {at}"));
    }
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_room() {
    let mut at = 0;
    loop {
        let disk = Disk::new();
        let mut lives = Lives::new(7, 600);
        let mut store = RedbStore::on(disk.place());
        disk.set_fault(Fault::From { at });
        let mut failures = 0;
        let mut refused = |error: StoreError| {
            assert!(matches!(error, StoreError::Io { .. }), "operation {at}: {error}");
            failures += 1;
        };
        let mut opened = store.open();
        if let Err(error) = opened {
            refused(error);
            disk.set_fault(Fault::None);
            opened = store.open();
        }
        let identity = opened.unwrap();
        for _ in 0..5 {
            let batch = lives.batch(8);
            while let Err(error) = store.commit(&batch) {
                refused(error);
                // Still full for a while, then there is room.
                if disk.operations() > at + 5 {
                    disk.set_fault(Fault::None);
                }
            }
        }
        disk.set_fault(Fault::None);
        drop(store);
        let recovered = RedbStore::on(disk.place()).open().unwrap();
        assert!(lives.model.matches(&recovered), "operation {at}");
        // To go on is not a start.
        assert_eq!((recovered.store, recovered.epoch), (identity.store, identity.epoch + 1));
        if failures == 0 {
            // Everything was done before this operation, so all were tried.
            assert!(at > 30, "{at}");
            return;
        }
        at += 1;
    }
}
