//! One function for each parser of bytes from outside. Whatever comes, it gives a value that holds to its limits, or an
//! error: no panic, no memory beyond a small multiple of the input, and what was read and written again is read as the same.
//!
//! libFuzzer drives these in fuzz/, and tests/swarm/corpus.rs replays what it kept.

use bytes::{Bytes, BytesMut};
use midstreamer::protocol::direct::{message_head, put_preamble, take_message, take_preamble};
use midstreamer::protocol::enrolment;
use midstreamer::protocol::frame::{Decoder, Frame, HANDSHAKE_FRAME_BYTES, LANE_FRAME_BYTES, encode};
use midstreamer::protocol::messages::*;
use midstreamer::protocol::session::{
    Dialing, Listening, MAX_HELD, MAX_NAMES, MAX_SLOTS, Registration, VERSIONS,
};
use midstreamer::protocol::value::{MAX_DEPTH, Node, Value};
use midstreamer::search::library::file;
use midstreamer::security::audit::{Shelf, VerifyOptions, verify_directory};
use midstreamer::security::keyring::{Keyring, Kind, header};
use midstreamer::security::{
    AuthorityOptions, CertificateAuthority, Grants, Identity, JoinToken, PeerName, Role, SignRequest,
    TokenId, peer_of,
};
use midstreamer::store;
use midstreamer::sync::wire::{Assembler, Message, PACKET_BYTES, pack};
use std::cell::RefCell;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is done with one input; it panics when the input makes a parser fail.
pub(crate) type Target = fn(&[u8]);

/// By name, as in `npm run fuzz -- NAME` and fuzz/corpus/NAME.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("authorities", authorities),
    ("certificates", certificates),
    ("directs", directs),
    ("enrolments", enrolments),
    ("envelopes", envelopes),
    ("exports", exports),
    ("frames", frames),
    ("greetings", greetings),
    ("identities", identities),
    ("libraries", libraries),
    ("logs", logs),
    ("messages", messages),
    ("names", names),
    ("records", records),
    ("registers", registers),
    ("requests", requests),
    ("rings", rings),
    ("streams", streams),
    ("sync_messages", sync_messages),
    ("token_registers", token_registers),
    ("tokens", tokens),
    ("values", values),
    ("welcomes", welcomes),
];

/// The target of this name.
pub(crate) fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(found, _)| *found == name).map(|(_, target)| *target)
}

/// All names.
pub(crate) fn names_of_targets() -> Vec<&'static str> {
    TARGETS.iter().map(|(name, _)| *name).collect()
}

/// A stream that arrives in pieces; the first byte is their length.
fn frames(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else { return };
    let decoder = Decoder::new(LANE_FRAME_BYTES);
    let (mut buffer, mut arrived) = (BytesMut::new(), 0);
    'stream: for piece in stream.chunks(usize::from(piece).max(1)) {
        buffer.extend_from_slice(piece);
        arrived += piece.len();
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    read_message(&frame);
                    let mut again = BytesMut::new();
                    encode(&frame, &mut again).expect("what was read can be written");
                    assert_eq!(decoder.decode(&mut again), Ok(Some(frame)));
                }
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
        assert!(buffer.capacity() <= 4 * arrived + 256, "{} bytes for {arrived}", buffer.capacity());
    }
    if let Ok(Some(frame)) = decoder.decode_alone(Bytes::copy_from_slice(stream)) {
        read_message(&frame);
    }
}

/// A header of the kind that the first byte chooses.
fn messages(data: &[u8]) {
    let Some((&kind, header)) = data.split_first() else { return };
    let kind = FrameKind::ALL[usize::from(kind) % FrameKind::ALL.len()];
    let header = Bytes::copy_from_slice(header);
    read_message(&Frame { kind, skippable: false, request: 0, header, payload: Bytes::new() });
}

fn comes_back<M: prost::Message + Default + PartialEq>(frame: &Frame) {
    if let Ok(message) = frame.message::<M>() {
        let bytes = message.encode_to_vec();
        let again = M::decode(&bytes[..]).expect("what was encoded is decoded");
        assert_eq!(again.encode_to_vec(), bytes);
    }
}

/// Whatever a header is: read, written and read again it is the same.
pub(crate) fn read_message(frame: &Frame) {
    match frame.kind {
        FrameKind::Hello => comes_back::<Hello>(frame),
        FrameKind::Resume => comes_back::<Resume>(frame),
        FrameKind::Welcome => comes_back::<Welcome>(frame),
        FrameKind::Refuse => comes_back::<Refuse>(frame),
        FrameKind::Heartbeat => comes_back::<Heartbeat>(frame),
        FrameKind::HeartbeatAck => comes_back::<HeartbeatAck>(frame),
        FrameKind::Offer => comes_back::<Offer>(frame),
        FrameKind::Cancel => comes_back::<Cancel>(frame),
        FrameKind::ResultAck => comes_back::<ResultAck>(frame),
        FrameKind::Progress => comes_back::<Progress>(frame),
        FrameKind::Subscribe => comes_back::<Subscribe>(frame),
        FrameKind::SubscribeAck => comes_back::<SubscribeAck>(frame),
        FrameKind::Unsubscribe => comes_back::<Unsubscribe>(frame),
        FrameKind::Goodbye => comes_back::<Goodbye>(frame),
        FrameKind::GoodbyeAck => comes_back::<GoodbyeAck>(frame),
        FrameKind::LaneOpen => comes_back::<LaneOpen>(frame),
        FrameKind::Assign => comes_back::<Assign>(frame),
        FrameKind::Complete => comes_back::<Complete>(frame),
        FrameKind::TaskError => comes_back::<TaskError>(frame),
        FrameKind::Publish => comes_back::<Publish>(frame),
        FrameKind::PublishAck => comes_back::<PublishAck>(frame),
        FrameKind::Adapt => comes_back::<Adapt>(frame),
        FrameKind::Renew => comes_back::<Renew>(frame),
        FrameKind::Renewed => comes_back::<Renewed>(frame),
        FrameKind::RenewalKept => comes_back::<RenewalKept>(frame),
        FrameKind::SyncOpen => comes_back::<SyncOpen>(frame),
        FrameKind::SyncOpened => comes_back::<SyncOpened>(frame),
        FrameKind::SyncClosed => comes_back::<SyncClosed>(frame),
        FrameKind::SyncMessage => comes_back::<SyncMessage>(frame),
        FrameKind::Enrol => comes_back::<Enrol>(frame),
        FrameKind::Enrolled => comes_back::<Enrolled>(frame),
        // One that this does not know yet is a target that is missing: a test goes through all kinds.
        other => panic!("{other} is not read here"),
    }
}

/// What a coordinator is told before it knows the peer's intentions.
fn greetings(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    let mut listening = Listening::new(VERSIONS[0], 0, 1);
    while let Ok(Some(frame)) = Decoder::new(HANDSHAKE_FRAME_BYTES).decode(&mut buffer) {
        match listening.receive(&frame) {
            Ok(None) => {}
            Ok(Some(greeting)) => {
                assert!(greeting.slots <= MAX_SLOTS && greeting.held.len() <= MAX_HELD);
                assert!(greeting.kinds.len() <= MAX_NAMES && greeting.capabilities.len() <= MAX_NAMES);
                return;
            }
            Err(_) => return,
        }
    }
}

/// What an agent is told in answer.
fn welcomes(data: &[u8]) {
    let registration = Registration {
        instance: [3; 16],
        agent_type: "worker".to_owned(),
        capabilities: Vec::new(),
        kinds: vec!["dtw".to_owned()],
        slots: 4,
        metadata: Default::default(),
        software: String::new(),
    };
    let mut out = BytesMut::new();
    let dialing = Dialing::new(VERSIONS[0], &registration, &[], None, 0, &mut out);
    let mut dialing = dialing.expect("the registration is good");
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = Decoder::default().decode(&mut buffer) {
        match dialing.receive(&frame) {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                assert!((1..accepted.lease.agent_timeout_ms()).contains(&accepted.heartbeat_ms));
                return;
            }
            Err(_) => return,
        }
    }
}

fn depth_of(node: Node<'_>) -> usize {
    match node {
        Node::List(list) => 1 + list.iter().map(depth_of).max().unwrap_or(0),
        Node::Object(object) => 1 + object.iter().map(|(_, node)| depth_of(node)).max().unwrap_or(0),
        Node::Array(array) => array.to_f64().map_or(0, |values| (values.len() != array.len()).into()),
        _ => 0,
    }
}

/// Payloads, results, messages.
fn values(data: &[u8]) {
    if let Ok(value) = Value::decode(&Bytes::copy_from_slice(data)) {
        assert!(value.root().map_or(0, depth_of) <= MAX_DEPTH);
    }
}

/// SPIFFE names.
fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = text.parse::<PeerName>() {
        assert_eq!(name.to_string(), text, "there is one spelling of a name");
    }
}

/// What a peer presents.
fn certificates(data: &[u8]) {
    if let Ok(peer) = peer_of(&[data.into()]) {
        assert_eq!(peer.name.to_string().parse(), Ok(peer.name));
    }
}

/// Certificate, key and authorities in PEM, one after the other behind zero bytes.
fn identities(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(3, '\0');
    let mut part = || parts.next().unwrap_or_default();
    let (certificate, key, ca) = (part(), part(), part());
    if let Err(error) = Identity::parse(certificate, key, ca) {
        let told = error.to_string();
        assert!(told.len() < 512 && !told.contains("PRIVATE"), "{told}");
    }
}

thread_local! {
    static AUTHORITY: CertificateAuthority = CertificateAuthority::in_memory("fuzz").expect("there is randomness");
    static DIRECTORY: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// Requests for certificates (PKCS #10).
fn requests(data: &[u8]) {
    AUTHORITY.with(|authority| {
        let request = SignRequest {
            certificate_request: data,
            id: "fuzz",
            role: Role::Agent,
            valid_ms: 60_000,
            grants: Grants::default(),
        };
        if let Ok(signed) = authority.sign(&request) {
            assert!(signed.certificate.contains("BEGIN CERTIFICATE"));
        }
    });
}

/// The checksums of a library file as they have to be, so that what is behind them is reached. docs/library-file.md.
fn reseal(bytes: &mut [u8]) {
    if bytes.len() < 92 {
        return;
    }
    let put = |bytes: &mut [u8], at: usize, checksum: u32| {
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
    };
    let preamble = crc32fast::hash(&bytes[..24]);
    put(bytes, 24, preamble);
    let header = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
    if !(92..=bytes.len()).contains(&header) {
        return;
    }
    let size = bytes.len() as u64;
    bytes[32..40].copy_from_slice(&size.to_le_bytes());
    let mut checksum = crc32fast::hash(&bytes[..header - 4]);
    put(bytes, header - 4, checksum);
    let (mut at, end) = (header, bytes.len().saturating_sub(12));
    while at < bytes.len() {
        let length = if at < end { (end - at).min(4100).saturating_sub(4) } else { 8 };
        let Some(block) = bytes.get(at..at + length) else { return };
        checksum = crc32fast::hash(&[&checksum.to_le_bytes(), block].concat());
        put(bytes, at + length, checksum);
        at += length + 4;
    }
}

/// Library files, under checksums as they come and as they should be.
fn libraries(data: &[u8]) {
    let path = Path::new("fuzzed");
    let mut sealed = data.to_vec();
    reseal(&mut sealed);
    for bytes in [data, &sealed] {
        let Ok(saved) = file::decode(bytes, bytes.len() as u64, path) else { continue };
        let mut again = Vec::new();
        file::encode(&saved, &mut again, path).expect("what was read can be written");
        let same = file::decode(&again[..], again.len() as u64, path).expect("what was written can be read");
        assert_eq!((same.ids, same.meta), (saved.ids, saved.meta));
    }
}

/// Records of the task store.
fn records(data: &[u8]) {
    if let Some(again) = store::reread(data) {
        assert_eq!(store::reread(&again).as_deref(), Some(&again[..]));
    }
}

/// A directory of an authority that goes with the thread.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("midstreamer-fuzz-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        CertificateAuthority::open(&path, &AuthorityOptions::default())
            .expect("an authority can be made there");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn write_private(path: &Path, bytes: &[u8]) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).expect("the directory is ours");
    std::io::Write::write_all(&mut file, bytes).expect("there is room");
}

fn open_with(name: &str, data: &[u8]) {
    DIRECTORY.with(|directory| {
        let mut directory = directory.borrow_mut();
        let directory = directory.get_or_insert_with(Scratch::new);
        let path = directory.file(name);
        let before = fs::read(&path).ok();
        write_private(&path, data);
        if let Ok(authority) = CertificateAuthority::open(&directory.0, &AuthorityOptions::default()) {
            let listed = authority.list().expect("what was opened is readable");
            drop(listed);
        }
        match before {
            Some(before) => write_private(&path, &before),
            None => fs::remove_file(&path).expect("it was written above"),
        }
    });
}

/// The stream of a direct link that arrives in pieces; the first byte is their length.
fn directs(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else { return };
    let (mut buffer, mut arrived, mut database) = (BytesMut::new(), 0, None);
    for piece in stream.chunks(usize::from(piece).max(1)) {
        buffer.extend_from_slice(piece);
        arrived += piece.len();
        if database.is_none() {
            match take_preamble(&mut buffer) {
                Ok(None) => continue,
                Ok(Some(name)) => {
                    let mut again = BytesMut::new();
                    put_preamble(&name, &mut again).expect("what was read can be written");
                    assert_eq!(take_preamble(&mut again), Ok(Some(name.clone())));
                    database = Some(name);
                }
                Err(_) => return,
            }
        }
        loop {
            match take_message(&mut buffer) {
                Ok(Some(message)) => {
                    let mut again = message_head(message.len()).expect("what was read can be written");
                    again.extend_from_slice(&message);
                    assert_eq!(take_message(&mut again), Ok(Some(message)));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(buffer.capacity() <= 4 * arrived + 256, "{} bytes for {arrived}", buffer.capacity());
    }
}

/// What is said on the endpoint for enrolment, by either side.
fn enrolments(data: &[u8]) {
    let stream = Bytes::copy_from_slice(data);
    for error in
        [enrolment::question(stream.clone()).err(), enrolment::answer(stream).err()].into_iter().flatten()
    {
        assert!(!error.to_string().is_empty());
    }
}

/// Join tokens.
fn tokens(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<JoinToken>() {
        Ok(token) => {
            assert_eq!(token.to_text().as_str(), text, "there is one spelling of a token");
            assert!(!format!("{token:?}").contains(text.rsplit('.').next().expect("a token has dots")));
        }
        Err(error) => assert!(error.to_string().len() < 128, "{error}"),
    }
}

thread_local! {
    static KEYRING: (Keyring, Scratch) = {
        let scratch = Scratch::new();
        (Keyring::open(&scratch.file("keyring"), None).expect("a keyring can be made there"), scratch)
    };
}

/// Sealed bytes: the header is read, and nothing opens that was not sealed with the key.
fn envelopes(data: &[u8]) {
    let read = header(data).is_ok();
    KEYRING.with(|(keyring, _)| {
        for kind in [Kind::Bytes, Kind::Series] {
            assert!(keyring.open_sealed(kind, data, "fuzz").is_err());
        }
        assert!(read || keyring.reseal(data, "fuzz").is_err());
    });
}

/// A file sealed in chunks, under the id of the key at hand: it opens nowhere, and is not read as longer than it is.
fn streams(data: &[u8]) {
    KEYRING.with(|(keyring, _)| {
        let mut bytes = data.to_vec();
        let key = keyring.current().expect("a keyring has a current key").to_string();
        if let Some(id) = bytes.get_mut(STREAM_KEY) {
            for (at, byte) in id.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&key[2 * at..2 * at + 2], 16).expect("ids are hexadecimal");
            }
        }
        let Ok(reader) = keyring.stream_reader(&bytes[..], bytes.len() as u64, "fuzz") else { return };
        let mut reader = reader.expect("bytes in memory can be read");
        assert!(reader.plain_bytes() < bytes.len() as u64);
        let mut out = Vec::new();
        assert!(reader.read_to_end(&mut out).is_err() && out.is_empty());
        assert!(!reader.is_authentic().expect("bytes in memory can be read"));
    });
}

/// Where the id of the key stands in a sealed stream.
const STREAM_KEY: std::ops::Range<usize> = 16..24;

/// Exported keys: none opens with a passphrase that it was not exported under.
fn exports(data: &[u8]) {
    KEYRING.with(|(keyring, _)| assert!(keyring.install(data, b"fuzz").is_err()));
}

/// The file of a keyring.
fn rings(data: &[u8]) {
    DIRECTORY.with(|directory| {
        let mut directory = directory.borrow_mut();
        let path = directory.get_or_insert_with(Scratch::new).file("ring");
        write_private(&path, data);
        if let Ok(keyring) = Keyring::open(&path, None) {
            assert!(keyring.current().is_ok() && keyring.keys().is_ok_and(|keys| !keys.is_empty()));
        }
    });
}

/// A message of AgentDB sync, and the same bytes as packets of a link: each begins with its length, in units that reach
/// beyond a packet, and gets the checksum that it should have.
fn sync_messages(data: &[u8]) {
    const LIMIT: usize = 1 << 20;
    if let Ok(mut message) = Message::decode(data) {
        assert_eq!(message.encode(), data, "there is one encoding of a message");
        let mut assembler = Assembler::new(LIMIT.max(data.len()));
        let whole =
            pack(data).iter().find_map(|packet| assembler.receive(packet).expect("it was packed here"));
        let Some(whole) = whole else { return assert!(data.len() > PACKET_BYTES) };
        assert!(whole.length == data.len() && whole.message == message);
        assert_eq!(whole.rest().open(), Ok(&mut message));
    }
    let mut assembler = Assembler::new(LIMIT);
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (packet, after) = after.split_at(after.len().min(usize::from(length)));
        rest = after;
        let sealed = [packet, &crc32fast::hash(packet).to_le_bytes()].concat();
        match assembler.receive(&sealed) {
            Ok(Some(whole)) => {
                let bytes = whole.message.encode();
                assert_eq!(bytes.len(), whole.length);
                assert_eq!(whole.rest().open().map(|message| message.encode()), Ok(bytes));
            }
            Ok(None) => assert!(assembler.waiting() <= LIMIT + PACKET_BYTES),
            Err(_) => return,
        }
    }
}

/// The file of an authority.
fn authorities(data: &[u8]) {
    open_with("authority.json", data);
}

/// An audit log in memory: a segment and, after a zero byte, what stands beside it.
struct Log<'a> {
    segment: &'a [u8],
    checkpoint: Option<&'a [u8]>,
}

impl Shelf for Log<'_> {
    fn name(&self) -> String {
        "fuzzed".to_owned()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let beside = self.checkpoint.map(|_| CHECKPOINT.to_owned());
        Ok([SEGMENT.to_owned()].into_iter().chain(beside).collect())
    }

    fn reader(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(match name {
            SEGMENT => Some(Box::new(self.segment)),
            CHECKPOINT => self.checkpoint.map(|bytes| Box::new(bytes) as Box<dyn Read>),
            _ => None,
        })
    }

    fn may_grow(&self) -> bool {
        false
    }
}

const SEGMENT: &str = "audit-0000000000000001.jsonl";
const CHECKPOINT: &str = "checkpoint.json";

/// An audit log: what does not hold is found, and a log that nobody signed is not taken for one that was.
fn logs(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let log = Log { segment: parts.next().unwrap_or_default(), checkpoint: parts.next() };
    let lines = log.segment.iter().filter(|byte| **byte == b'\n').count() as u64;
    for public_key in [None, Some(LOG_KEY)] {
        let found = verify_directory(&log, &VerifyOptions { public_key, anchor: None });
        let found = found.expect("a log in memory can be read");
        assert!(found.entries <= lines + 1 && found.unsigned_tail <= found.entries);
        assert!(!found.ok || found.broken_at.is_none() && !found.truncated);
        assert!(public_key.is_none() || found.unsigned_tail == found.entries);
    }
}

/// Of nobody: the base point of the curve, whose private key is unknown as far as this program is concerned.
const LOG_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAWGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=
-----END PUBLIC KEY-----
";

/// The register of join tokens.
fn token_registers(data: &[u8]) {
    DIRECTORY.with(|directory| {
        let mut directory = directory.borrow_mut();
        let directory = directory.get_or_insert_with(Scratch::new);
        let path = directory.file("tokens.json");
        write_private(&path, data);
        if let Ok(authority) = CertificateAuthority::open(&directory.0, &AuthorityOptions::default()) {
            let known = authority.withdraw_token(TokenId::from_bytes([7; 8]));
            known.expect("what was opened is readable");
        }
        fs::remove_file(&path).expect("it was written above");
    });
}

/// The register of an authority.
fn registers(data: &[u8]) {
    open_with("register.json", data);
}
