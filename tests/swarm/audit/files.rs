//! A log in a real directory: who may read it, who writes it, processes that are killed, what else may lie there.

use super::{Folder, entry, small};
use midstreamer::security::audit::{
    Action, Anchor, Audit, AuditError, AuditLog, AuditOptions, VerifyOptions, head_of_hex, verify,
};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn segments(folder: &Folder) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("audit-")).collect();
    segments.sort();
    segments
}

fn filled(folder: &Folder, entries: usize) -> AuditLog {
    filled_as(folder, entries, small())
}

fn filled_as(folder: &Folder, entries: usize, options: AuditOptions) -> AuditLog {
    let log = AuditLog::open(folder.path(), options).unwrap();
    for number in 0..entries {
        log.record(entry(Action::AgentEnrolled, format!("agent {number}"))).unwrap();
    }
    log
}

#[test]
fn a_log_is_verified_by_its_directory_the_directory_around_it_or_any_segment() {
    let folder = Folder::new();
    let inner = Folder(folder.path().join("audit"));
    let log = filled(&inner, 20);
    log.close().unwrap();
    let options = VerifyOptions { public_key: Some(log.public_key()), anchor: Some(log.head()) };
    for path in [inner.path(), folder.path()] {
        let found = verify(path, &options).unwrap();
        assert_eq!((found.ok, found.entries, found.head), (true, log.head().seq, log.head().head));
    }
    let mut entries = 0;
    let all = segments(&inner);
    for segment in &all {
        let found = verify(segment, &VerifyOptions { anchor: None, ..options }).unwrap();
        assert!(found.ok && found.unsigned_tail == 0, "{found:?}");
        entries += found.entries;
    }
    assert_eq!((entries, all.len() > 3), (log.head().seq, true));
    // The last one knows the newest checkpoint, the others where the next one begins.
    for segment in &all {
        let whole = fs::read(segment).unwrap();
        let end = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        for length in [end, whole.len() - 1] {
            fs::write(segment, &whole[..length]).unwrap();
            let found = verify(segment, &VerifyOptions::default()).unwrap();
            assert_eq!((found.ok, found.truncated), (false, true), "{}", segment.display());
        }
        let mut changed = whole.clone();
        changed[3] ^= 1;
        fs::write(segment, &changed).unwrap();
        let first = segment.file_name().unwrap().to_str().unwrap()[6..22].parse().unwrap();
        assert_eq!(verify(segment, &VerifyOptions::default()).unwrap().broken_at, Some(first));
        fs::write(segment, &whole).unwrap();
    }
    // A copy under another name stands for itself.
    let copy = folder.path().join("copy.jsonl");
    fs::copy(&all[1], &copy).unwrap();
    assert!(verify(&copy, &VerifyOptions { anchor: None, ..options }).unwrap().ok);
    fs::copy(&all[1], &all[2]).unwrap();
    assert!(!verify(&all[2], &VerifyOptions::default()).unwrap().ok);
}

#[test]
fn what_is_no_log_is_an_error() {
    let folder = Folder::new();
    let none = VerifyOptions::default();
    assert!(matches!(verify(folder.path(), &none), Err(AuditError::NotFound(_))));
    fs::create_dir(folder.path()).unwrap();
    assert!(matches!(verify(folder.path(), &none), Err(AuditError::NotFound(_))));
    assert!(matches!(verify(&folder.path().join("x"), &none), Err(AuditError::NotFound(_))));
    let segment = folder.path().join("audit-0000000000000001.jsonl");
    fs::create_dir(&segment).unwrap();
    assert!(matches!(verify(folder.path(), &none), Err(AuditError::Store(_))));
    fs::remove_dir(&segment).unwrap();
    fs::write(&segment, "").unwrap();
    let empty = verify(folder.path(), &none).unwrap();
    assert_eq!((empty.ok, empty.entries, empty.head), (true, 0, [0; 32]));
    for key in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        let options = VerifyOptions { public_key: Some(key), anchor: None };
        assert!(matches!(verify(folder.path(), &options), Err(AuditError::Invalid(_))));
    }
    assert!(head_of_hex(&"0".repeat(63)).is_err() && head_of_hex(&"A".repeat(64)).is_err());
}

#[cfg(unix)]
#[test]
fn what_others_can_reach_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    filled(&folder, 5).close().unwrap();
    assert_eq!(mode(folder.path()), 0o700);
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 5, "{files:?}");
    files.push(folder.path().to_owned());
    for path in files {
        let own = mode(&path);
        assert_eq!(own & 0o077, 0, "{}", path.display());
        for wider in [own | 0o040, own | 0o002] {
            set(&path, wider);
            let error = AuditLog::open(folder.path(), small()).unwrap_err();
            assert!(
                matches!(&error, AuditError::Permissions(text) if text.contains(&*path.to_string_lossy())),
                "{error}"
            );
        }
        set(&path, own);
    }
    AuditLog::open(folder.path(), small()).unwrap();
}

#[test]
fn one_process_at_a_time_writes_it_and_anybody_verifies_it_meanwhile() {
    let folder = Folder::new();
    let log = filled(&folder, 3);
    assert!(matches!(AuditLog::open(folder.path(), small()), Err(AuditError::InUse(_))));
    let writer = std::thread::spawn(move || {
        for number in 0..500 {
            log.record(entry(Action::AgentEnrolled, format!("agent {number}"))).unwrap();
        }
        log
    });
    let mut entries = 0;
    while !writer.is_finished() {
        let found = verify(folder.path(), &VerifyOptions::default()).unwrap();
        assert!(found.ok && found.entries >= entries, "{found:?}");
        entries = found.entries;
    }
    let log = writer.join().unwrap();
    log.close().unwrap();
    drop(log);
    AuditLog::open(folder.path(), small()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_refuses_records_until_it_can() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let log = filled(&folder, 1);
    let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    if fs::write(folder.path().join("probe"), "").is_ok() {
        // Root may write everywhere.
        fs::remove_file(folder.path().join("probe")).unwrap();
        mode(0o700);
        return;
    }
    // The segment that is open can still be written; the next one cannot be made.
    let mut refused = 0;
    for number in 0..30 {
        refused += u32::from(log.record(entry(Action::Revoked, format!("{number}"))).is_err());
    }
    assert!(refused > 0 && log.is_failing());
    mode(0o700);
    let start = Instant::now();
    while log.is_failing() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    log.close().unwrap();
    let options = VerifyOptions { public_key: Some(log.public_key()), anchor: Some(log.head()) };
    assert!(verify(folder.path(), &options).unwrap().ok);
}

const PATIENCE: Duration = Duration::from_secs(120);
const LOG_IN: &str = "MIDSTREAMER_TEST_AUDIT_LOG_IN";

/// A child that is gone after the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// In the child: records until it is killed, and says what is durable.
fn record_for_ever(folder: &str) {
    let log =
        AuditLog::open(&PathBuf::from(folder), AuditOptions { segment_bytes: 20_000, ..small() }).unwrap();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        for number in 0..fastrand::usize(..20) {
            log.note(entry(Action::Tasks, "x".repeat(number * 50)));
        }
        log.record(entry(Action::Revoked, "a")).unwrap();
        let Anchor { seq, head } = log.head();
        let head: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut out = std::io::stdout();
        writeln!(out, "durable {seq} {head}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_log_that_goes_on() {
    if let Ok(folder) = std::env::var(LOG_IN) {
        return record_for_ever(&folder);
    }
    let folder = Folder::new();
    let mut anchor = None;
    for round in 0..8u64 {
        let mut child = Killed(
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "audit::files::a_process_that_is_killed_leaves_a_log_that_goes_on",
                    "--exact",
                    "--nocapture",
                ])
                .env(LOG_IN, folder.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut output = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut told = 0;
        let mut read = |line: Option<std::io::Result<String>>| {
            let line = line?.unwrap();
            if let Some((seq, head)) =
                line.split_once("durable ").and_then(|(_, place)| place.split_once(' '))
            {
                anchor = Some(Anchor { seq: seq.parse().unwrap(), head: head_of_hex(head).unwrap() });
                told += 1;
            }
            Some(told)
        };
        while read(output.next()).expect("the child goes on") < 3 + round {}
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        // What it said before it was killed is still in the pipe; the last line may be half of one.
        for line in output {
            let whole = line.as_ref().is_ok_and(|line| line.len() > 72);
            if whole && read(Some(line)).is_none() {
                break;
            }
        }
        let log = AuditLog::open(folder.path(), small()).unwrap();
        let options = VerifyOptions { public_key: Some(log.public_key()), anchor };
        let found = verify(folder.path(), &options).unwrap();
        assert!(found.ok && found.unsigned_tail == 0, "{found:?}");
        log.close().unwrap();
    }
    assert!(segments(&folder).len() > 2);
}

/// The log as a power cut leaves it, in one segment: nothing was closed.
fn unclosed(entries: usize) -> (Folder, PathBuf) {
    let folder = Folder::new();
    let log = filled_as(&folder, entries, AuditOptions { segment_bytes: 1 << 20, ..small() });
    let copy = Folder::new();
    fs::create_dir(copy.path()).unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    drop(log);
    private(copy.path());
    let last = segments(&copy).pop().unwrap();
    (copy, last)
}

/// For its owner alone, whatever the umask is.
fn private(directory: &std::path::Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
        for file in fs::read_dir(directory).unwrap() {
            fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    #[cfg(not(unix))]
    let _ = directory;
}

#[test]
fn what_is_cut_off_at_a_start_is_kept_beside_the_log() {
    let (folder, last) = unclosed(6);
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend_from_slice(b"{\"seq\":pieces of a line");
    fs::write(&last, &bytes).unwrap();
    AuditLog::open(folder.path(), small()).unwrap().close().unwrap();
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let torn = names.iter().find(|name| name.starts_with("torn-")).unwrap();
    assert_eq!(fs::read(folder.path().join(torn)).unwrap(), b"{\"seq\":pieces of a line");
    assert!(verify(folder.path(), &VerifyOptions::default()).unwrap().ok);
}

#[test]
fn a_log_that_was_gone_on_with_after_what_does_not_hold_is_not_taken_for_a_crash() {
    // Without the file of the latest checkpoint, so that the lines alone have to tell.
    let (folder, last) = unclosed(9);
    let text = fs::read_to_string(&last).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let signed = lines.iter().position(|line| line.contains("\"action\":\"checkpoint\"")).unwrap();
    assert!(0 < signed && signed + 1 < lines.len(), "a line before it, and one behind it");
    fs::remove_file(folder.path().join("checkpoint.json")).unwrap();
    let mut spoilt = text.clone().into_bytes();
    let before: usize = lines[..signed].iter().map(|line| line.len()).sum();
    spoilt[before - 10] ^= 1;
    fs::write(&last, &spoilt).unwrap();
    let error = AuditLog::open(folder.path(), small()).unwrap_err();
    assert!(matches!(error, AuditError::Corrupt(_)), "{error}");
    assert_eq!(fs::read(&last).unwrap(), spoilt, "it is kept as evidence");
}

#[test]
fn a_log_without_its_latest_checkpoint_is_not_gone_on_with() {
    let (folder, _) = unclosed(30);
    fs::remove_file(folder.path().join("checkpoint.json")).unwrap();
    let error = AuditLog::open(folder.path(), small()).unwrap_err();
    assert!(matches!(error, AuditError::Corrupt(_)), "{error}");
}
