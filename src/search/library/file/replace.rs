//! Replacing a file whole or not at all.
//!
//! Write beside it, flush, rename, flush the directory: the order that POSIX file systems need (Pillai and others, "All
//! file systems are not created equal", OSDI 2014). The steps are written over a small [`Storage`], so that tests can
//! stop them anywhere.

use super::FileError;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The operations by which a file replaces another.
pub trait Storage {
    /// Open for writing. Dropping it closes it.
    type File: Write;
    /// Open, so that it can be flushed.
    type Directory;

    /// The file that `path` means: itself, or what the symbolic link there points to, which need not exist.
    fn resolve(&self, path: &Path) -> Result<PathBuf, FileError>;
    /// Opens a directory, before anything in it changes.
    fn open_directory(&self, path: &Path) -> io::Result<Self::Directory>;
    /// Creates a file that must not exist, with the permissions of `like` if that exists.
    fn create(&self, path: &Path, like: &Path) -> io::Result<Self::File>;
    /// Returns when what was written would survive a loss of power.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    /// Gives a file another name; one that had it before is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns when the names in the directory would survive a loss of power.
    fn sync_directory(&self, directory: &mut Self::Directory) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// Names are random: when even one is taken, somebody left a file; when this many are, something is wrong.
const ATTEMPTS: usize = 16;

/// Puts what `fill` writes in place of the file at `path`.
pub(super) fn replace<S: Storage>(
    storage: &S,
    path: &Path,
    fill: impl FnOnce(&mut S::File) -> io::Result<()>,
) -> Result<(), FileError> {
    let target = storage.resolve(path)?;
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut directory =
        storage.open_directory(folder).map_err(FileError::io(folder, "open the directory"))?;
    let (temporary, mut file) = create_beside(storage, folder, &target)?;

    let written = fill(&mut file).map_err(FileError::io(&temporary, "write"));
    let synced = written.and_then(|()| storage.sync(&mut file).map_err(FileError::io(&temporary, "flush")));
    // Windows renames no open file.
    drop(file);
    let renamed = synced.and_then(|()| {
        storage.rename(&temporary, &target).map_err(FileError::io(&target, "rename a new file to"))
    });
    if let Err(error) = renamed {
        // The error that matters is the first. A file that cannot be removed stays behind, which harms nobody.
        storage.remove(&temporary).ok();
        return Err(error);
    }
    storage.sync_directory(&mut directory).map_err(FileError::io(&target, "flush the directory of"))
}

/// A new file in `folder`, under a name that nothing has. The name is short whatever that of the target is.
fn create_beside<S: Storage>(
    storage: &S,
    folder: &Path,
    target: &Path,
) -> Result<(PathBuf, S::File), FileError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let unique = RandomState::new().hash_one((std::process::id(), attempts));
        let path = folder.join(format!(".midstreamer-{unique:016x}.tmp"));
        match storage.create(&path, target) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempts < ATTEMPTS => {}
            Err(error) => return Err(FileError::io(&path, "create")(error)),
        }
    }
}

/// The file systems of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

/// As many symbolic links in a row as Linux follows.
const MAX_LINKS: usize = 40;

impl Storage for Disk {
    type File = File;
    /// `None` where directories are not flushed.
    type Directory = Option<File>;

    fn resolve(&self, path: &Path) -> Result<PathBuf, FileError> {
        let mut target = path.to_owned();
        for _ in 0..MAX_LINKS {
            match fs::symlink_metadata(&target) {
                Ok(found) if found.is_file() => return Ok(target),
                Ok(found) if found.is_symlink() => {
                    let link = fs::read_link(&target).map_err(FileError::io(&target, "follow"))?;
                    target = target.parent().unwrap_or(Path::new("")).join(link);
                }
                Ok(_) => return Err(FileError::NotAFile { path: target }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(target),
                Err(error) => return Err(FileError::io(&target, "open")(error)),
            }
        }
        let source = io::Error::other("too many symbolic links");
        Err(FileError::io(path, "follow")(source))
    }

    /// Windows has no such operation: NTFS journals its names itself.
    fn open_directory(&self, path: &Path) -> io::Result<Self::Directory> {
        if cfg!(unix) { File::open(path).map(Some) } else { Ok(None) }
    }

    #[cfg(unix)]
    fn create(&self, path: &Path, like: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let permissions = match fs::metadata(like) {
            Ok(existing) => existing.permissions(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return options.open(path),
            Err(error) => return Err(error),
        };
        // From its first moment nobody may read it who could not read the old one.
        let file = options.mode(0o600).open(path)?;
        match file.set_permissions(permissions) {
            Ok(()) => Ok(file),
            Err(error) => {
                // As in replace(): the first error matters.
                fs::remove_file(path).ok();
                Err(error)
            }
        }
    }

    /// Inherits the access list of its directory, as the old file did.
    #[cfg(not(unix))]
    fn create(&self, path: &Path, _like: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    /// On macOS this is F_FULLFSYNC.
    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, directory: &mut Self::Directory) -> io::Result<()> {
        directory.as_ref().map_or(Ok(()), File::sync_all)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
