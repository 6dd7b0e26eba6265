//! Keyrings as their users have them: files that several processes share, keys that travel, formats to the byte.

mod fuzz;
mod layout;

use midstreamer::security::PrivateFileError;
use midstreamer::security::keyring::{KeyId, KeyState, Keyring, KeyringError, Kind, header};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// A directory of its own, gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("midstreamer-keyring-{}-{count}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        // A second panic would hide the first.
        if !thread::panicking() {
            removed.unwrap();
        }
    }
}

/// Number and secret of the first key of a file without a passphrase.
fn secret_of(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let document: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let first = &document["keys"][0];
    (layout::unhex(first["id"].as_str().unwrap()), layout::unhex(first["key"].as_str().unwrap()))
}

fn states(keyring: &Keyring) -> Vec<(KeyId, KeyState)> {
    keyring.keys().unwrap().iter().map(|key| (key.id, key.state)).collect()
}

fn opens(keyring: &Keyring, sealed: &[u8]) -> bool {
    match keyring.open_sealed(Kind::Bytes, sealed, "desk") {
        Ok(plain) => plain.as_slice() == b"a strategy",
        Err(KeyringError::NoKey(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn sealed(keyring: &Keyring) -> Vec<u8> {
    keyring.seal(Kind::Bytes, b"a strategy", "desk").unwrap()
}

#[test]
fn the_formats_are_those_of_the_page() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let keyring = Keyring::open(&path, None).unwrap();
    let (id, secret) = secret_of(&path);
    for (kind, code) in [(Kind::Bytes, 0), (Kind::Series, 1)] {
        let theirs = layout::envelope(&id, &secret, [4; 12], code, "desk \u{20ac}", &[1; 24]);
        assert_eq!(keyring.open_sealed(kind, &theirs, "desk \u{20ac}").unwrap().as_slice(), [1; 24]);
        let ours = keyring.seal(kind, &[1; 24], "desk \u{20ac}").unwrap();
        let nonce = ours[16..28].try_into().unwrap();
        assert_eq!(ours, layout::envelope(&id, &secret, nonce, code, "desk \u{20ac}", &[1; 24]));
    }
    for length in [0, 10, 65_536, 200_000] {
        let plain: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut ours = Vec::new();
        let mut writer = keyring.stream_sealer("a file").unwrap().writer(&mut ours).unwrap();
        writer.write_all(&plain).unwrap();
        writer.finish().unwrap();
        let salt = ours[24..56].try_into().unwrap();
        assert_eq!(ours, layout::stream(&id, &secret, salt, "a file", &plain));
        let mut opened = Vec::new();
        let reader = keyring.stream_reader(&ours[..], ours.len() as u64, "a file").unwrap();
        reader.unwrap().read_to_end(&mut opened).unwrap();
        assert_eq!(opened, plain);
    }
    let theirs = layout::export(&[0xab; 8], 1_700_000_000_000, &[0xcd; 32], b"open sesame", 1000);
    assert_eq!(keyring.install(&theirs, b"open sesame").unwrap().to_string(), "ab".repeat(8));
    assert_eq!(keyring.keys().unwrap()[1].created_at, 1_700_000_000_000);
    let foreign = layout::envelope(&[0xab; 8], &[0xcd; 32], [4; 12], 0, "", b"from there");
    assert_eq!(keyring.open_sealed(Kind::Bytes, &foreign, "").unwrap().as_slice(), b"from there");
}

#[test]
fn the_file_is_that_of_the_page() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let key = "0f".repeat(32);
    let line = format!("00000000000000aa\ncurrent\n12\n{key}\n");
    let sum = |line: &str| -> String {
        (aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, line.as_bytes()).as_ref().iter())
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let checksum = sum(&line);
    let text = format!(
        r#"{{"version":1,"keys":[{{"id":"00000000000000aa","state":"current","createdAt":12,"key":"{key}"}}],"checksum":"{checksum}"}}"#
    );
    write_private(&path, &text);
    let keyring = Keyring::open(&path, None).unwrap();
    assert_eq!(states(&keyring), [(KeyId::parse("00000000000000aa").unwrap(), KeyState::Current)]);
    let foreign = layout::envelope(&[0, 0, 0, 0, 0, 0, 0, 0xaa], &[0x0f; 32], [4; 12], 0, "", b"there");
    assert_eq!(keyring.open_sealed(Kind::Bytes, &foreign, "").unwrap().as_slice(), b"there");
    // Its naming secret follows from it; of a key that followed another one it stands there.
    let purpose = "midstreamer sync names 1";
    let own = layout::hkdf(&[0x0f; 32], b"", "midstreamer keyring naming 1");
    let named = |keyring: &Keyring| keyring.namings(purpose.as_bytes()).unwrap()[0].to_vec();
    assert_eq!(named(&keyring), layout::hkdf(&own, b"", purpose));
    let naming = "1e".repeat(32);
    let following = text
        .replace("\"version\":1", "\"version\":2")
        .replace("\"}]", &format!("\",\"naming\":\"{naming}\"}}]"))
        .replace(&checksum, &sum(&format!("{line}{naming}\n")));
    write_private(&path, &following);
    assert_eq!(named(&Keyring::open(&path, None).unwrap()), layout::hkdf(&[0x1e; 32], b"", purpose));
    // Of a later version it is not damaged, but not for us.
    write_private(&path, &text.replace("\"version\":1", "\"version\":3"));
    assert!(matches!(Keyring::open(&path, None), Err(KeyringError::Schema { found: 3, .. })));
    write_private(&path, &text.replace("0f0f", "0f1f"));
    let error = Keyring::open(&path, None).unwrap_err();
    assert!(matches!(error, KeyringError::File(PrivateFileError::Corrupt { .. })), "{error}");
    assert!(!error.to_string().contains("0f0f"), "{error}");
}

fn write_private(path: &Path, text: &str) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn two_who_share_a_file_see_each_other_at_once() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let (one, two) = (Keyring::open(&path, None).unwrap(), Keyring::open(&path, None).unwrap());
    let first = one.current().unwrap();
    let early = sealed(&two);
    for _ in 0..20 {
        let before = two.current().unwrap();
        let now = one.rotate().unwrap();
        // What is sealed from now on must not be under a key that may be removed.
        assert_eq!(header(&sealed(&two)).unwrap().key, now);
        two.remove(&before.to_string()).unwrap();
        assert_eq!(states(&one), [(now, KeyState::Current)]);
    }
    assert!(!opens(&one, &early) && !opens(&two, &early));
    assert_eq!(
        one.open_sealed(Kind::Bytes, &early, "desk")
            .unwrap_err()
            .to_string()
            .matches(&first.to_string())
            .count(),
        1
    );
}

#[test]
fn changes_take_turns_and_none_is_lost() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let rings: Vec<Keyring> = (0..4).map(|_| Keyring::open(&path, None).unwrap()).collect();
    let made: Vec<KeyId> = thread::scope(|scope| {
        let threads: Vec<_> = (rings.iter())
            .map(|ring| scope.spawn(|| (0..10).map(|_| ring.generate().unwrap()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let kept: Vec<KeyId> = rings[0].keys().unwrap().iter().skip(1).map(|key| key.id).collect();
    assert_eq!(kept.len(), 40);
    assert!(made.iter().all(|id| kept.contains(id)));
}

#[test]
fn all_who_open_at_once_open_one_keyring() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let opened: Vec<KeyId> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Keyring::open(&path, None).unwrap().current().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(opened.iter().all(|id| *id == opened[0]), "{opened:?}");
}

#[test]
fn what_a_crash_left_behind_is_no_obstacle() {
    let folder = Folder::new();
    let path = folder.path("ring");
    // Before there was a keyring, and in the middle of a change.
    for leftover in ["", "{\"version\":1,\"keys\":[{\"id\":\"00"] {
        fs::write(folder.path("ring.new"), leftover).unwrap();
        let keyring = Keyring::open(&path, None).unwrap();
        let kept = sealed(&keyring);
        let made = keyring.rotate().unwrap();
        assert!(!folder.path("ring.new").exists());
        assert!(opens(&Keyring::open(&path, None).unwrap(), &kept));
        assert_eq!(keyring.current().unwrap(), made);
    }
}

#[test]
fn a_file_that_is_lost_or_damaged_later_stops_sealing_and_not_opening() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let keyring = Keyring::open(&path, None).unwrap();
    let kept = sealed(&keyring);
    let whole = fs::read_to_string(&path).unwrap();
    write_private(&path, &whole[..whole.len() / 2]);
    // Whatever was sealed now could be lost with this process.
    let error = keyring.seal(Kind::Bytes, b"", "").unwrap_err();
    assert!(matches!(error, KeyringError::File(PrivateFileError::Corrupt { .. })), "{error}");
    assert!(keyring.rotate().is_err() && keyring.keys().is_err());
    assert!(opens(&keyring, &kept));
    fs::remove_file(&path).unwrap();
    assert!(matches!(keyring.current(), Err(KeyringError::Gone { .. })));
    assert!(matches!(keyring.generate(), Err(KeyringError::Gone { .. })));
    assert!(opens(&keyring, &kept));
    write_private(&path, &whole);
    assert!(opens(&keyring, &sealed(&keyring)));
}

#[test]
fn the_passphrase_is_asked_for_once() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let keyring = Keyring::open(&path, Some(b"open sesame")).unwrap();
    let kept = sealed(&keyring);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&keyring.current().unwrap().to_string()) && !text.contains("sesame"));
    for wrong in [None, Some(&b"open sesam"[..])] {
        let error = Keyring::open(&path, wrong).unwrap_err();
        assert!(matches!(error, KeyringError::Passphrase { .. }), "{error}");
    }
    let again = Keyring::open(&path, Some(b"open sesame")).unwrap();
    again.rotate().unwrap();
    // Read anew without the passphrase.
    assert_eq!(keyring.current().unwrap(), again.current().unwrap());
    assert!(opens(&again, &kept) && opens(&keyring, &sealed(&again)));
    // Of the sealed keys, every digit counts.
    let text = fs::read_to_string(&path).unwrap();
    let at = text.rfind("\"ciphertext\"").unwrap() + 40;
    let digit = if &text[at..=at] == "0" { "1" } else { "0" };
    write_private(&path, &format!("{}{digit}{}", &text[..at], &text[at + 1..]));
    let error = Keyring::open(&path, Some(b"open sesame")).unwrap_err();
    assert!(matches!(error, KeyringError::File(PrivateFileError::Corrupt { .. })), "{error}");
    // Another keyring in its place is not silently taken for this one.
    fs::remove_file(&path).unwrap();
    Keyring::open(&path, Some(b"open sesame")).unwrap();
    assert!(matches!(keyring.keys(), Err(KeyringError::Passphrase { .. })));
    fs::remove_file(&path).unwrap();
    Keyring::open(&path, None).unwrap();
    assert!(matches!(keyring.keys(), Err(KeyringError::Passphrase { .. })));
    assert!(matches!(Keyring::open(&path, Some(b"x")), Err(KeyringError::Passphrase { .. })));
    assert!(matches!(
        Keyring::open(&path, Some(b"")),
        Err(KeyringError::Invalid { argument: "passphrase", .. })
    ));
}

#[test]
fn three_nodes_change_the_key_and_everybody_can_read_all_the_time() {
    let folder = Folder::new();
    let nodes: Vec<Keyring> =
        (0..3).map(|node| Keyring::open(&folder.path(&node.to_string()), None).unwrap()).collect();
    // They begin with a key in common.
    let old = nodes[0].current().unwrap().to_string();
    let exported = nodes[0].export(&old, b"on the way").unwrap();
    for node in &nodes[1..] {
        node.install(&exported, b"on the way").unwrap();
        node.make_current(&old).unwrap();
    }
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut all_read = |step: &str| {
        kept.extend(nodes.iter().map(sealed));
        let read = nodes.iter().all(|node| kept.iter().all(|bytes| opens(node, bytes)));
        assert!(read, "after {step}");
    };
    all_read("the beginning");
    let new = nodes[0].generate().unwrap().to_string();
    let exported = nodes[0].export(&new, b"on the way").unwrap();
    all_read("generate");
    for node in &nodes[1..] {
        assert_eq!(node.install(&exported, b"on the way").unwrap().to_string(), new);
        all_read("install");
    }
    for node in &nodes {
        node.make_current(&new).unwrap();
        all_read("use");
        node.retire(&old).unwrap();
        all_read("retire");
    }
    // What was kept is sealed anew, and only then the old key goes.
    let renewed: Vec<Vec<u8>> = (kept.iter())
        .map(|bytes| nodes[0].reseal(bytes, "desk").unwrap().unwrap_or_else(|| bytes.clone()))
        .collect();
    for node in &nodes {
        node.remove(&old).unwrap();
        assert!(renewed.iter().all(|bytes| opens(node, bytes)));
        for bytes in &kept {
            let key = header(bytes).unwrap().key.to_string();
            assert_eq!(opens(node, bytes), key == new, "sealed with {key}");
        }
    }
}

#[cfg(unix)]
#[test]
fn whatever_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.path("ring");
    Keyring::open(&path, None).unwrap().generate().unwrap();
    for name in ["ring", "ring.lock"] {
        let path = folder.path(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    for mode in [0o644, 0o640, 0o604, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Keyring::open(&path, None).unwrap_err();
        assert!(
            matches!(error, KeyringError::File(PrivateFileError::Permissions { mode: m, .. }) if m == mode),
            "{error}"
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    Keyring::open(&path, None).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_stays_one() {
    let folder = Folder::new();
    fs::create_dir(folder.path("there")).unwrap();
    std::os::unix::fs::symlink(folder.path("there"), folder.path("link")).unwrap();
    std::os::unix::fs::symlink(folder.path("there/ring"), folder.path("ring")).unwrap();
    let through = Keyring::open(&folder.path("link/ring"), None).unwrap();
    let linked = Keyring::open(&folder.path("ring"), None).unwrap();
    let made = linked.rotate().unwrap();
    assert_eq!(through.current().unwrap(), made);
    assert!(fs::symlink_metadata(folder.path("ring")).unwrap().is_symlink());
    assert!(folder.path("there/ring.lock").exists() && !folder.path("ring.lock").exists());
}

#[test]
fn nothing_that_is_printed_is_secret() {
    let folder = Folder::new();
    let path = folder.path("ring");
    let keyring = Keyring::open(&path, None).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let key = text.split("\"key\": \"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(key.len(), 64);
    let printed = format!("{keyring:?} {keyring:#?} {:?}", keyring.keys().unwrap());
    assert!(printed.contains(&keyring.current().unwrap().to_string()));
    assert!(!printed.contains(&key[..8]));
    let first_bytes = layout::unhex(key)[..3].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    assert!(!printed.contains(&first_bytes));
}
