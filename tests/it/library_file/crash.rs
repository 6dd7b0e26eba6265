//! Saves that are cut short: at every operation and every byte, on a storage that forgets what was not flushed; by
//! errors of the storage; and by killing processes that save on the real disk.

use super::{Folder, decoded, library};
use midstreamer::search::library::file::{
    FileError, Saved, Storage, read, read_sealed, write, write_sealed_to, write_to,
};
use midstreamer::security::keyring::Keyring;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

// ------------------------------------------------------------------------------------- a disk that can lose power

/// What keeps a promise and what does not.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Honest,
    /// `sync` does nothing: the file of a save that does not flush.
    UnflushedFiles,
    /// `sync_directory` does nothing.
    UnflushedNames,
}

/// When an operation does not work.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    Never,
    /// Power is lost during the operation of this number; of a write so many bytes are taken. Nothing works later.
    PowerLoss {
        operation: usize,
        bytes: usize,
    },
    /// The operation of this number fails; the next ones work.
    Failure {
        operation: usize,
    },
}

/// A name that was given or taken, which the disk does not have yet. A change is on the disk as a whole or not.
#[derive(Debug, Clone)]
struct Change(Vec<(PathBuf, Option<usize>)>);

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        for (name, file) in &self.0 {
            match file {
                Some(file) => names.insert(name.clone(), *file),
                None => names.remove(name),
            };
        }
    }
}

/// Files are append-only, as a save uses them.
#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    flushed: usize,
}

#[derive(Debug)]
struct State {
    kind: Kind,
    trouble: Trouble,
    operations: usize,
    files: Vec<Content>,
    /// As a running process sees them.
    names: BTreeMap<PathBuf, usize>,
    /// As the disk has them for certain.
    flushed_names: BTreeMap<PathBuf, usize>,
    unflushed: Vec<Change>,
}

impl State {
    /// Counts an operation. `Err` where it does not work; of a write, the bytes that are taken all the same.
    fn operate(&mut self) -> Result<(), (usize, io::Error)> {
        let now = self.operations;
        self.operations += 1;
        match self.trouble {
            Trouble::PowerLoss { operation, bytes } if now >= operation => {
                Err((if now == operation { bytes } else { 0 }, io::Error::other("power was lost")))
            }
            Trouble::Failure { operation } if now == operation => Err((0, io::ErrorKind::StorageFull.into())),
            _ => Ok(()),
        }
    }

    fn step(&mut self) -> io::Result<()> {
        self.operate().map_err(|(_, error)| error)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.unflushed.push(change);
    }
}

/// A directory of files in memory.
#[derive(Debug, Clone)]
struct Model(Rc<RefCell<State>>);

struct ModelFile(Rc<RefCell<State>>, usize);

/// A write takes no more than this: many writes, few bytes to tear each at.
const WRITE_BYTES: usize = 61;

impl Write for ModelFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        let length = bytes.len().min(WRITE_BYTES);
        let (taken, result) = match state.operate() {
            Ok(()) => (length, Ok(length)),
            Err((torn, error)) => (torn.min(length), Err(error)),
        };
        state.files[self.1].bytes.extend_from_slice(&bytes[..taken]);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Storage for Model {
    type File = ModelFile;
    type Directory = ();

    fn resolve(&self, path: &Path) -> Result<PathBuf, FileError> {
        Ok(path.to_owned())
    }

    fn open_directory(&self, _: &Path) -> io::Result<()> {
        self.0.borrow_mut().step()
    }

    fn create(&self, path: &Path, _: &Path) -> io::Result<ModelFile> {
        let mut state = self.0.borrow_mut();
        state.step()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.change(Change(vec![(path.to_owned(), Some(file))]));
        Ok(ModelFile(self.0.clone(), file))
    }

    fn sync(&self, file: &mut ModelFile) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.step()?;
        if state.kind != Kind::UnflushedFiles {
            let content = &mut state.files[file.1];
            content.flushed = content.bytes.len();
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.step()?;
        let file = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.change(Change(vec![(to.to_owned(), Some(file)), (from.to_owned(), None)]));
        Ok(())
    }

    fn sync_directory(&self, (): &mut ()) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.step()?;
        if state.kind != Kind::UnflushedNames {
            state.flushed_names = state.names.clone();
            state.unflushed.clear();
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.step()?;
        state.change(Change(vec![(path.to_owned(), None)]));
        Ok(())
    }
}

const TARGET: &str = "folder/patterns";

impl Model {
    /// With `old` safely on the disk.
    fn with(old: Option<&Saved>, kind: Kind, trouble: Trouble) -> Self {
        let names = BTreeMap::new();
        let state = State {
            kind: Kind::Honest,
            trouble: Trouble::Never,
            operations: 0,
            files: Vec::new(),
            names: names.clone(),
            flushed_names: names,
            unflushed: Vec::new(),
        };
        let model = Self(Rc::new(RefCell::new(state)));
        if let Some(old) = old {
            model.save(old).unwrap();
        }
        let mut state = model.0.borrow_mut();
        (state.kind, state.trouble, state.operations) = (kind, trouble, 0);
        drop(state);
        model
    }

    fn save(&self, saved: &Saved) -> Result<(), FileError> {
        write_to(self, Path::new(TARGET), saved)
    }

    fn operations(&self) -> usize {
        self.0.borrow().operations
    }

    /// What a process reads that goes on running; `None` where there is no file.
    fn read(&self) -> Option<Saved> {
        let state = self.0.borrow();
        state.names.get(Path::new(TARGET)).map(|&file| decoded(&state.files[file].bytes).unwrap())
    }

    fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().map(|name| name.to_str().unwrap().to_owned()).collect()
    }

    /// What may be at the target after a loss of power: of the names that were not flushed any may be on the disk, of
    /// the bytes all, none, some, or the length with zeros in it.
    fn contents(&self) -> Vec<Option<Vec<u8>>> {
        let state = self.0.borrow();
        let mut found = Vec::new();
        for chosen in 0..1_u32 << state.unflushed.len() {
            let mut names = state.flushed_names.clone();
            for (i, change) in state.unflushed.iter().enumerate() {
                if chosen >> i & 1 == 1 {
                    change.apply(&mut names);
                }
            }
            let Some(&file) = names.get(Path::new(TARGET)) else {
                found.push(None);
                continue;
            };
            let Content { bytes, flushed } = &state.files[file];
            let mut zeros = bytes[..*flushed].to_vec();
            zeros.resize(bytes.len(), 0);
            let some = (flushed + bytes.len()) / 2;
            for left in [&bytes[..], &bytes[..*flushed], &bytes[..some], &zeros] {
                found.push(Some(left.to_vec()));
            }
        }
        found
    }

    /// The same as libraries.
    fn outcomes(&self) -> Vec<Result<Option<Saved>, FileError>> {
        self.contents().iter().map(|bytes| bytes.as_deref().map(decoded).transpose()).collect()
    }
}

fn old() -> Saved {
    library(5, 10)
}

fn new() -> Saved {
    library(6, 12)
}

/// Every place at which power may be lost during a save of `new` over `old`: (operation, bytes of a write).
fn every_crash(old: Option<&Saved>) -> Vec<Trouble> {
    let model = Model::with(old, Kind::Honest, Trouble::Never);
    model.save(&new()).unwrap();
    let crash = |operation| (0..=WRITE_BYTES).map(move |bytes| Trouble::PowerLoss { operation, bytes });
    (0..model.operations()).flat_map(crash).collect()
}

/// What goes wrong on a storage of this kind, in words.
fn violations(kind: Kind) -> Vec<String> {
    let mut found = Vec::new();
    for before in [None, Some(old())] {
        for trouble in every_crash(before.as_ref()) {
            let model = Model::with(before.as_ref(), kind, trouble);
            assert!(model.save(&new()).is_err(), "power was lost");
            for outcome in model.outcomes() {
                let whole = matches!(&outcome, Ok(left) if *left == before || *left == Some(new()));
                if !whole {
                    found.push(format!("{trouble:?}: {outcome:?}"));
                }
            }
        }
        let model = Model::with(before.as_ref(), kind, Trouble::Never);
        model.save(&new()).unwrap();
        for outcome in model.outcomes() {
            if !matches!(&outcome, Ok(Some(left)) if *left == new()) {
                found.push(format!("saved, then: {outcome:?}"));
            }
        }
    }
    found
}

#[test]
fn a_crash_at_every_byte_leaves_the_old_or_the_new_library() {
    assert_eq!(violations(Kind::Honest), Vec::<String>::new());
}

/// The model has teeth: it sees a save that forgets to flush the file, or its name.
#[test]
fn a_save_that_flushes_less_would_be_seen() {
    let files = violations(Kind::UnflushedFiles);
    assert!(files.iter().any(|what| what.contains("Corrupt")), "{files:?}");
    let names = violations(Kind::UnflushedNames);
    assert!(names.iter().any(|what| what.starts_with("saved, then")), "{names:?}");
    assert!(names.iter().all(|what| !what.contains("Corrupt")), "{names:?}");
}

#[test]
fn what_a_crash_leaves_behind_harms_no_later_save() {
    for trouble in every_crash(Some(&old())) {
        let model = Model::with(Some(&old()), Kind::Honest, trouble);
        assert!(model.save(&new()).is_err(), "power was lost");
        model.0.borrow_mut().trouble = Trouble::Never;
        let left = model.names().len();
        let third = library(2, 3);
        model.save(&third).unwrap();
        assert_eq!(model.read(), Some(third));
        assert_eq!(model.names().len(), left, "no new name");
    }
}

#[test]
fn a_failed_save_changes_nothing() {
    for before in [None, Some(old())] {
        let model = Model::with(before.as_ref(), Kind::Honest, Trouble::Never);
        model.save(&new()).unwrap();
        let operations = model.operations();
        for operation in 0..operations {
            let model = Model::with(before.as_ref(), Kind::Honest, Trouble::Failure { operation });
            let names = model.names();
            let error = model.save(&new()).unwrap_err();
            assert!(
                matches!(&error, FileError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
            );
            if operation == operations - 1 {
                // The flush of the directory: too late to go back, and the error says what it was.
                assert!(error.to_string().contains("flush the directory of"), "{error}");
                assert_eq!(model.read(), Some(new()));
                assert_eq!(model.names(), [TARGET]);
            } else {
                assert_eq!(model.read(), before, "operation {operation}: {error}");
                assert_eq!(model.names(), names, "operation {operation}: {error}");
            }
        }
    }
}

#[test]
fn a_sealed_save_that_is_cut_short_leaves_the_old_or_the_new_library() {
    let folder = Folder::new();
    let keyring = Keyring::open(&folder.path("ring"), None).unwrap();
    let path = folder.path("left");
    let save = |model: &Model| write_sealed_to(model, Path::new(TARGET), &new(), &keyring, "");
    let is_new = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_sealed(&path, &keyring, "").is_ok_and(|saved| saved == new())
    };
    let whole = Model::with(Some(&old()), Kind::Honest, Trouble::Never);
    save(&whole).unwrap();
    assert!(whole.contents().iter().all(|bytes| is_new(bytes.as_deref().unwrap())));
    for operation in 0..whole.operations() {
        for trouble in [Trouble::PowerLoss { operation, bytes: 7 }, Trouble::Failure { operation }] {
            let model = Model::with(Some(&old()), Kind::Honest, trouble);
            save(&model).unwrap_err();
            for left in model.contents() {
                let left = left.expect("there was a library before");
                let is_old = decoded(&left).is_ok_and(|saved| saved == old());
                assert!(is_old || is_new(&left), "{trouble:?}: {} bytes", left.len());
            }
        }
    }
}

#[test]
fn names_that_are_taken_are_passed_over() {
    /// Says of the first names that they are taken.
    struct Crowded(Model, Cell<usize>);
    impl Storage for Crowded {
        type File = ModelFile;
        type Directory = ();
        fn resolve(&self, path: &Path) -> Result<PathBuf, FileError> {
            self.0.resolve(path)
        }
        fn open_directory(&self, path: &Path) -> io::Result<()> {
            self.0.open_directory(path)
        }
        fn create(&self, path: &Path, like: &Path) -> io::Result<ModelFile> {
            assert_eq!(path.parent(), Some(Path::new("folder")), "a rename stays on one file system");
            if let Some(left) = self.1.get().checked_sub(1) {
                self.1.set(left);
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.0.create(path, like)
        }
        fn sync(&self, file: &mut ModelFile) -> io::Result<()> {
            self.0.sync(file)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn sync_directory(&self, directory: &mut ()) -> io::Result<()> {
            self.0.sync_directory(directory)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.0.remove(path)
        }
    }
    for (taken, works) in [(0, true), (1, true), (15, true), (16, false)] {
        let storage = Crowded(Model::with(None, Kind::Honest, Trouble::Never), Cell::new(taken));
        assert_eq!(write_to(&storage, Path::new(TARGET), &new()).is_ok(), works, "{taken} names taken");
        assert_eq!(storage.0.read().is_some(), works);
    }
}

// ------------------------------------------------------------------------------------------------ killed processes

/// A library of which every part tells its generation.
fn generation(number: usize) -> Saved {
    let patterns = 100 + number % 100;
    Saved {
        ids: (0..patterns).map(|i| format!("{number}-{i}")).collect(),
        meta: vec![Some(number.to_string()); patterns],
        values: vec![number as f64; patterns * 64],
        ..library(patterns, 64)
    }
}

/// The generation of a file, all of which must be of one.
fn read_generation(path: &Path) -> usize {
    let saved = read(path).unwrap();
    let number = saved.values[0] as usize;
    assert!(saved == generation(number), "a mixture that begins with generation {number}");
    number
}

/// Ends with the test, whatever becomes of it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // The process may have ended already, and has to be waited for in any case.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

/// This process starts itself again with the variable set: then it saves until it is killed.
#[test]
fn killed_processes_leave_whole_files() {
    const SAVE_TO: &str = "MIDSTREAMER_TEST_SAVES_TO";
    const ROUNDS: u64 = 25;
    const PATIENCE: Duration = Duration::from_secs(60);
    if let Some(path) = std::env::var_os(SAVE_TO) {
        let path = PathBuf::from(path);
        let (first, start) = (read_generation(&path) + 1, Instant::now());
        for number in first.. {
            write(&path, &generation(number)).unwrap();
            assert!(start.elapsed() < PATIENCE, "nobody killed this process");
        }
    }
    let folder = Folder::new();
    let path = folder.path("patterns");
    write(&path, &generation(0)).unwrap();
    let mut newest = 0;
    for round in 0..ROUNDS {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["library_file::crash::killed_processes_leave_whole_files", "--exact", "--test-threads=1"])
            .env(SAVE_TO, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let child = Killed(child);
        // A reader sees whole files while they are replaced, and they only become newer.
        let start = Instant::now();
        let before = newest;
        while newest == before {
            assert!(start.elapsed() < PATIENCE, "no save in {PATIENCE:?}");
            newest = read_generation(&path);
        }
        let alive = Duration::from_micros(round * 577 % 12_000);
        let since = Instant::now();
        while since.elapsed() < alive {
            let number = read_generation(&path);
            assert!(number >= newest);
            newest = number;
        }
        drop(child);
        let number = read_generation(&path);
        assert!(number >= newest);
        newest = number;
    }
    assert!(newest >= ROUNDS as usize);
    let left = folder.names();
    assert!(left.len() <= 1 + ROUNDS as usize, "at most one file for each kill: {left:?}");
    write(&path, &generation(7)).unwrap();
    assert_eq!(read_generation(&path), 7);
    assert!(left.iter().all(|name| name == "patterns" || name.starts_with(".midstreamer-")), "{left:?}");
    assert_eq!(fs::metadata(&path).unwrap().len(), fs::read(&path).unwrap().len() as u64);
}
