//! Libraries under a key: the same library comes back, and from any other bytes none at all.

use super::{Folder, library, same};
use midstreamer::search::library::file::{FileError, Saved, read, read_sealed, write, write_sealed};
use midstreamer::security::keyring::{Keyring, KeyringError};
use std::fs;
use std::path::Path;

fn keyring(folder: &Folder, name: &str) -> Keyring {
    Keyring::open(&folder.path(name), None).unwrap()
}

#[track_caller]
fn assert_closed(result: Result<Saved, FileError>, about: impl std::fmt::Debug) {
    let closed =
        matches!(&result, Err(FileError::Keyring(KeyringError::Decrypt(_) | KeyringError::NoKey(_))));
    assert!(closed, "{about:?}: {result:?}");
}

fn rewritten(path: &Path, bytes: &[u8], keyring: &Keyring) -> Result<Saved, FileError> {
    fs::write(path, bytes).unwrap();
    read_sealed(path, keyring, "")
}

#[test]
fn sealed_libraries_come_back_to_the_bit() {
    let folder = Folder::new();
    let (keyring, path) = (keyring(&folder, "ring"), folder.path("patterns"));
    let mut negative_zero = library(2, 3);
    negative_zero.values[1] = -0.0;
    // Nothing, one chunk, and many with a last one that is not full.
    for saved in [library(0, 5), negative_zero, library(1, 1), library(700, 100)] {
        write_sealed(&path, &saved, &keyring, "").unwrap();
        assert!(same(&read_sealed(&path, &keyring, "").unwrap(), &saved));
        let bytes = fs::read(&path).unwrap();
        let shows = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!shows(b"AAPL") && !shows(b"endsAt") && !shows(b"MSPL"));
        assert!(saved.values.first().is_none_or(|value| !shows(&value.to_le_bytes())));
        // The same library, sealed again, is other bytes.
        write_sealed(&path, &saved, &keyring, "").unwrap();
        assert_ne!(fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(folder.names(), ["patterns", "ring", "ring.lock"]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let folder = Folder::new();
    let (keyring, path) = (keyring(&folder, "ring"), folder.path("patterns"));
    write_sealed(&path, &library(2, 3), &keyring, "").unwrap();
    let bytes = fs::read(&path).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_closed(rewritten(&path, &changed, &keyring), bit);
    }
    for length in 0..bytes.len() {
        assert_closed(rewritten(&path, &bytes[..length], &keyring), length);
    }
    assert_closed(rewritten(&path, &[&bytes[..], b"\0"].concat(), &keyring), "one byte more");
    assert!(same(&rewritten(&path, &bytes, &keyring).unwrap(), &library(2, 3)));
}

#[test]
fn a_long_file_without_its_end_or_its_middle_is_no_shorter_library() {
    let folder = Folder::new();
    let (keyring, path) = (keyring(&folder, "ring"), folder.path("patterns"));
    write_sealed(&path, &library(300, 100), &keyring, "").unwrap();
    let bytes = fs::read(&path).unwrap();
    let chunk = 65_536 + 16;
    assert!(bytes.len() > 56 + 3 * chunk);
    for chunks in 0..4 {
        assert_closed(rewritten(&path, &bytes[..56 + chunks * chunk], &keyring), chunks);
    }
    let without = [&bytes[..56 + chunk], &bytes[56 + 2 * chunk..]].concat();
    assert_closed(rewritten(&path, &without, &keyring), "without the second");
    let mut last = bytes.clone();
    *last.last_mut().unwrap() ^= 1;
    assert_closed(rewritten(&path, &last, &keyring), "the last byte");
}

#[test]
fn sealed_and_plain_are_never_taken_for_each_other() {
    let folder = Folder::new();
    let (own, other) = (keyring(&folder, "ring"), keyring(&folder, "other"));
    let path = folder.path("patterns");
    write_sealed(&path, &library(3, 4), &own, "").unwrap();
    assert!(matches!(read(&path), Err(FileError::Sealed)));
    assert_closed(read_sealed(&path, &other, ""), "another keyring");
    write(&path, &library(3, 4)).unwrap();
    assert_closed(read_sealed(&path, &own, ""), "a plain file where a sealed one is expected");
    assert!(matches!(read_sealed(&folder.path("none"), &own, ""), Err(FileError::Missing { .. })));
    // What is sealed with the same key for another purpose is no library, even when it would be one.
    let mut foreign = Vec::new();
    let mut writer = own.stream_sealer("another purpose").unwrap().writer(&mut foreign).unwrap();
    std::io::Write::write_all(&mut writer, &fs::read(&path).unwrap()).unwrap();
    writer.finish().unwrap();
    assert_closed(rewritten(&path, &foreign, &own), "another purpose");
}

#[test]
fn what_was_sealed_as_a_library_and_is_none_is_corrupt() {
    let folder = Folder::new();
    let (keyring, path) = (keyring(&folder, "ring"), folder.path("patterns"));
    let mut bytes = Vec::new();
    let mut writer = keyring.stream_sealer("midstreamer.library").unwrap().writer(&mut bytes).unwrap();
    std::io::Write::write_all(&mut writer, &[7; 200]).unwrap();
    writer.finish().unwrap();
    assert!(matches!(rewritten(&path, &bytes, &keyring), Err(FileError::Corrupt { .. })));
}

#[test]
fn a_save_seals_with_the_key_that_is_current() {
    let folder = Folder::new();
    let (keyring, path) = (keyring(&folder, "ring"), folder.path("patterns"));
    let old = keyring.current().unwrap().to_string();
    write_sealed(&path, &library(3, 4), &keyring, "").unwrap();
    keyring.rotate().unwrap();
    let loaded = read_sealed(&path, &keyring, "").unwrap();
    write_sealed(&path, &loaded, &keyring, "").unwrap();
    keyring.remove(&old).unwrap();
    assert!(same(&read_sealed(&path, &keyring, "").unwrap(), &library(3, 4)));
}

#[test]
fn a_keyring_that_is_gone_leaves_the_old_library() {
    let folder = Folder::new();
    let (keyring, path) = (keyring(&folder, "ring"), folder.path("patterns"));
    write_sealed(&path, &library(3, 4), &keyring, "").unwrap();
    fs::remove_file(folder.path("ring")).unwrap();
    let error = write_sealed(&path, &library(5, 6), &keyring, "").unwrap_err();
    assert!(matches!(error, FileError::Keyring(KeyringError::Gone { .. })), "{error}");
    assert!(same(&read_sealed(&path, &keyring, "").unwrap(), &library(3, 4)));
    assert_eq!(folder.names(), ["patterns", "ring.lock"]);
}
