//! Files that are not what was written: an error, never a panic and never other tasks.

use super::disk::Disk;
use super::model::Lives;
use midstreamer::protocol::tasks::Recovered;
use midstreamer::store::{RedbStore, Storage, StoreError, TaskStore};
use redb::TableDefinition;

/// Opening a disk with these bytes. A panic of redb, caught in the store, is no noise in the output of the tests.
fn open(bytes: Vec<u8>) -> Result<Recovered, StoreError> {
    RedbStore::on(Disk::with(bytes).place()).open()
}

fn used() -> (Vec<u8>, Lives) {
    let disk = Disk::new();
    let mut lives = Lives::new(11, 300);
    let mut store = RedbStore::on(disk.place());
    store.open().unwrap();
    for _ in 0..6 {
        store.commit(&lives.batch(10)).unwrap();
    }
    drop(store);
    (disk.bytes(), lives)
}

#[test]
fn a_file_that_was_cut_off_is_named_as_such() {
    let (bytes, _) = used();
    // Every length near the beginning, where the header is, then one in each half page.
    let lengths = (0..700).chain((700..bytes.len()).step_by(2048));
    for length in lengths {
        match open(bytes[..length].to_vec()) {
            Err(StoreError::Corrupt { .. }) => {}
            other => panic!("{length} of {} bytes: {:?}", bytes.len(), other.map(|r| r.tasks.len())),
        }
    }
}

#[test]
fn a_changed_bit_is_noticed_or_means_nothing() {
    let (bytes, lives) = used();
    let mut random = fastrand::Rng::with_seed(5);
    let mut noticed = 0;
    let anywhere = (0..600).map(|_| random.usize(..bytes.len())).collect::<Vec<_>>();
    // The pages that hold something are few; the header is all at the beginning.
    let filled = (0..bytes.len()).filter(|at| bytes[*at] != 0).step_by(13);
    for at in (0..400).chain(anywhere).chain(filled) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        match open(changed) {
            Ok(recovered) => assert!(lives.model.matches(&recovered), "byte {at}"),
            Err(StoreError::Corrupt { .. } | StoreError::Schema { .. }) => noticed += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(noticed > 100, "{noticed}");
}

#[test]
fn what_is_no_store_at_all_is_named_as_such() {
    let mut random = fastrand::Rng::with_seed(6);
    for size in [0, 1, 9, 100, 4096, 100_000] {
        let mut bytes = vec![0; size];
        assert!(matches!(open(bytes.clone()), Err(StoreError::Corrupt { .. })), "{size} zeros");
        random.fill(&mut bytes);
        assert!(matches!(open(bytes), Err(StoreError::Corrupt { .. })), "{size} random bytes");
    }
}

#[test]
fn a_database_with_other_contents_is_not_believed() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
    const PAYLOADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("payloads");
    let changed = |change: &dyn Fn(&redb::WriteTransaction)| {
        let disk = Disk::with(used().0);
        let database =
            redb::Builder::new().create_with_backend(disk.place().find().unwrap().unwrap()).unwrap();
        let transaction = database.begin_write().unwrap();
        change(&transaction);
        transaction.commit().unwrap();
        drop(database);
        open(disk.bytes())
    };
    let set = |name: &'static str, value: u64| {
        move |transaction: &redb::WriteTransaction| {
            let mut meta = transaction.open_table(META).unwrap();
            meta.insert(name, value.to_le_bytes().as_slice()).unwrap();
        }
    };
    assert!(matches!(changed(&set("version", 2)), Err(StoreError::Schema { found: 2, supported: 1, .. })));
    let corrupt =
        |change: &dyn Fn(&redb::WriteTransaction)| matches!(changed(change), Err(StoreError::Corrupt { .. }));
    assert!(corrupt(&set("store", 2)));
    assert!(corrupt(&set("epoch", u64::MAX)));
    assert!(corrupt(&set("next_task", 1)));
    for name in ["version", "store", "epoch", "next_task"] {
        assert!(corrupt(&|transaction| {
            transaction.open_table(META).unwrap().remove(name).unwrap();
        }));
    }
    assert!(corrupt(&|transaction| {
        transaction.open_table(RECORDS).unwrap().insert(1, [0xff_u8; 9].as_slice()).unwrap();
    }));
    assert!(corrupt(&|transaction| {
        transaction.open_table(PAYLOADS).unwrap().insert(0, b"whose".as_slice()).unwrap();
    }));
    assert!(corrupt(&|transaction| {
        assert!(transaction.delete_table(PAYLOADS).unwrap());
    }));
    assert!(corrupt(&|transaction| {
        assert!(transaction.delete_table(META).unwrap());
        let other = TableDefinition::<&str, u64>::new("meta");
        transaction.open_table(other).unwrap().insert("version", 1).unwrap();
    }));
}
