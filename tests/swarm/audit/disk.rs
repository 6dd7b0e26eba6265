//! A directory in memory that loses power or runs full, whenever a test wants.

use midstreamer::security::audit::{Disk, Segment, Shelf};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that reach a disk together or not at all.
const SECTOR: usize = 64;

#[derive(Debug, Clone)]
enum Write {
    Length(usize),
    Bytes { at: usize, bytes: Vec<u8> },
}

/// What fails, counted in operations that change something.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Operation `at` and all after it fail until the fault is taken away; the first one, a write, is done in part.
    From { at: usize },
    /// There is room for so many more bytes.
    Full { left: usize },
    /// Every flush fails, and what it should have kept stays in the balance.
    Flushes,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What a reader of the running system sees.
    seen: Vec<u8>,
    /// What is there when the power comes back: everything before the last flush.
    safe: Vec<u8>,
    /// Since the last flush; of these, any part may have reached the disk.
    since: Vec<Write>,
}

impl Inode {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
            self.since.push(Write::Length(end));
        }
        self.seen[at..end].copy_from_slice(bytes);
        self.since.push(Write::Bytes { at, bytes: bytes.to_vec() });
    }

    fn lose_power(&mut self, random: &mut fastrand::Rng) {
        // Often all or nothing, which chance alone would hardly ever try.
        let kept = [0, 100, 50, 95, 5][random.usize(..5)];
        let mut disk = std::mem::take(&mut self.safe);
        for write in self.since.drain(..) {
            match write {
                Write::Length(length) if random.u8(..100) < kept => disk.resize(length, 0),
                Write::Length(_) => {}
                Write::Bytes { at, bytes } => {
                    for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                        let start = at + index * SECTOR;
                        let end = (start + sector.len()).min(disk.len());
                        if random.u8(..100) < kept && start < end {
                            disk[start..end].copy_from_slice(&sector[..end - start]);
                        }
                    }
                }
            }
        }
        (self.seen, self.safe) = (disk.clone(), disk);
    }
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    /// Names: now, and when the power comes back.
    names: BTreeMap<String, usize>,
    safe_names: BTreeMap<String, usize>,
    operations: usize,
    fault: Fault,
    /// After a loss of power, who had the disk open has it no more.
    life: u64,
    locked: bool,
}

impl State {
    fn make(&mut self, name: &str) -> usize {
        if let Some(&inode) = self.names.get(name) {
            return inode;
        }
        self.inodes.push(Inode::default());
        self.names.insert(name.to_owned(), self.inodes.len() - 1);
        self.inodes.len() - 1
    }
}

/// A directory. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Model(Arc<Mutex<State>>);

impl Model {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A life of a process in it.
    pub(super) fn place(&self) -> Place {
        let life = self.state(|state| state.life);
        Place { disk: self.clone(), life, locked: false }
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        self.state(|state| state.fault = fault);
    }

    pub(super) fn operations(&self) -> usize {
        self.state(|state| state.operations)
    }

    /// What is in its files.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.state(|state| {
            state
                .names
                .iter()
                .map(|(name, &inode)| (name.clone(), state.inodes[inode].seen.clone()))
                .collect()
        })
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.state(|state| {
            let inode = state.make(name);
            state.inodes[inode] = Inode { seen: bytes.clone(), safe: bytes, since: Vec::new() };
            state.safe_names.insert(name.to_owned(), inode);
        });
    }

    pub(super) fn remove(&self, name: &str) {
        self.state(|state| {
            state.names.remove(name);
            state.safe_names.remove(name);
        });
    }

    /// The same files in another directory.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::new();
        for (name, bytes) in self.files() {
            copy.put(&name, bytes);
        }
        copy
    }

    /// The power goes and comes back.
    pub(super) fn lose_power(&self, random: &mut fastrand::Rng) {
        self.state(|state| {
            state.inodes.iter_mut().for_each(|inode| inode.lose_power(random));
            if random.bool() {
                state.names = state.safe_names.clone();
            }
            state.safe_names = state.names.clone();
            (state.fault, state.life, state.locked) = (Fault::None, state.life + 1, false);
        });
    }

    /// An operation that changes something; `growth` is what it needs of the room that is left.
    fn change(&self, life: u64, growth: usize, change: impl FnOnce(&mut State, bool)) -> io::Result<()> {
        self.state(|state| {
            if state.life != life {
                return Err(io::Error::other("the power was lost"));
            }
            let number = state.operations;
            state.operations += 1;
            let full = || Err(io::Error::from(ErrorKind::StorageFull));
            match &mut state.fault {
                Fault::From { at } if number > *at => full(),
                Fault::From { at } if number == *at => {
                    change(state, false);
                    full()
                }
                Fault::Full { left } if growth > *left => {
                    change(state, false);
                    full()
                }
                Fault::Full { left } => {
                    *left -= growth;
                    change(state, true);
                    Ok(())
                }
                Fault::Flushes | Fault::None | Fault::From { .. } => {
                    change(state, true);
                    Ok(())
                }
            }
        })
    }
}

/// Where one life of a process has its log.
#[derive(Debug)]
pub(super) struct Place {
    disk: Model,
    life: u64,
    locked: bool,
}

impl Place {
    fn flush_names(&self) -> io::Result<()> {
        self.disk.change(self.life, 0, |state, whole| {
            if whole {
                state.safe_names = state.names.clone();
            }
        })
    }
}

impl Shelf for Place {
    fn name(&self) -> String {
        "model".to_owned()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.state(|state| state.names.keys().cloned().collect()))
    }

    fn reader(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(self.disk.files().remove(name).map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read>))
    }

    fn may_grow(&self) -> bool {
        false
    }
}

impl Disk for Place {
    type File = Opened;

    fn lock(&mut self) -> io::Result<bool> {
        if !self.locked {
            self.locked = self.disk.state(|state| !std::mem::replace(&mut state.locked, true));
        }
        Ok(self.locked)
    }

    /// A removal, a new file, a write, a flush, a rename, a flush of the directory.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let part = format!("{name}.new");
        self.disk.change(self.life, 0, |state, whole| {
            if whole {
                state.names.remove(&part);
            }
        })?;
        let mut file = Opened { disk: self.disk.clone(), life: self.life, inode: self.make(&part)? };
        file.write_at(0, bytes)?;
        file.sync()?;
        self.disk.change(self.life, 0, |state, whole| {
            if whole && let Some(inode) = state.names.remove(&part) {
                state.names.insert(name.to_owned(), inode);
            }
        })?;
        self.flush_names()
    }

    fn create(&mut self, name: &str) -> io::Result<Opened> {
        let inode = self.make(name)?;
        let mut file = Opened { disk: self.disk.clone(), life: self.life, inode };
        file.truncate(0)?;
        file.sync()?;
        self.flush_names()?;
        Ok(file)
    }

    fn open(&mut self, name: &str) -> io::Result<Opened> {
        let inode = self.disk.state(|state| state.names.get(name).copied());
        let inode = inode.ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        Ok(Opened { disk: self.disk.clone(), life: self.life, inode })
    }
}

impl Place {
    fn make(&self, name: &str) -> io::Result<usize> {
        let mut made = None;
        self.disk.change(self.life, 0, |state, whole| made = whole.then(|| state.make(name)))?;
        Ok(made.unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.locked {
            self.disk.state(|state| {
                if state.life == self.life {
                    state.locked = false;
                }
            });
        }
    }
}

/// A file of the directory, opened by one life of a process.
#[derive(Debug)]
pub(super) struct Opened {
    disk: Model,
    life: u64,
    inode: usize,
}

impl Segment for Opened {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state(|state| state.inodes[self.inode].seen.len() as u64))
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        self.disk.change(self.life, bytes.len(), |state, whole| {
            // A write that fails has got somewhere.
            let end = if whole { bytes.len() } else { bytes.len() / 2 };
            state.inodes[self.inode].write(at, &bytes[..end]);
        })
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.change(self.life, 0, |state, whole| {
            if whole {
                let inode = &mut state.inodes[self.inode];
                inode.seen.resize(length as usize, 0);
                inode.since.push(Write::Length(length as usize));
            }
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.disk.state(|state| state.fault == Fault::Flushes) {
            return Err(io::Error::other("the flush failed"));
        }
        self.disk.change(self.life, 0, |state, whole| {
            if whole {
                let inode = &mut state.inodes[self.inode];
                inode.since.clear();
                inode.safe = inode.seen.clone();
            }
        })
    }
}
