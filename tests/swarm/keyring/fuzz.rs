//! Every parser of the keyring under fire: valid bytes, spoilt by a seeded generator. Nothing opens that was changed, and
//! nothing panics. The rounds and the seed are set as in [`crate::fuzz`].

use super::{Folder, layout, secret_of};
use crate::fuzz::{fuzz, spoil};
use midstreamer::security::keyring::{Keyring, KeyringError, Kind, header};
use std::fs;
use std::io::Read;

#[test]
fn spoilt_envelopes() {
    let folder = Folder::new();
    let keyring = Keyring::open(&folder.path("ring"), None).unwrap();
    let other = keyring.generate().unwrap();
    let envelopes = [
        keyring.seal(Kind::Bytes, b"", "").unwrap(),
        keyring.seal(Kind::Bytes, &[7; 100], "desk").unwrap(),
        keyring.seal(Kind::Series, &[0; 64], "desk").unwrap(),
    ];
    keyring.make_current(&other.to_string()).unwrap();
    fuzz(|random| {
        let whole = &envelopes[random.usize(..envelopes.len())];
        let mut bytes = whole.clone();
        spoil(&mut bytes, random);
        let (kind, context) =
            (random.choice([Kind::Bytes, Kind::Series]).unwrap(), random.choice(["", "desk"]).unwrap());
        let opened = keyring.open_sealed(kind, &bytes, context);
        if &bytes != whole {
            assert!(matches!(opened, Err(KeyringError::Decrypt(_) | KeyringError::NoKey(_))), "{opened:?}");
            assert!(
                keyring.reseal(&bytes, context).is_err()
                    || header(&bytes).is_ok_and(|found| found.key == other)
            );
        }
    });
}

#[test]
fn spoilt_streams() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let keyring = Keyring::open(&path, None).unwrap();
    let (id, secret) = secret_of(&path);
    let streams =
        [0, 1, 1000, 65_537].map(|length| layout::stream(&id, &secret, [1; 32], "", &vec![3; length]));
    fuzz(|random| {
        // The long one costs more than all else.
        let whole = &streams[if random.u8(..20) == 0 { 3 } else { random.usize(..3) }];
        let mut bytes = whole.clone();
        spoil(&mut bytes, random);
        let mut out = Vec::new();
        let opened = match keyring.stream_reader(&bytes[..], bytes.len() as u64, "") {
            Ok(reader) => reader.unwrap().read_to_end(&mut out).is_ok(),
            Err(error) => {
                assert!(matches!(error, KeyringError::Decrypt(_) | KeyringError::NoKey(_)), "{error}");
                false
            }
        };
        assert_eq!(opened, &bytes == whole);
    });
}

#[test]
fn spoilt_exports() {
    let folder = Folder::new();
    let keyring = Keyring::open(&folder.path("ring"), None).unwrap();
    let whole = layout::export(&[5; 8], 1, &[6; 32], b"open sesame", 10);
    fuzz(|random| {
        let mut bytes = whole.clone();
        spoil(&mut bytes, random);
        // Many iterations are legal, and take long.
        if bytes.len() >= 12 && u32::from_le_bytes(bytes[8..12].try_into().unwrap()) > 100 {
            bytes[8..12].copy_from_slice(&[[9, 0, 0, 0], [0; 4], [0xff; 4]][random.usize(..3)]);
        }
        if bytes != whole {
            let error = keyring.install(&bytes, b"open sesame").unwrap_err();
            assert!(matches!(error, KeyringError::Decrypt(_)), "{error}");
        }
    });
    assert_eq!(keyring.keys().unwrap().len(), 1);
}

#[test]
fn spoilt_files() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let keyring = Keyring::open(&path, None).unwrap();
    keyring.rotate().unwrap();
    let (whole, keys) = (fs::read(&path).unwrap(), keyring.keys().unwrap());
    let sealed = keyring.seal(Kind::Bytes, b"here", "").unwrap();
    let mut rounds = 0;
    fuzz(|random| {
        // Each round is a file on the disk.
        rounds += 1;
        if rounds % 10 != 0 {
            return;
        }
        let mut bytes = whole.clone();
        spoil(&mut bytes, random);
        fs::write(&path, &bytes).unwrap();
        // White space and the case of a digit mean nothing; everything else is noticed.
        if let Ok(opened) = Keyring::open(&path, None) {
            assert_eq!(opened.keys().unwrap(), keys);
            assert_eq!(opened.open_sealed(Kind::Bytes, &sealed, "").unwrap().as_slice(), b"here");
        }
    });
}
