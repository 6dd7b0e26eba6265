//! Where the lines are: files of a directory, or what a test puts in its place.

use super::AuditError;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What a verifier needs of a directory.
pub trait Shelf {
    /// For messages.
    fn name(&self) -> String;

    /// The names of its files, in any order.
    fn names(&self) -> io::Result<Vec<String>>;

    /// A file from its beginning; `None` when there is no such file.
    fn reader(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>>;

    /// Whether a file that is read may grow meanwhile: half a line at its end is then looked at again.
    fn may_grow(&self) -> bool {
        true
    }
}

/// What the log needs of it.
pub trait Disk: Shelf + Send {
    /// A file that lines are appended to.
    type File: Segment;

    /// Takes it for as long as this value lives; false when another process has it.
    fn lock(&mut self) -> io::Result<bool>;

    /// Replaces a small file: the old one or the new one is there at any time, the new one for good on return.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// An empty file, which is found after a loss of power too. One of that name that is there is emptied.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;

    /// A file that is there.
    fn open(&mut self, name: &str) -> io::Result<Self::File>;
}

/// A file that lines are appended to.
pub trait Segment: Send {
    /// Its bytes.
    fn length(&self) -> io::Result<u64>;

    /// Writes all of the bytes.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Drops what is beyond.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Returns when everything is durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// Others can read it.
#[derive(Debug)]
struct TooOpen {
    path: PathBuf,
    mode: u32,
}

impl fmt::Display for TooOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has the permissions {:04o}; nobody but its owner may have access (0700 for the directory, 0600 for the files)",
            self.path.display(),
            self.mode
        )
    }
}

impl std::error::Error for TooOpen {}

impl AuditError {
    /// What the system said about the log at `place`.
    pub(super) fn of_io(place: &str, error: &io::Error) -> Self {
        match error.get_ref() {
            Some(inner) if inner.is::<TooOpen>() => Self::Permissions(inner.to_string()),
            _ => Self::Store(format!("{place}: {error}")),
        }
    }
}

/// A directory for its owner alone (0700, its files 0600); anything wider is refused rather than narrowed, because what
/// others could write until now may have been written by them. On Windows the access list of the parent applies.
pub struct AuditDirectory {
    path: PathBuf,
    lock: Option<File>,
}

const LOCK: &str = "lock";

impl AuditDirectory {
    /// Of this path. Nothing is touched yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None }
    }

    fn writable(&self, options: &mut OpenOptions, name: &str) -> io::Result<File> {
        options.read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
        let path = self.path.join(name);
        let file = options.open(&path)?;
        check_private(&path, &file.metadata()?)?;
        Ok(file)
    }

    /// The names of new files last from here on.
    #[cfg(unix)]
    fn flush(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// NTFS keeps the order of its names in its own journal, and a directory cannot be opened for that.
    #[cfg(not(unix))]
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Shelf for AuditDirectory {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn reader(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        match open_regular(&self.path.join(name)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Disk for AuditDirectory {
    type File = File;

    fn lock(&mut self) -> io::Result<bool> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.path)?;
        check_private(&self.path, &fs::metadata(&self.path)?)?;
        let file = self.writable(OpenOptions::new().create(true).truncate(false), LOCK)?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                for name in self.names()? {
                    let path = self.path.join(name);
                    check_private(&path, &fs::metadata(&path)?)?;
                }
                flush_parent(&self.path)?;
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let part = format!("{name}.new");
        // Made afresh: a file that a crash left could have been made with other permissions.
        match fs::remove_file(self.path.join(&part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = self.writable(OpenOptions::new().create_new(true), &part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(self.path.join(&part), self.path.join(name))?;
        self.flush()
    }

    fn create(&mut self, name: &str) -> io::Result<File> {
        let file = self.writable(OpenOptions::new().create(true).truncate(true), name)?;
        file.sync_all()?;
        self.flush()?;
        Ok(file)
    }

    fn open(&mut self, name: &str) -> io::Result<File> {
        self.writable(&mut OpenOptions::new(), name)
    }
}

impl Segment for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// To read. What is no file (a pipe would wait for ever) is refused.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other(format!("{} is not a regular file", path.display())));
    }
    File::open(path)
}

#[cfg(unix)]
fn check_private(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, TooOpen { path: path.to_owned(), mode }))
}

#[cfg(not(unix))]
fn check_private(_: &Path, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// The name of a new directory lasts from here on.
#[cfg(unix)]
fn flush_parent(path: &Path) -> io::Result<()> {
    let Some(above) = path.canonicalize()?.parent().map(Path::to_owned) else { return Ok(()) };
    match File::open(above) {
        Ok(above) => above.sync_all(),
        // It is not ours, so the directory was there before.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn flush_parent(_: &Path) -> io::Result<()> {
    Ok(())
}
