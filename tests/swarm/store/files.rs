//! A store in a real file: who else has it open, who may read it, processes that are killed, files that grow and shrink.

use super::model::Lives;
use midstreamer::protocol::TaskId;
use midstreamer::protocol::tasks::Change;
use midstreamer::store::{RedbStore, StoreError, TaskStore};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A directory that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("midstreamer-store-{}-{:016x}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join("tasks.redb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn one_process_at_a_time_has_a_store() {
    let folder = Folder::new();
    let mut first = RedbStore::new(&folder.0);
    assert!(first.durable());
    let recovered = first.open().unwrap();
    let mut second = RedbStore::new(&folder.0);
    let error = second.open().unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("tasks.redb"), "{error}");
    drop(first);
    let again = second.open().unwrap();
    assert_eq!((again.store, again.epoch), (recovered.store, 2));
}

#[cfg(unix)]
#[test]
fn what_is_made_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let inner = folder.0.join("a/b");
    RedbStore::new(&inner).open().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inner), mode(&inner.join("tasks.redb"))), (0o700, 0o600));
}

#[test]
fn a_directory_that_cannot_be_is_an_error() {
    let folder = Folder::new();
    fs::create_dir(&folder.0).unwrap();
    let file = folder.0.join("file");
    fs::write(&file, b"text").unwrap();
    let error = RedbStore::new(&file).open().unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    fs::create_dir(folder.file()).unwrap();
    let error = RedbStore::new(&folder.0).open().unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    // Nothing was opened, so nothing can be kept.
    let mut never = RedbStore::new(&folder.0.join("never"));
    assert!(never.commit(&[Change::Forget { task: TaskId(1) }]).is_err());
}

#[test]
fn a_file_shrinks_again_when_its_tasks_are_forgotten() {
    let folder = Folder::new();
    let mut lives = Lives::new(4, 0);
    let mut store = RedbStore::new(&folder.0);
    store.open().unwrap();
    for _ in 0..20 {
        let mut batch = Vec::new();
        for _ in 0..100 {
            let Change::Accept(record) = lives.accept() else { unreachable!() };
            let mut record = (*record).clone();
            record.spec.payload = vec![7; 20_000].into();
            let change = Change::Accept(record.into());
            lives.model.apply(&change);
            batch.push(change);
        }
        store.commit(&batch).unwrap();
    }
    let full = fs::metadata(folder.file()).unwrap().len();
    assert!(full > 40_000_000, "{full}");
    let tasks: Vec<u64> = lives.model.tasks.keys().copied().collect();
    // Those that stay are spread over the file.
    let gone = tasks.iter().filter(|task| **task % 50 != 0);
    let forget: Vec<Change> = gone.map(|task| Change::Forget { task: TaskId(*task) }).collect();
    forget.iter().for_each(|change| lives.model.apply(change));
    store.commit(&forget).unwrap();
    drop(store);
    let mut store = RedbStore::new(&folder.0);
    assert!(lives.model.matches(&store.open().unwrap()));
    let compacted = fs::metadata(folder.file()).unwrap().len();
    assert!(compacted < full / 4, "{compacted} of {full}");
    store.commit(&lives.batch(10)).unwrap();
    drop(store);
    assert!(lives.model.matches(&RedbStore::new(&folder.0).open().unwrap()));
}

/// Killed and waited for, also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The test starts itself as another process, which commits until it is killed. What that process has said is done has
/// to be there, and nothing that it never began.
#[test]
fn what_a_killed_process_had_acknowledged_is_there() {
    const COMMITS_TO: &str = "MIDSTREAMER_TEST_COMMITS_TO";
    const SEED: &str = "MIDSTREAMER_TEST_SEED";
    const ROUNDS: u64 = 12;
    const PATIENCE: Duration = Duration::from_secs(60);
    if let Some(folder) = std::env::var_os(COMMITS_TO) {
        let seed = std::env::var(SEED).unwrap().parse().unwrap();
        let (mut store, start) = (RedbStore::new(Path::new(&folder)), Instant::now());
        store.open().unwrap();
        let mut lives = Lives::new(seed, 4_000);
        let mut output = std::io::stderr();
        for number in 1_u64.. {
            store.commit(&lives.batch(20)).unwrap();
            writeln!(output, "committed {number}").unwrap();
            assert!(start.elapsed() < PATIENCE, "nobody killed this process");
        }
    }
    for round in 0..ROUNDS {
        let folder = Folder::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::files::what_a_killed_process_had_acknowledged_is_there", "--exact", "--nocapture"])
            .env(COMMITS_TO, &folder.0)
            .env(SEED, round.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stderr.take().unwrap());
        let mut child = Killed(child);
        let mut acknowledged = 0_u64;
        let wanted = 1 + fastrand::Rng::with_seed(round).u64(..25);
        let mut lines = output.lines().map(Result::unwrap);
        let number =
            |line: &str| line.strip_prefix("committed ").and_then(|number| number.parse::<u64>().ok());
        while acknowledged < wanted {
            let line = lines.next().expect("the child went away by itself");
            acknowledged = number(&line).unwrap_or(acknowledged);
        }
        child.0.kill().unwrap();
        // What it had said before the signal reached it counts as well.
        acknowledged = lines.filter_map(|line| number(&line)).last().unwrap_or(acknowledged);
        drop(child);
        let recovered = RedbStore::new(&folder.0).open().unwrap();
        assert_eq!(recovered.epoch, 2);
        let mut lives = Lives::new(round, 4_000);
        for _ in 0..acknowledged {
            lives.batch(20);
        }
        let acknowledged_there = lives.model.matches(&recovered);
        lives.batch(20);
        assert!(
            acknowledged_there || lives.model.matches(&recovered),
            "round {round} after {acknowledged} commits"
        );
    }
}
