//! A disk that is full, flushes that fail, and more to say than there is room for.

use super::disk::{Fault, Model};
use super::{entry, small, verified};
use midstreamer::security::audit::{Action, Anchor, Audit, AuditError, AuditLog, AuditOptions, NoAudit};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The lines with one action.
fn lines(disk: &Model, action: &str) -> Vec<serde_json::Value> {
    let files = disk.files();
    let segments = files.iter().filter(|(name, _)| name.starts_with("audit-"));
    let text: String = segments.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["action"] == action).collect()
}

#[test]
fn a_full_disk_refuses_records_keeps_notes_and_tells_of_it_afterwards() {
    for left in [0, 1, 100, 300, 700, 1500, 4000] {
        let disk = Model::new();
        let log = AuditLog::open_on(disk.place(), small()).unwrap();
        let mut kept = Vec::new();
        disk.set_fault(Fault::Full { left });
        let mut refused = 0;
        while refused < 3 {
            let object = format!("record {}", kept.len() + refused);
            match log.record(entry(Action::Revoked, object.clone())) {
                Ok(()) => kept.push(object),
                Err(AuditError::Store(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        log.note(entry(Action::AgentConnected, "note"));
        assert!(log.is_failing());
        disk.set_fault(Fault::None);
        until("writing works again", || !log.is_failing());
        log.record(entry(Action::Revoked, "last")).unwrap();
        kept.push("last".to_owned());
        log.close().unwrap();
        let found = verified(&disk.place(), Some(log.public_key()));
        assert!(found.ok && found.unsigned_tail == 0, "{left}: {found:?}");
        let objects: Vec<_> = lines(&disk, "revoked").iter().map(|line| line["object"].clone()).collect();
        assert_eq!(objects, kept, "{left}");
        assert_eq!(lines(&disk, "agent-connected").len(), 1);
        let lost = lines(&disk, "entries-lost");
        let count: u64 = lost.iter().map(|line| line["detail"]["count"].as_u64().unwrap()).sum();
        assert_eq!((count, log.counts().lost), (3, 3), "{left}: {lost:?}");
        assert_eq!(log.counts().entries, found.entries);
    }
}

#[test]
fn after_a_flush_that_failed_it_is_written_anew() {
    let disk = Model::new();
    let log = AuditLog::open_on(disk.place(), small()).unwrap();
    disk.set_fault(Fault::Flushes);
    for _ in 0..3 {
        let error = log.record(entry(Action::Revoked, "refused")).unwrap_err();
        assert!(matches!(error, AuditError::Store(_)), "{error}");
    }
    log.note(entry(Action::Tasks, "kept"));
    disk.set_fault(Fault::None);
    until("writing works again", || !log.is_failing());
    disk.lose_power(&mut fastrand::Rng::with_seed(1));
    drop(log);
    let again = AuditLog::open_on(disk.place(), small()).unwrap();
    assert!(verified(&disk.place(), Some(again.public_key())).ok);
    assert_eq!((lines(&disk, "tasks").len(), lines(&disk, "revoked").len()), (1, 0));
}

#[test]
fn what_finds_no_room_is_counted() {
    let disk = Model::new();
    let options = AuditOptions { queue_entries: 10, note_delay: Duration::from_secs(3600), ..small() };
    let log = AuditLog::open_on(disk.place(), options.clone()).unwrap();
    disk.set_fault(Fault::Full { left: 0 });
    for number in 0..25 {
        log.note(entry(Action::Tasks, format!("{number}")));
    }
    until("it is known", || log.is_failing());
    assert!(log.counts().lost >= 1, "{:?}", log.counts());
    disk.set_fault(Fault::None);
    until("writing works again", || !log.is_failing());
    log.close().unwrap();
    let lost: u64 =
        lines(&disk, "entries-lost").iter().map(|line| line["detail"]["count"].as_u64().unwrap()).sum();
    assert_eq!(lost, log.counts().lost);
    assert_eq!(lines(&disk, "tasks").len() as u64 + lost, 25);
    assert!(verified(&disk.place(), Some(log.public_key())).ok);
    // By their bytes as well.
    let disk = Model::new();
    let log = AuditLog::open_on(disk.place(), AuditOptions { queue_bytes: 1000, ..options }).unwrap();
    // One large item is taken; it leaves no room for another.
    log.note_made(2000, Box::new(|| vec![entry(Action::Tasks, "a"), entry(Action::Tasks, "b")]));
    log.note_made(10, Box::new(|| panic!("it found no room")));
    log.close().unwrap();
    assert_eq!((log.counts().lost, lines(&disk, "tasks").len()), (1, 2));
}

#[test]
fn a_log_that_cannot_be_written_at_its_end_says_so() {
    let disk = Model::new();
    let log = AuditLog::open_on(disk.place(), small()).unwrap();
    let head = log.head();
    disk.set_fault(Fault::Full { left: 0 });
    log.note(entry(Action::Tasks, "lost"));
    assert!(matches!(log.close(), Err(AuditError::Store(_))));
    assert!(log.close().is_ok(), "it is closed");
    assert_eq!(log.record(entry(Action::Revoked, "late")), Err(AuditError::Closed));
    log.note(entry(Action::Tasks, "late"));
    disk.set_fault(Fault::None);
    let again = AuditLog::open_on(disk.place(), small()).unwrap();
    assert_eq!(again.head(), Anchor { seq: head.seq + 2, ..again.head() });
}

#[test]
fn threads_share_flushes_and_nothing_is_lost_or_twice() {
    let disk = Model::new();
    let options = AuditOptions { segment_bytes: 20_000, ..small() };
    let log = Arc::new(AuditLog::open_on(disk.place(), options).unwrap());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let log = log.clone();
            thread::spawn(move || {
                for number in 0..50 {
                    log.record(entry(Action::TokenCreated, format!("{thread}/{number}"))).unwrap();
                    log.note(entry(Action::Tasks, format!("{thread}/{number}")));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    log.close().unwrap();
    assert!(verified(&disk.place(), Some(log.public_key())).ok);
    for action in ["token-created", "tasks"] {
        let mut objects: Vec<String> =
            lines(&disk, action).iter().map(|line| line["object"].as_str().unwrap().to_owned()).collect();
        // Those of one thread in their order.
        for thread in 0..8 {
            let own: Vec<_> =
                objects.iter().filter(|object| object.starts_with(&format!("{thread}/"))).cloned().collect();
            assert_eq!(own, (0..50).map(|number| format!("{thread}/{number}")).collect::<Vec<_>>());
        }
        objects.dedup();
        assert_eq!(objects.len(), 400);
    }
}

#[test]
fn refusals_by_strangers_are_counted_and_what_the_log_says_of_itself_nobody_else_says() {
    let disk = Model::new();
    let log = AuditLog::open_on(disk.place(), small()).unwrap();
    for number in 0..10_000 {
        let mut refused = entry(Action::PeerRefused, "no_certificate");
        refused.actor = format!("unauthenticated 10.0.{}.{}", number / 250, number % 250);
        log.note(refused);
    }
    for action in [Action::Checkpoint, Action::LogOpened, Action::LogClosed, Action::EntriesLost] {
        assert!(matches!(log.record(entry(action, "x")), Err(AuditError::Invalid(_))));
    }
    log.close().unwrap();
    let refused = lines(&disk, "peer-refused");
    // One window, or as many as there were seconds.
    assert!(refused.len() < 17 * 60, "{}", refused.len());
    let count = |line: &serde_json::Value| line["detail"]["count"].as_u64().unwrap_or(1);
    assert_eq!(refused.iter().map(count).sum::<u64>(), 10_000);
    assert!(verified(&disk.place(), Some(log.public_key())).ok);
}

#[test]
fn checkpoints_come_by_time_as_well() {
    let disk = Model::new();
    let options = AuditOptions { checkpoint_interval: Duration::from_millis(1), ..small() };
    let log = AuditLog::open_on(disk.place(), options).unwrap();
    log.record(entry(Action::Revoked, "a")).unwrap();
    until("a checkpoint", || lines(&disk, "checkpoint").len() == 2);
    until("the checkpoint beside", || verified(&disk.place(), None).unsigned_tail == 0);
}

#[test]
fn without_a_directory_nothing_is_kept() {
    NoAudit.record(entry(Action::Revoked, "a")).unwrap();
    NoAudit.note(entry(Action::Revoked, "a"));
    NoAudit.note_made(1, Box::new(|| panic!("nobody asks for it")));
    assert!(!NoAudit.is_failing());
}
