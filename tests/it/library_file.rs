//! The file of a pattern library: round trips, every damage there is, hostile bytes, and the file as an object of the
//! operating system. Crashes are in `crash`; `layout` writes the format a second time, from docs/library-file.md.

mod crash;
mod fuzz;
mod layout;
mod sealed;

use layout::Layout;
use midstreamer::kernels::dtw::Metric;
use midstreamer::kernels::normalize::Normalize;
use midstreamer::search::library::file::{FileError, Saved, VERSION, decode, encode, read, write};
use proptest::prelude::*;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("midstreamer-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        // A second panic would hide the first.
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// Of `patterns` patterns, all different, some with meta.
fn library(patterns: usize, length: usize) -> Saved {
    Saved {
        length,
        channels: 1,
        window: Some(length / 10),
        metric: Metric::Squared,
        normalize: Normalize::Zscore,
        ids: (0..patterns).map(|i| format!("AAPL 2024-{i} \u{20ac}")).collect(),
        meta: (0..patterns)
            .map(|i| (i % 3 > 0).then(|| format!("{{\"endsAt\":{i},\"n\":\"\u{e9}\"}}")))
            .collect(),
        // Divided, so that every bit of the mantissa is used; by arithmetic that is the same everywhere.
        values: (0..patterns * length).map(|i| (i * 7919 % 1009) as f64 / 7.0 - 70.0).collect(),
    }
}

fn encoded(saved: &Saved) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(saved, &mut bytes, Path::new("memory")).unwrap();
    bytes
}

/// As a file that holds exactly these bytes.
fn decoded(bytes: &[u8]) -> Result<Saved, FileError> {
    decode(bytes, bytes.len() as u64, Path::new("memory"))
}

/// Equality that tells 0 from -0.
fn same(a: &Saved, b: &Saved) -> bool {
    a == b && a.values.iter().zip(&b.values).all(|(x, y)| x.to_bits() == y.to_bits())
}

#[track_caller]
fn assert_corrupt(result: Result<Saved, FileError>, about: impl std::fmt::Debug) {
    assert!(matches!(result, Err(FileError::Corrupt { .. })), "{about:?}: {result:?}");
}

fn finite() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite())
}

fn any_library() -> impl Strategy<Value = Saved> {
    let text = prop_oneof![
        any::<String>(),
        prop::collection::vec(any::<char>(), 0..3000).prop_map(String::from_iter)
    ];
    let shape = (0..12_usize, 1..50_usize, 1..4_usize);
    let options = (
        any::<Option<usize>>(),
        prop_oneof![Just(Metric::Absolute), Just(Metric::Squared), Just(Metric::Euclidean)],
        prop_oneof![Just(Normalize::None), Just(Normalize::Zscore), Just(Normalize::Minmax)],
    );
    (shape, options).prop_flat_map(move |((patterns, length, channels), (window, metric, normalize))| {
        (
            prop::collection::hash_set(text.clone(), patterns),
            prop::collection::vec(prop::option::of(text.clone()), patterns),
            prop::collection::vec(finite(), patterns * length * channels),
        )
            .prop_map(move |(ids, meta, values)| {
                let ids = ids.into_iter().collect();
                Saved { length, channels, window, metric, normalize, ids, meta, values }
            })
    })
}

// ---------------------------------------------------------------------------------------------------- round trips

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(saved in any_library()) {
        let bytes = encoded(&saved);
        prop_assert_eq!(&bytes, &Layout::of(&saved).bytes(), "not what the documentation says");
        prop_assert!(same(&decoded(&bytes).unwrap(), &saved));
    }
}

#[test]
fn files_replace_files() {
    let folder = Folder::new();
    let path = folder.path("patterns");
    for saved in [library(300, 64), library(0, 5), library(7, 3), library(1, 1)] {
        write(&path, &saved).unwrap();
        assert!(same(&read(&path).unwrap(), &saved));
        assert_eq!(folder.names(), ["patterns"]);
    }
}

#[test]
fn lengths_around_a_block_are_read() {
    // A body of two blocks exactly, one byte less, one more.
    for extra in 8192 - 4 - 4 - 8 - 20..8192 - 4 - 4 - 8 + 20 {
        let saved =
            Saved { meta: vec![None], ids: vec!["x".repeat(extra)], values: vec![1.5], ..library(1, 1) };
        assert!(same(&decoded(&encoded(&saved)).unwrap(), &saved), "{extra}");
    }
}

/// A file of the first release: every later one has to read it. It is never written again.
#[test]
fn a_file_of_version_1_stays_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/library-v1.mspl");
    let saved = Saved { channels: 2, values: library(60, 20).values, ..library(60, 10) };
    assert!(same(&read(&path).unwrap(), &saved));
    assert_eq!(fs::read(&path).unwrap(), encoded(&saved), "the same library makes the same bytes");
}

/// Counts what it hands out at a time.
struct Largest<'a>(&'a [u8], usize);

impl Read for Largest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1.max(buffer.len());
        self.0.read(buffer)
    }
}

#[test]
fn reading_goes_through_a_small_buffer() {
    let bytes = encoded(&library(1000, 128));
    let mut source = Largest(&bytes, 0);
    decode(&mut source, bytes.len() as u64, Path::new("memory")).unwrap();
    assert!((1..=1 << 16).contains(&source.1), "{} bytes at a time", source.1);
}

// --------------------------------------------------------------------------------------------------------- damage

/// Three blocks, the last one short.
fn three_blocks() -> (Saved, Vec<u8>) {
    let saved = library(30, 35);
    let bytes = encoded(&saved);
    assert!((8192..12288).contains(&bytes.len()), "{}", bytes.len());
    (saved, bytes)
}

#[test]
fn every_truncation_is_found() {
    let (_, bytes) = three_blocks();
    for length in 0..bytes.len() {
        assert_corrupt(decoded(&bytes[..length]), length);
        // The file shrank after its size was taken.
        assert_corrupt(decode(&bytes[..length], bytes.len() as u64, Path::new("memory")), length);
    }
}

#[test]
fn bytes_behind_the_end_are_found() {
    let (_, bytes) = three_blocks();
    for extra in [1, 4, 12, 4100, 100_000] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + extra, 0);
        assert_corrupt(decoded(&longer), extra);
        // The file grew after its size was taken.
        assert_corrupt(decode(&*longer, bytes.len() as u64, Path::new("memory")), extra);
    }
    assert_corrupt(decoded(&[&*bytes, &*bytes].concat()), "twice");
}

#[test]
fn every_flipped_bit_is_found() {
    let (_, mut bytes) = three_blocks();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_corrupt(decoded(&bytes), bit);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(decoded(&bytes).is_ok());
}

#[test]
fn every_two_flipped_bits_of_a_small_file_are_found() {
    let mut bytes = encoded(&library(1, 1));
    let bits = bytes.len() * 8;
    let flip = |bytes: &mut [u8], bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
    for first in 0..bits {
        flip(&mut bytes, first);
        for second in first + 1..bits {
            flip(&mut bytes, second);
            assert!(decoded(&bytes).is_err(), "{first} {second}");
            flip(&mut bytes, second);
        }
        flip(&mut bytes, first);
    }
}

#[test]
fn every_byte_set_to_zeros_or_ones_is_found() {
    let (_, bytes) = three_blocks();
    for (at, fill) in (0..bytes.len()).flat_map(|at| [(at, 0x00), (at, 0xff)]) {
        for length in [1, 4, 512] {
            let mut damaged = bytes.clone();
            let end = bytes.len().min(at + length);
            damaged[at..end].fill(fill);
            if damaged != bytes && (length < 512 || at % 64 == 0) {
                assert_corrupt(decoded(&damaged), (at, fill, length));
            }
        }
    }
}

#[test]
fn blocks_of_another_place_or_file_are_found() {
    let (saved, bytes) = three_blocks();
    let other = encoded(&Saved { values: saved.values.iter().map(|x| x + 1.0).collect(), ..saved });
    assert_eq!(other.len(), bytes.len());
    let block = |i: usize| 92 + i * 4100..92 + ((i + 1) * 4100);
    let mut swapped = bytes.clone();
    swapped[block(0)].copy_from_slice(&bytes[block(1)]);
    swapped[block(1)].copy_from_slice(&bytes[block(0)]);
    assert_corrupt(decoded(&swapped), "swapped");
    let mut doubled = bytes.clone();
    doubled[block(1)].copy_from_slice(&bytes[block(0)]);
    assert_corrupt(decoded(&doubled), "doubled");
    // A mixture of two saves that agree in header and size, at every block and at every sector.
    for at in (92..bytes.len()).step_by(4100).chain((512..bytes.len()).step_by(512)) {
        for (a, b) in [(&bytes, &other), (&other, &bytes)] {
            let mixed = [&a[..at], &b[at..]].concat();
            if mixed != bytes && mixed != other {
                assert_corrupt(decoded(&mixed), at);
            }
        }
    }
}

// -------------------------------------------------------------------------- bytes with checksums that are right

#[test]
fn later_versions_and_features_are_told_apart_from_damage() {
    let saved = library(3, 4);
    for version in [2, 3, 1 << 16, u32::MAX] {
        let mut layout = Layout { version, ..Layout::of(&saved) };
        // Nothing behind the prelude has to mean what it means now.
        layout.body = vec![7; 50];
        layout.file_bytes = Some(3);
        let result = decoded(&layout.bytes());
        assert!(
            matches!(result, Err(FileError::Schema { found, supported: VERSION }) if found == version),
            "{result:?}"
        );
        assert!(matches!(decoded(&layout.bytes()[..28]), Err(FileError::Schema { .. })));
        assert_corrupt(decoded(&layout.bytes()[..27]), "cut in the prelude");
    }
    assert_corrupt(decoded(&Layout { version: 0, ..Layout::of(&saved) }.bytes()), "version 0");
    for bit in 0..32 {
        let layout = Layout { required: 1 << bit, ..Layout::of(&saved) };
        let result = decoded(&layout.bytes());
        assert!(matches!(result, Err(FileError::Features { unknown }) if unknown == 1 << bit), "{result:?}");
    }
}

#[test]
fn optional_features_and_fields_are_passed_over() {
    let saved = library(30, 35);
    for extra in [0, 1, 8, 500, 4096 - 92] {
        let layout = Layout { optional: u32::MAX, more_header: vec![0xa5; extra], ..Layout::of(&saved) };
        assert!(same(&decoded(&layout.bytes()).unwrap(), &saved), "{extra}");
    }
    let too_long = Layout { more_header: vec![0; 4096 - 92 + 1], ..Layout::of(&saved) };
    assert_corrupt(decoded(&too_long.bytes()), "header of 4097 bytes");
    for header_bytes in [0, 4, 28, 32, 91, u32::MAX] {
        let layout = Layout { header_bytes: Some(header_bytes), ..Layout::of(&saved) };
        assert_corrupt(decoded(&layout.bytes()), header_bytes);
    }
}

#[test]
fn impossible_headers_are_refused_before_anything_is_allocated() {
    let saved = library(3, 4);
    const HUGE: [u64; 9] = [0, 4, 1 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 61, (1 << 62) + 1, u64::MAX];
    for field in 0..5 {
        for value in HUGE {
            let mut layout = Layout::of(&saved);
            let place = [
                &mut layout.patterns,
                &mut layout.length,
                &mut layout.channels,
                &mut layout.id_bytes,
                &mut layout.meta_bytes,
            ]
            .into_iter()
            .nth(field)
            .unwrap();
            if *place == value {
                continue;
            }
            *place = value;
            assert_corrupt(decoded(&layout.bytes()), (field, value));
            // And when the header agrees with itself about the size: then it is not that of the file.
            layout.file_bytes = layout.told_bytes();
            let error = decoded(&layout.bytes()).unwrap_err().to_string();
            let at_once =
                ["where its header tells of", "contradict each other", "have room for", "without values"];
            assert!(at_once.iter().any(|what| error.contains(what)), "field {field} = {value}: {error}");
        }
    }
    // Three patterns need twelve bytes for the lengths alone.
    for layout in
        [Layout { id_bytes: 11, ..Layout::of(&saved) }, Layout { meta_bytes: 11, ..Layout::of(&saved) }]
    {
        let told = layout.told_bytes();
        let bytes = Layout { file_bytes: told, ..layout }.bytes();
        let error = decode(&*bytes, told.unwrap(), Path::new("memory")).unwrap_err().to_string();
        assert!(error.contains("have room for"), "{error}");
    }
    for (metric, normalize, banded, reserved) in
        [(3, 0, 1, 0), (255, 0, 1, 0), (0, 3, 1, 0), (0, 0, 2, 0), (0, 0, 0, 0), (0, 0, 1, 1)]
    {
        let layout = Layout { codes: [metric, normalize, banded, reserved], window: 7, ..Layout::of(&saved) };
        assert_corrupt(decoded(&layout.bytes()), layout.codes);
    }
}

/// `saved` with other bytes in its body, under right checksums.
fn with_body(saved: &Saved, ids: &[u8], meta: &[u8], values: &[f64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut layout = Layout::of(saved);
    (layout.id_bytes, layout.meta_bytes) = (ids.len() as u64, meta.len() as u64);
    layout.body = [ids, meta, &values].concat();
    layout.bytes()
}

#[test]
fn impossible_bodies_are_refused() {
    let saved = Saved { ids: vec!["a".into(), "b".into()], meta: vec![None, None], ..library(2, 1) };
    let (ids, meta) = (b"\x01\0\0\0a\x01\0\0\0b", b"\xff\xff\xff\xff\xff\xff\xff\xff");
    let values = &*saved.values;
    assert!(same(&decoded(&with_body(&saved, ids, meta, values)).unwrap(), &saved));

    let refused: [(&str, &[u8]); 8] = [
        ("the same id twice", b"\x01\0\0\0a\x01\0\0\0a"),
        ("no id", b"\x01\0\0\0a\xff\xff\xff\xff"),
        ("cut inside a character", b"\x01\0\0\0\xc3\x01\0\0\0b"),
        ("a surrogate", b"\x03\0\0\0\xed\xa0\x80\x01\0\0\0b"),
        ("longer than the section", b"\x01\0\0\0a\x02\0\0\0b"),
        ("no room for the second length", b"\x03\0\0\0a\x01\0\0\0b"),
        ("much longer than the file", b"\xfe\xff\xff\xff\x61\x01\0\0\0b"),
        ("shorter than the section", b"\x01\0\0\0a\x01\0\0\0bc"),
    ];
    for (about, ids) in refused {
        assert_corrupt(decoded(&with_body(&saved, ids, meta, values)), about);
    }
    for meta in
        [&b"\x01\0\0\0\xff\xff\xff\xff\xff"[..], b"\x01\0\0\0", b"\x09\0\0\0\0\0\0\0", b"\0\0\0\0\0\0\0\0\0"]
    {
        assert_corrupt(decoded(&with_body(&saved, ids, meta, values)), meta);
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_corrupt(decoded(&with_body(&saved, ids, meta, &[1.0, value])), value);
    }
}

#[test]
fn no_library_is_refused_by_name() {
    let good = library(2, 3);
    let refused = [
        (Saved { length: 0, values: vec![], ..good.clone() }, "0 values for 2 patterns of 0 x 1"),
        (Saved { channels: 0, values: vec![], ..good.clone() }, "0 values for 2 patterns of 3 x 0"),
        (Saved { channels: usize::MAX, ..good.clone() }, "6 values for 2 patterns of 3 x"),
        (Saved { values: vec![1.0; 5], ..good.clone() }, "5 values for 2 patterns of 3 x 1"),
        (Saved { meta: vec![None], ..good.clone() }, "2 ids with 1 meta"),
        (
            Saved { ids: vec!["a".into(), "a".into()], ..good.clone() },
            "ids[1] stands for two patterns: \"a\"",
        ),
        (Saved { values: vec![0.0, 1.0, f64::NAN, 1.0, 1.0, 1.0], ..good.clone() }, "values[2] is NaN"),
    ];
    let folder = Folder::new();
    let path = folder.path("patterns");
    write(&path, &good).unwrap();
    for (saved, what) in refused {
        let error = write(&path, &saved).unwrap_err();
        assert!(matches!(error, FileError::Invalid { .. }) && error.to_string().contains(what), "{error}");
    }
    assert!(same(&read(&path).unwrap(), &good));
    assert_eq!(folder.names(), ["patterns"]);
}

// ------------------------------------------------------------------------------------------------- the real disk

#[test]
fn what_is_not_there_or_no_file_is_said() {
    let folder = Folder::new();
    assert!(matches!(read(&folder.path("nothing")), Err(FileError::Missing { .. })));
    assert!(matches!(read(&folder.path("no/where")), Err(FileError::Missing { .. })));
    assert!(matches!(read(&folder.0), Err(FileError::NotAFile { .. })));
    assert!(matches!(write(&folder.0, &library(1, 1)), Err(FileError::NotAFile { .. })));
    let error = write(&folder.path("no/where"), &library(1, 1)).unwrap_err();
    assert!(
        matches!(&error, FileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound),
        "{error}"
    );
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn other_files_are_corrupt_and_untouched() {
    let folder = Folder::new();
    let path = folder.path("other");
    for bytes in [&b""[..], b"{}", b"\x89PNG\r\n\x1a\n and so on, longer than a prelude", &[0; 5000]] {
        fs::write(&path, bytes).unwrap();
        assert_corrupt(read(&path), bytes);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn permissions_of_the_old_file_are_kept() {
        let folder = Folder::new();
        let path = folder.path("patterns");
        for mode in [0o600, 0o640, 0o444, 0o666] {
            write(&path, &library(1, 1)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let inode = fs::metadata(&path).unwrap().ino();
            write(&path, &library(2, 2)).unwrap();
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!(metadata.mode() & 0o7777, mode);
            assert_ne!(metadata.ino(), inode, "written in place");
        }
    }

    #[test]
    fn a_link_stays_one() {
        let folder = Folder::new();
        fs::create_dir(folder.path("deep")).unwrap();
        symlink("deep/second", folder.path("first")).unwrap();
        symlink("../real", folder.path("deep/second")).unwrap();
        // First nothing is there, then the old library.
        for patterns in 1..4 {
            write(&folder.path("first"), &library(patterns, 2)).unwrap();
            assert!(same(&read(&folder.path("real")).unwrap(), &library(patterns, 2)));
            assert!(fs::symlink_metadata(folder.path("first")).unwrap().is_symlink());
            assert!(fs::symlink_metadata(folder.path("deep/second")).unwrap().is_symlink());
        }
        assert_eq!(folder.names(), ["deep", "first", "real"]);

        symlink("circle", folder.path("circle")).unwrap();
        let error = write(&folder.path("circle"), &library(1, 1)).unwrap_err();
        assert!(error.to_string().contains("too many symbolic links"), "{error}");
    }

    #[test]
    fn saves_at_the_same_time_do_not_disturb_each_other() {
        let folder = Folder::new();
        let path = folder.path("patterns");
        let libraries: Vec<Saved> = (1..5).map(|i| library(100 * i, 20)).collect();
        write(&path, &libraries[0]).unwrap();
        std::thread::scope(|scope| {
            for saved in &libraries {
                scope.spawn(|| (0..25).for_each(|_| write(&path, saved).unwrap()));
            }
            for _ in 0..100 {
                assert!(libraries.contains(&read(&path).unwrap()));
            }
        });
        assert!(libraries.contains(&read(&path).unwrap()));
        assert_eq!(folder.names(), ["patterns"]);
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = Folder::new();
        let path = folder.path("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(matches!(read(&path), Err(FileError::NotAFile { .. })));
        assert!(matches!(write(&path, &library(1, 1)), Err(FileError::NotAFile { .. })));
    }
}
