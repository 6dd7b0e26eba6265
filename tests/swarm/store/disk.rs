//! A disk in memory that loses power, runs full, or changes a bit, whenever a test wants.

use midstreamer::store::Storage;
use redb::StorageBackend;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that reach a disk together or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Write {
    Length(usize),
    Bytes { at: usize, bytes: Vec<u8> },
}

/// What fails, counted in operations that change something (writes, changes of length, flushes).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Operation `at` and all after it fail until the fault is taken away.
    From { at: usize },
}

/// A file, by whatever name.
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
    /// Of what was written since the last flush, each sector is there or not.
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
                        // Beyond the end that the file system still knows of there is nothing.
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
    /// What is found: now, and when the power comes back.
    found: Option<usize>,
    safely_found: Option<usize>,
    /// What was created and not published.
    beside: Option<usize>,
    operations: usize,
    fault: Fault,
    /// After a loss of power, who had the disk open has it no more.
    life: u64,
    locked: bool,
}

/// A disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// With nothing on it.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With a store on it.
    pub(crate) fn with(bytes: Vec<u8>) -> Self {
        let inode = Inode { seen: bytes.clone(), safe: bytes, since: Vec::new() };
        let state = State { inodes: vec![inode], found: Some(0), safely_found: Some(0), ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The place of a store.
    pub(crate) fn place(&self) -> Place {
        let life = self.state(|state| state.life);
        Place { disk: self.clone(), life, locked: false }
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.state(|state| state.fault = fault);
    }

    /// Operations so far that change something.
    pub(crate) fn operations(&self) -> usize {
        self.state(|state| state.operations)
    }

    /// The store that is on it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state(|state| state.inodes[state.found.unwrap()].seen.clone())
    }

    /// The power goes and comes back.
    pub(crate) fn lose_power(&self, random: &mut fastrand::Rng) {
        self.state(|state| {
            state.inodes.iter_mut().for_each(|inode| inode.lose_power(random));
            if random.bool() {
                state.found = state.safely_found;
            }
            state.safely_found = state.found;
            (state.fault, state.life, state.locked) = (Fault::None, state.life + 1, false);
        });
    }

    fn change(&self, life: u64, change: impl FnOnce(&mut State)) -> io::Result<()> {
        self.state(|state| {
            if state.life != life {
                return Err(io::Error::other("the power was lost"));
            }
            let number = state.operations;
            state.operations += 1;
            match state.fault {
                Fault::From { at } if number >= at => Err(io::Error::from(ErrorKind::StorageFull)),
                _ => {
                    change(state);
                    Ok(())
                }
            }
        })
    }
}

/// Where one life of a process looks for its store.
#[derive(Debug)]
pub(crate) struct Place {
    disk: Disk,
    life: u64,
    locked: bool,
}

impl Place {
    fn opened(&self, inode: usize) -> Opened {
        Opened { disk: self.disk.clone(), life: self.life, inode }
    }
}

impl Storage for Place {
    type Backend = Opened;

    fn name(&self) -> String {
        "disk".to_owned()
    }

    fn lock(&mut self) -> io::Result<bool> {
        if !self.locked {
            self.locked = self.disk.state(|state| !std::mem::replace(&mut state.locked, true));
        }
        Ok(self.locked)
    }

    fn find(&mut self) -> io::Result<Option<Opened>> {
        Ok(self.disk.state(|state| state.found).map(|inode| self.opened(inode)))
    }

    fn create(&mut self) -> io::Result<Opened> {
        self.disk.change(self.life, |state| {
            state.inodes.push(Inode::default());
            state.beside = Some(state.inodes.len() - 1);
        })?;
        let inode = self.disk.state(|state| state.beside);
        Ok(self.opened(inode.unwrap()))
    }

    /// A flush of the file, a rename, a flush of the directory.
    fn publish(&mut self) -> io::Result<()> {
        let beside = self.disk.state(|state| state.beside).unwrap();
        self.opened(beside).sync_data()?;
        self.disk.change(self.life, |state| state.found = state.beside.take())?;
        self.disk.change(self.life, |state| state.safely_found = state.found)
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

/// A file of the disk, opened by one life of a process.
#[derive(Debug)]
pub(crate) struct Opened {
    disk: Disk,
    life: u64,
    inode: usize,
}

impl Opened {
    fn change(&self, change: impl FnOnce(&mut Inode)) -> io::Result<()> {
        self.disk.change(self.life, |state| change(&mut state.inodes[self.inode]))
    }
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state(|state| state.inodes[self.inode].seen.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        self.disk.state(|state| match state.inodes[self.inode].seen.get(start..start + out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::Error::from(ErrorKind::UnexpectedEof)),
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(|inode| {
            inode.seen.resize(length as usize, 0);
            inode.since.push(Write::Length(length as usize));
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|inode| {
            inode.since.clear();
            inode.safe = inode.seen.clone();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|inode| {
            let (at, bytes) = (offset as usize, data.to_vec());
            let end = at + bytes.len();
            if inode.seen.len() < end {
                inode.seen.resize(end, 0);
                inode.since.push(Write::Length(end));
            }
            inode.seen[at..end].copy_from_slice(&bytes);
            inode.since.push(Write::Bytes { at, bytes });
        })
    }
}
