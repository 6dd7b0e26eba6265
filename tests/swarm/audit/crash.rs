//! Power that goes at any operation.

use super::disk::{Fault, Model};
use super::{entry, small, verified};
use midstreamer::security::audit::{
    Action, Anchor, Audit, AuditError, AuditLog, Shelf, VerifyOptions, verify_directory,
};

/// What a life of a process had been told when it ended.
#[derive(Clone, Default)]
struct Told {
    /// Objects of the entries that are durable.
    acknowledged: Vec<String>,
    head: Option<Anchor>,
    key: Option<String>,
}

/// Opens, records some entries, and stops at the first error.
fn live(disk: &Model, told: &mut Told, name: &str) -> Result<(), AuditError> {
    let log = AuditLog::open_on(disk.place(), small())?;
    told.head = Some(log.head());
    assert!(told.key.as_ref().is_none_or(|key| key == log.public_key()), "another key");
    told.key = Some(log.public_key().to_owned());
    for number in 0..9 {
        let object = format!("{name} {number}");
        log.record(entry(Action::Revoked, object.clone()))?;
        told.acknowledged.push(object);
        told.head = Some(log.head());
    }
    log.close()?;
    told.head = Some(log.head());
    Ok(())
}

/// The objects of all revocations, in order.
fn objects(disk: &Model) -> Vec<String> {
    let files = disk.files();
    let segments = files.iter().filter(|(name, _)| name.starts_with("audit-"));
    let text: String = segments.map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).collect();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines = lines.filter(|line| line["action"] == "revoked");
    lines.map(|line| line["object"].as_str().unwrap().to_owned()).collect()
}

/// Opens once more, and looks at everything.
fn check(disk: &Model, told: &Told, context: &str) {
    for start in 1..3 {
        let log = AuditLog::open_on(disk.place(), small())
            .unwrap_or_else(|error| panic!("{context}, start {start}: {error}"));
        assert!(told.key.as_ref().is_none_or(|key| key == log.public_key()), "{context}");
        let options = VerifyOptions { public_key: Some(log.public_key()), anchor: told.head };
        let found = verify_directory(&disk.place(), &options).unwrap();
        assert!(found.ok, "{context}, start {start}: {found:?}");
        assert_eq!((found.unsigned_tail, found.entries), (0, log.head().seq), "{context}");
        log.close().unwrap();
    }
    let there = objects(disk);
    // What was not acknowledged may be there or not; there is at most one such entry in each life.
    let mut left = there.iter();
    for object in &told.acknowledged {
        assert!(left.any(|found| found == object), "{context}: {object} of {there:?}");
    }
    assert!(there.len() <= told.acknowledged.len() + 2, "{context}: {there:?}");
}

#[test]
fn power_may_go_at_any_operation() {
    let whole = Model::new();
    live(&whole, &mut Told::default(), "first").unwrap();
    let operations = whole.operations();
    assert!(operations > 60, "{operations}");
    assert!(whole.files().len() > 5, "there are several segments: {:?}", whole.files().keys());
    for at in 0..operations {
        for seed in 0..4 {
            let (disk, mut told) = (Model::new(), Told::default());
            disk.set_fault(Fault::From { at });
            live(&disk, &mut told, "first").unwrap_err();
            disk.lose_power(&mut fastrand::Rng::with_seed(seed * 1_000_000 + at as u64));
            check(&disk, &told, &format!("operation {at}, seed {seed}"));
        }
    }
}

#[test]
fn power_may_go_at_any_operation_of_the_life_after_that() {
    for first in [17, 40, 58] {
        let mut told = Told::default();
        let killed = Model::new();
        killed.set_fault(Fault::From { at: first });
        live(&killed, &mut told, "first").unwrap_err();
        killed.lose_power(&mut fastrand::Rng::with_seed(first as u64));
        let whole = killed.copy();
        live(&whole, &mut told.clone(), "second").unwrap();
        for at in 0..whole.operations() {
            let (disk, mut told) = (killed.copy(), told.clone());
            disk.set_fault(Fault::From { at });
            live(&disk, &mut told, "second").unwrap_err();
            disk.lose_power(&mut fastrand::Rng::with_seed(at as u64));
            check(&disk, &told, &format!("killed at {first}, then at operation {at}"));
        }
    }
}

#[test]
fn pieces_of_a_write_are_cut_off_and_the_log_says_so() {
    let disk = Model::new();
    let mut told = Told::default();
    live(&disk, &mut told, "first").unwrap();
    let (name, mut bytes) = disk.files().into_iter().rfind(|(name, _)| name.starts_with("audit-")).unwrap();
    bytes.extend(b"{\"seq\":99,\"at\"\0\0\0\n\0\0");
    disk.put(&name, bytes);
    assert!(!verified(&disk.place(), None).ok);
    let log = AuditLog::open_on(disk.place(), small()).unwrap();
    assert!(verified(&disk.place(), Some(log.public_key())).ok);
    let text: String =
        disk.files().values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    assert!(text.contains(r#""torn":{"bytes":20,"#), "{text}");
    assert!(disk.place().names().unwrap().len() > 4);
}
