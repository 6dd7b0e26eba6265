//! Where the database is: a file in a data directory, or what a test puts in its place.

use ::redb::StorageBackend;
use ::redb::backends::FileBackend;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A place for one database. It is laid out beside the place where it is looked for, and published when it is whole.
pub trait Storage: Send {
    /// What redb reads and writes.
    type Backend: StorageBackend;

    /// For messages.
    fn name(&self) -> String;

    /// Takes it for as long as this value lives; false when another process has it. May be called again.
    fn lock(&mut self) -> io::Result<bool>;

    /// What was published, if anything was.
    fn find(&mut self) -> io::Result<Option<Self::Backend>>;

    /// Something empty, beside.
    fn create(&mut self) -> io::Result<Self::Backend>;

    /// What was created is what is found from now on, also after a loss of power.
    fn publish(&mut self) -> io::Result<()>;
}

/// `<name>.redb` in a directory. Directory and files are made for their owner alone (0700, 0600), because payloads may be
/// anything; a directory that is there is left as it is.
pub struct DataDirectory {
    directory: PathBuf,
    /// What its files are called, before the dot.
    stem: &'static str,
    lock: Option<File>,
}

impl DataDirectory {
    /// The tasks of this directory. Nothing is touched yet.
    pub fn new(directory: &Path) -> Self {
        Self::named(directory, "tasks")
    }

    /// The experiences of this directory.
    pub fn of_experiences(directory: &Path) -> Self {
        Self::named(directory, "experiences")
    }

    /// The same for another database in that directory.
    pub(in crate::store) fn named(directory: &Path, stem: &'static str) -> Self {
        Self { directory: directory.to_owned(), stem, lock: None }
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}{ending}", self.stem))
    }
}

const FILE: &str = ".redb";
const BESIDE: &str = ".redb.new";
const LOCK: &str = ".lock";

impl Storage for DataDirectory {
    type Backend = FileBackend;

    fn name(&self) -> String {
        self.path(FILE).display().to_string()
    }

    /// A file of its own, because the other one is replaced. The system lets go of it when the process ends.
    fn lock(&mut self) -> io::Result<bool> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.directory)?;
        let file = private(OpenOptions::new().create(true)).open(self.path(LOCK))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn find(&mut self) -> io::Result<Option<FileBackend>> {
        match private(&mut OpenOptions::new()).open(self.path(FILE)) {
            Ok(file) => backend(file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&mut self) -> io::Result<FileBackend> {
        let beside = self.path(BESIDE);
        // Of a start that was killed.
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        backend(private(OpenOptions::new().create_new(true)).open(&beside)?)
    }

    fn publish(&mut self) -> io::Result<()> {
        let beside = self.path(BESIDE);
        private(&mut OpenOptions::new()).open(&beside)?.sync_all()?;
        fs::rename(&beside, self.path(FILE))?;
        flush_directory(&self.directory)
    }
}

fn backend(file: File) -> io::Result<FileBackend> {
    FileBackend::new(file).map_err(io::Error::other)
}

/// To read and write, for the owner alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.read(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes the name of the new file last, and that of a new directory.
#[cfg(unix)]
fn flush_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    let Some(above) = directory.canonicalize()?.parent().map(Path::to_owned) else { return Ok(()) };
    match File::open(above) {
        Ok(above) => above.sync_all(),
        // It is not ours, so the directory was there before.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Elsewhere the file system keeps the order by itself, and a directory cannot be opened for that.
#[cfg(not(unix))]
fn flush_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
