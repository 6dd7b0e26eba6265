//! A log that somebody changes afterwards.

use super::disk::{Model, Place};
use super::{entry, small, verified};
use midstreamer::security::audit::{
    Action, Anchor, Audit, AuditLog, AuditOptions, Verification, VerifyOptions, verify_directory,
};
use proptest::prelude::*;

/// A closed log with its key, and its lines with the segments that they are in.
struct Log {
    disk: Model,
    key: String,
    lines: Vec<(String, Vec<u8>)>,
    head: Anchor,
}

fn log_of(options: AuditOptions, entries: usize) -> Log {
    let disk = Model::new();
    let log = AuditLog::open_on(disk.place(), options).unwrap();
    for number in 0..entries {
        log.record(entry(Action::AgentConnected, format!("agent {number}"))).unwrap();
    }
    log.close().unwrap();
    let mut lines = Vec::new();
    for (name, bytes) in disk.files() {
        if name.starts_with("audit-") {
            let of_file = bytes.split_inclusive(|byte| *byte == b'\n');
            lines.extend(of_file.map(|line| (name.clone(), line.to_vec())));
        }
    }
    assert_eq!(log.head().seq, lines.len() as u64);
    Log { disk, key: log.public_key().to_owned(), lines, head: log.head() }
}

impl Log {
    /// With other lines, in the segments that they name.
    fn with(&self, lines: &[(String, Vec<u8>)]) -> Verification {
        let disk = self.disk.copy();
        for name in disk.files().into_keys().filter(|name| name.starts_with("audit-")) {
            let of_file = lines.iter().filter(|(file, _)| *file == name);
            disk.put(&name, of_file.flat_map(|(_, line)| line.clone()).collect());
        }
        verified(&disk.place(), Some(&self.key))
    }

    fn anchored(&self, anchor: Anchor) -> Verification {
        let options = VerifyOptions { public_key: Some(&self.key), anchor: Some(anchor) };
        verify_directory(&self.disk.place(), &options).unwrap()
    }
}

#[test]
fn an_untouched_log_holds() {
    let log = log_of(small(), 20);
    assert!(log.disk.files().keys().filter(|name| name.starts_with("audit-")).count() > 4);
    for found in [log.with(&log.lines), verified(&log.disk.place(), None), log.anchored(log.head)] {
        assert!(found.ok && !found.truncated && found.broken_at.is_none(), "{found:?}");
        assert_eq!((found.entries, found.head, found.unsigned_tail), (log.head.seq, log.head.head, 0));
    }
}

#[test]
fn every_changed_byte_is_found_at_its_entry() {
    let log = log_of(small(), 6);
    for index in 0..log.lines.len() {
        for at in 0..log.lines[index].1.len() {
            for change in [0x01, 0x20, 0x80] {
                let mut lines = log.lines.clone();
                lines[index].1[at] ^= change;
                let found = log.with(&lines);
                assert!(!found.ok, "byte {at} of entry {}", index + 1);
                let last = index + 1 == lines.len();
                if last && at + 1 == lines[index].1.len() {
                    // Without its line feed the last line has no end.
                    assert!(found.truncated);
                } else {
                    assert_eq!(found.broken_at, Some(index as u64 + 1), "byte {at}");
                }
                assert_eq!(found.entries, index as u64);
            }
        }
    }
}

#[test]
fn a_line_that_is_removed_inserted_doubled_or_moved_is_named() {
    let log = log_of(small(), 12);
    let count = log.lines.len();
    for index in 0..count {
        let seq = index as u64 + 1;
        let mut removed = log.lines.clone();
        removed.remove(index);
        let found = log.with(&removed);
        assert!(!found.ok, "{seq} removed");
        // Without the last one there is nothing that does not fit; it is only shorter than it was.
        let expected = if index + 1 == count { (None, true) } else { (Some(seq), false) };
        assert_eq!((found.broken_at, found.truncated), expected, "{seq} removed");

        let mut doubled = log.lines.clone();
        doubled.insert(index, log.lines[index].clone());
        assert_eq!(log.with(&doubled).broken_at, Some(seq), "{seq} twice");

        for line in ["\n".to_owned(), "{}\n".to_owned(), "\0\n".to_owned(), "x".repeat(70_000) + "\n"] {
            let mut inserted = log.lines.clone();
            inserted.insert(index, (log.lines[index].0.clone(), line.into_bytes()));
            assert_eq!(log.with(&inserted).broken_at, Some(seq), "before {seq}");
        }
        for other in 0..count {
            let mut swapped = log.lines.clone();
            let (a, b) = (swapped[index].1.clone(), swapped[other].1.clone());
            (swapped[index].1, swapped[other].1) = (b, a);
            let first = (index != other).then_some(index.min(other) as u64 + 1);
            assert_eq!(log.with(&swapped).broken_at, first, "{seq} and {}", other + 1);
        }
        // Later, once more.
        let mut again = log.lines.clone();
        again.push((log.lines[count - 1].0.clone(), log.lines[index].1.clone()));
        assert_eq!(log.with(&again).broken_at, Some(seq), "{seq} at the end");
    }
}

#[test]
fn every_truncation_is_found() {
    let log = log_of(small(), 8);
    let names: Vec<String> = log.disk.files().into_keys().filter(|name| name.starts_with("audit-")).collect();
    let whole = log.disk.files();
    for (index, name) in names.iter().enumerate() {
        for length in 0..whole[name].len() {
            // This segment is cut and those after it are gone, or nothing happened to those.
            let (cut, hole) = (log.disk.copy(), log.disk.copy());
            for disk in [&cut, &hole] {
                disk.put(name, whole[name][..length].to_vec());
            }
            names[index + 1..].iter().for_each(|later| cut.remove(later));
            let found = verified(&cut.place(), None);
            assert!(!found.ok && found.truncated, "{name} at {length}: {found:?}");
            let found = verified(&hole.place(), None);
            assert!(!found.ok, "{name} at {length}: {found:?}");
            if index + 1 < names.len() {
                assert_eq!(found.broken_at, Some(found.entries + 1));
            }
        }
    }
}

#[test]
fn a_missing_segment_is_named_by_its_first_entry() {
    let log = log_of(small(), 12);
    let names: Vec<String> = log.disk.files().into_keys().filter(|name| name.starts_with("audit-")).collect();
    for (index, name) in names.iter().enumerate() {
        let disk = log.disk.copy();
        disk.remove(name);
        let found = verified(&disk.place(), Some(&log.key));
        let first: u64 = name[6..22].parse().unwrap();
        let last = index + 1 == names.len();
        assert_eq!((found.ok, found.broken_at), (false, (!last).then_some(first)), "{name}");
        assert_eq!((found.truncated, found.entries), (last, first - 1));
    }
}

#[test]
fn an_anchor_is_met_or_the_log_was_cut() {
    let log = log_of(small(), 8);
    for seq in 1..=log.head.seq {
        let place = log.disk.copy();
        let line = String::from_utf8(log.lines[seq as usize - 1].1.clone()).unwrap();
        let head = midstreamer::security::audit::head_of_hex(&line[line.len() - 67..line.len() - 3]).unwrap();
        assert!(log.anchored(Anchor { seq, head }).ok, "{seq}");
        let found = log.anchored(Anchor { seq, head: [9; 32] });
        assert_eq!((found.ok, found.truncated, found.broken_at), (false, true, Some(seq)));
        drop(place);
    }
    assert!(log.anchored(Anchor::GENESIS).ok);
    let beyond = log.anchored(Anchor { seq: log.head.seq + 1, ..log.head });
    assert_eq!((beyond.ok, beyond.truncated, beyond.broken_at), (false, true, None));
}

/// Writes all lines from `from` on anew, which is changed, each with the hash that fits: what can be done without the
/// private key.
fn rewrite(log: &Log, from: usize, change: impl Fn(&str) -> String) -> Vec<(String, Vec<u8>)> {
    let sha = |bytes: &[u8]| -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut lines = log.lines.clone();
    let mut prev = String::new();
    for (index, (_, line)) in lines.iter_mut().enumerate() {
        let mut text = String::from_utf8(line.clone()).unwrap();
        if index == from {
            text = change(&text);
        }
        if index > from {
            let at = text.find("\"prev\":\"").unwrap() + 8;
            text.replace_range(at..at + 64, &prev);
            if text.contains("\"action\":\"checkpoint\"") {
                let at = text.find("\"head\":\"").unwrap() + 8;
                text.replace_range(at..at + 64, &prev);
            }
        }
        let end = text.len() - 76;
        prev = sha(&text.as_bytes()[..end]);
        text.replace_range(end + 9..end + 73, &prev);
        *line = text.into_bytes();
    }
    lines
}

#[test]
fn a_log_that_was_written_anew_fails_at_its_first_checkpoint() {
    let log = log_of(small(), 9);
    let checkpoints: Vec<usize> = (0..log.lines.len())
        .filter(|&index| String::from_utf8_lossy(&log.lines[index].1).contains("\"checkpoint\""))
        .collect();
    for from in 0..log.lines.len() {
        let lines = rewrite(&log, from, |text| text.replace("\"at\":", "\"at\":1"));
        assert_ne!(lines[from], log.lines[from]);
        let next = *checkpoints.iter().find(|&&index| index >= from).unwrap();
        assert_eq!(log.with(&lines).broken_at, Some(next as u64 + 1), "from {from}");
        // Without the key nobody can tell a signature, but the newest checkpoint stands beside.
        let disk = log.disk.copy();
        for name in log.disk.files().into_keys().filter(|name| name.starts_with("audit-")) {
            let of_file = lines.iter().filter(|(file, _)| *file == name);
            disk.put(&name, of_file.flat_map(|(_, line)| line.clone()).collect());
        }
        let found = verified(&disk.place(), None);
        assert_eq!((found.ok, found.truncated, found.broken_at), (false, true, Some(log.head.seq)));
    }
}

#[test]
fn a_checkpoint_of_another_log_signs_nothing() {
    let log = log_of(small(), 9);
    let object = |line: &[u8]| {
        let text = String::from_utf8(line.to_vec()).unwrap();
        let at = text.find("\"object\":\"").unwrap() + 10;
        text[at..at + 64].to_owned()
    };
    // The first line names the log.
    let (name, other) = (object(&log.lines[0].1), "0".repeat(64));
    for (index, (_, line)) in log.lines.iter().enumerate() {
        if String::from_utf8_lossy(line).contains("\"checkpoint\"") {
            let lines = rewrite(&log, index, |text| text.replace(&name, &other));
            let disk = log.disk.copy();
            for file in log.disk.files().into_keys().filter(|file| file.starts_with("audit-")) {
                let of_file = lines.iter().filter(|(name, _)| *name == file);
                disk.put(&file, of_file.flat_map(|(_, line)| line.clone()).collect());
            }
            let found = verified(&disk.place(), None);
            assert_eq!((found.broken_at, found.entries), (Some(index as u64 + 1), index as u64));
            assert!(found.unsigned_tail <= found.entries, "{found:?}");
        }
    }
}

#[test]
fn the_key_of_another_log_and_another_newest_checkpoint_are_refused() {
    let (log, other) = (log_of(small(), 3), log_of(small(), 3));
    let found = verified(&log.disk.place(), Some(&other.key));
    assert_eq!((found.ok, found.broken_at), (false, Some(2)));
    for spoilt in [
        Vec::new(),
        b"{}\n".to_vec(),
        vec![0; 100_000],
        other.disk.files()["checkpoint.json"].clone(),
        log.disk.files()["checkpoint.json"].iter().copied().chain(*b"\n").collect(),
    ] {
        let disk = log.disk.copy();
        disk.put("checkpoint.json", spoilt);
        let found = verified(&disk.place(), Some(&log.key));
        assert_eq!((found.ok, found.truncated), (false, true), "{found:?}");
        // And nothing goes on from there.
        assert!(AuditLog::open_on(disk.place(), small()).is_err());
    }
}

#[test]
fn a_log_that_was_cut_says_so_for_ever_once_it_goes_on() {
    let log = log_of(small(), 9);
    let disk = log.disk.copy();
    let names: Vec<String> = disk.files().into_keys().filter(|name| name.starts_with("audit-")).collect();
    disk.remove(names.last().unwrap());
    let again = AuditLog::open_on(disk.place(), small()).unwrap();
    again.record(entry(Action::Revoked, "a")).unwrap();
    again.close().unwrap();
    let found = verified(&disk.place(), Some(&log.key));
    assert_eq!((found.ok, found.truncated, found.broken_at), (false, true, None));
}

#[test]
fn a_changed_log_is_not_gone_on_with() {
    let log = log_of(AuditOptions { segment_bytes: 1 << 20, ..small() }, 9);
    for index in 0..log.lines.len() {
        let disk = log.disk.copy();
        let mut lines = log.lines.clone();
        lines[index].1[8] ^= 1;
        disk.put(&lines[0].0, lines.iter().flat_map(|(_, line)| line.clone()).collect());
        let error = AuditLog::open_on(disk.place(), small()).unwrap_err();
        assert!(error.to_string().contains(&format!("entry {}", index + 1)), "{error}");
        assert_eq!(disk.files()[&lines[0].0].len(), log.disk.files()[&lines[0].0].len(), "evidence stays");
    }
    // Its key is gone.
    let disk = log.disk.copy();
    disk.remove("private.pem");
    assert!(AuditLog::open_on(disk.place(), small()).is_err());
}

/// Anything instead of a segment, or instead of all of them.
fn any_verification(disk: &Place, key: &str) {
    for key in [None, Some(key)] {
        let found = verified(disk, key);
        assert_eq!(found.ok, found.broken_at.is_none() && !found.truncated);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_in_the_files_there_is_an_answer(seed: u64) {
        thread_local! { static LOG: Log = log_of(small(), 8); }
        LOG.with(|log| {
            let mut random = fastrand::Rng::with_seed(seed);
            let disk = log.disk.copy();
            let mut changed = false;
            for (name, whole) in log.disk.files() {
                if !name.starts_with("audit-") || random.bool() {
                    continue;
                }
                let mut bytes = whole.clone();
                for _ in 0..random.usize(1..6) {
                    let at = random.usize(..=bytes.len());
                    match random.u8(..6) {
                        0 => bytes.truncate(at),
                        1 => drop(bytes.splice(at..at, std::iter::repeat_with(|| random.u8(..)).take(9))),
                        2 => drop(bytes.drain(at..(at + 9).min(bytes.len()))),
                        3 => bytes.extend_from_within(at..),
                        4 => drop(bytes.splice(at..at, *b"\n")),
                        _ if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
                        _ => {}
                    }
                }
                changed |= bytes != whole;
                disk.put(&name, bytes);
            }
            any_verification(&disk.place(), &log.key);
            prop_assert_eq!(verified(&disk.place(), Some(&log.key)).ok, !changed);
            // To go on with it is an error or a log that tells of it.
            if let Ok(again) = AuditLog::open_on(disk.place(), small()) {
                again.close().unwrap();
                any_verification(&disk.place(), &log.key);
            }
            Ok(())
        })?;
    }
}
