//! Random damage, half of it under right checksums. A run is repeatable: the seed and the rounds are fixed, and
//! `MIDSTREAMER_FUZZ_SEED` and `MIDSTREAMER_FUZZ_ROUNDS` make another or a longer one.

use super::layout::reseal;
use super::{decoded, encoded, library, same};
use midstreamer::search::library::file::{FileError, Saved};
use std::process::Command;

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Numbers at which a decoder may stumble.
const ODD: [u64; 12] =
    [0, 1, 3, 0x7f, 0xff, 0x8000, 0xffff_fffe, 0xffff_ffff, 1 << 32, 1 << 61, i64::MAX as u64, u64::MAX];

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    // Half of the places are in the header or soon behind it.
    let reach = if random.below(2) == 0 { bytes.len().min(160) } else { bytes.len() };
    let at = random.below(reach);
    let length = (1 + random.below(64)).min(bytes.len().saturating_sub(at));
    match random.below(9) {
        _ if bytes.is_empty() => bytes.push(random.next() as u8),
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => bytes[at..at + length].fill(random.next() as u8),
        3 => bytes.truncate(at),
        4 => bytes.extend(vec![random.next() as u8; length]),
        5 => drop(bytes.drain(at..at + length)),
        6 => {
            let copy = bytes[at..at + length].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        wide => {
            // A whole field of the header, or a length in the body, becomes odd.
            let number = ODD[random.below(ODD.len())].wrapping_add(random.below(2) as u64);
            let size = if wide == 7 { 8 } else { 4 };
            let at = at / 4 * 4;
            if let Some(field) = bytes.get_mut(at..at + size) {
                field.copy_from_slice(&number.to_le_bytes()[..size]);
            }
        }
    }
}

/// Of the rounds: how many were read in spite of the damage (which was undone, or under right checksums harmless).
fn fuzz(seed: u64, rounds: u64) -> u64 {
    let originals: Vec<Saved> = vec![library(0, 3), library(1, 1), library(5, 8), library(40, 30)];
    let files: Vec<Vec<u8>> = originals.iter().map(encoded).collect();
    let mut read = 0;
    for round in 0..rounds {
        let mut random = Random(seed ^ round.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let mut bytes = files[random.below(files.len())].clone();
        for _ in 0..=random.below(4) {
            damage(&mut bytes, &mut random);
        }
        let sealed = random.below(2) == 0;
        if sealed {
            reseal(&mut bytes);
        }
        match decoded(&bytes) {
            Ok(saved) => {
                read += 1;
                assert!(sealed || files.contains(&bytes), "seed {seed}, round {round}: damage was not found");
                // What is accepted is a library: it can be written, and then it is the same.
                assert!(same(&decoded(&encoded(&saved)).unwrap(), &saved), "seed {seed}, round {round}");
            }
            Err(FileError::Corrupt { offset, .. }) => {
                assert!(
                    offset <= (bytes.len() as u64).max(4096),
                    "seed {seed}, round {round}: offset {offset}"
                );
            }
            Err(FileError::Schema { .. } | FileError::Features { .. }) => {}
            Err(other) => panic!("seed {seed}, round {round}: {other}"),
        }
    }
    read
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Of this process: the most address space it ever had, in KiB, where the system tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPeak:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The rounds run in a process of their own, whose memory nobody else uses: no damage makes the decoder reserve more
/// than a small multiple of its input, not even without touching it.
#[test]
fn random_damage_is_found_in_bounded_memory() {
    const CHILD: &str = "MIDSTREAMER_FUZZ_CHILD";
    let seed = number("MIDSTREAMER_FUZZ_SEED", 20_261_122);
    let rounds = number("MIDSTREAMER_FUZZ_ROUNDS", 30_000);
    if std::env::var_os(CHILD).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "library_file::fuzz::random_damage_is_found_in_bounded_memory",
                "--exact",
                "--test-threads=1",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    fuzz(seed.wrapping_add(1), 100);
    let before = peak_kib();
    let read = fuzz(seed, rounds);
    if let (Some(before), Some(after)) = (before, peak_kib()) {
        assert!(after - before < 16 << 10, "{} KiB more than before", after - before);
    }
    assert!(rounds < 1000 || read > rounds / 100, "only {read} of {rounds} came through the decoder");
}
