//! Writes a few valid inputs for each target below the folder that is named: what fuzzing starts from.

use bytes::{Bytes, BytesMut};
use midstreamer::kernels::dtw::Metric;
use midstreamer::kernels::normalize::Normalize;
use midstreamer::protocol::direct::{message_head, put_preamble};
use midstreamer::protocol::enrolment;
use midstreamer::protocol::frame::encode_message;
use midstreamer::protocol::messages::*;
use midstreamer::protocol::session::{Dialing, Registration, VERSIONS};
use midstreamer::search::library::file::{self, Saved};
use midstreamer::security::audit::{AuditLog, AuditOptions};
use midstreamer::security::keyring::{Keyring, Kind};
use midstreamer::security::{
    AuthorityOptions, CertificateAuthority, Grants, IssueRequest, KeyRequest, Role, TokenRequest,
};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

struct Seeds(PathBuf);

impl Seeds {
    fn write(&self, target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    }

    /// As a frame, as a message, and as the target that takes frames of this kind.
    fn message(
        &self,
        kind: FrameKind,
        header: &impl prost::Message,
        payload: &[u8],
    ) -> Result<(), Box<dyn Error>> {
        let mut out = BytesMut::new();
        encode_message(kind, 1, header, payload, &mut out)?;
        let name = kind.to_string();
        self.write("frames", &name, &[&[64], &out[..]].concat())?;
        if kind == FrameKind::Welcome || kind == FrameKind::Refuse {
            self.write("welcomes", &name, &out)?;
        }
        let at = FrameKind::ALL.iter().position(|found| *found == kind).ok_or("a kind is among all")?;
        self.write("messages", &name, &[&[at as u8], &header.encode_to_vec()[..]].concat())
    }
}

fn messages(seeds: &Seeds) -> Result<(), Box<dyn Error>> {
    let (task, epoch, attempt) = (300, 2, 1);
    let held = Held { task, epoch, attempt, finished: true };
    let welcome = Welcome {
        coordinator: "desk".into(),
        generation: 2,
        store: Bytes::from_static(&[9; 16]),
        epoch,
        agent_timeout_ms: 10_000,
        max_message_bytes: 1 << 26,
        heartbeat_ms: 3_333,
        ..Welcome::default()
    };
    seeds.message(FrameKind::Welcome, &welcome, &[])?;
    seeds.message(FrameKind::Refuse, &Refuse { code: 5, message: "why".into() }, &[])?;
    seeds.message(FrameKind::Resume, &Resume { resume: vec![held; 3], more: true }, &[])?;
    seeds.message(FrameKind::Offer, &Offer { kinds: vec!["a".into()], slots: 3 }, &[])?;
    let assign =
        Assign { task, epoch, attempt, kind: "dtw".into(), key: Some("k".into()), ..Assign::default() };
    seeds.message(FrameKind::Assign, &assign, &[1; 40])?;
    let error = TaskError { task, epoch, attempt, reason: 1, message: "why".into(), ..TaskError::default() };
    seeds.message(FrameKind::TaskError, &error, &[])?;
    let publish = Publish { topic: "t".into(), from: "a".into(), content: 2, message_id: 3 };
    seeds.message(FrameKind::Publish, &publish, &[3; 40])?;
    let open = SyncOpen { link: 7, database: "memory".into() };
    seeds.message(FrameKind::SyncOpen, &open, &[])?;
    seeds.message(FrameKind::SyncOpened, &SyncOpened { link: 7 }, &[])?;
    seeds.message(FrameKind::SyncClosed, &SyncClosed { link: 7, code: 3, message: "why".into() }, &[])?;
    seeds.message(FrameKind::SyncMessage, &SyncMessage { link: 7 }, &[5; 40])?;
    let mut direct = BytesMut::new();
    put_preamble("memory", &mut direct)?;
    for length in [1, 300] {
        direct.extend_from_slice(&message_head(length)?);
        direct.extend_from_slice(&vec![7; length]);
    }
    seeds.write("directs", "two", &[&[64], &direct[..]].concat())?;
    let renewed = Renewed { certificate: "-----BEGIN".into(), ca: "-----".into(), ..Renewed::default() };
    seeds.message(FrameKind::Renewed, &renewed, &[])?;
    let registration = Registration {
        instance: [3; 16],
        agent_type: "worker".into(),
        capabilities: vec!["gpu".into()],
        kinds: vec!["dtw".into()],
        slots: 4,
        metadata: [("zone".to_owned(), "eu".to_owned())].into(),
        software: "midstreamer".into(),
    };
    let mut out = BytesMut::new();
    Dialing::new(VERSIONS[0], &registration, &[held], Some([9; 16]), 0, &mut out)?;
    seeds.write("greetings", "hello", &out)?;
    seeds.write("frames", "hello", &[&[9], &out[..]].concat())
}

fn identities(seeds: &Seeds, scratch: &Path) -> Result<(), Box<dyn Error>> {
    let authority = CertificateAuthority::open(scratch, &AuthorityOptions::default())?;
    for role in [Role::Agent, Role::Coordinator, Role::Peer] {
        let grants = Grants { kinds: Some(vec!["dtw".into()]), ..Grants::default() };
        let identity = authority.issue(&IssueRequest { grants, ..IssueRequest::new("one", role) })?.identity;
        seeds.write("certificates", role.as_str(), &identity.chain()[0])?;
        let parts = [identity.certificate(), identity.private_key(), identity.ca()];
        seeds.write("identities", role.as_str(), parts.join("\0").as_bytes())?;
        seeds.write("names", role.as_str(), identity.peer().name.to_string().as_bytes())?;
        seeds.write("requests", role.as_str(), KeyRequest::new()?.csr_der())?;
    }
    let text =
        "NTS1.".to_owned() + &"ab".repeat(32) + ".127.0.0.1:4433." + &"cd".repeat(8) + "." + &"ef".repeat(16);
    seeds.write("tokens", "plain", text.as_bytes())?;
    let keyring = Keyring::open(&scratch.join("keyring"), None)?;
    seeds.write("rings", "plain", &fs::read(scratch.join("keyring"))?)?;
    for (name, kind) in [("bytes", Kind::Bytes), ("series", Kind::Series)] {
        seeds.write("envelopes", name, &keyring.seal(kind, &[0; 16], "fuzz")?)?;
    }
    let mut stream = Vec::new();
    let mut writer = keyring.stream_sealer("fuzz")?.writer(&mut stream)?;
    writer.write_all(&[7; 100])?;
    writer.finish()?;
    seeds.write("streams", "one_chunk", &stream)?;
    let log = scratch.join("audit");
    AuditLog::open(&log, AuditOptions::default())?.close()?;
    let (segment, checkpoint) =
        (fs::read(log.join("audit-0000000000000001.jsonl"))?, fs::read(log.join("checkpoint.json"))?);
    seeds.write("logs", "opened", &[&segment[..], &[0], &checkpoint].concat())?;
    let grants = Grants::default();
    let token = TokenRequest { address: "127.0.0.1:4433", ttl_ms: 60_000, uses: 2, grants: &grants };
    authority.create_token(&token)?;
    seeds.write("token_registers", "one", &fs::read(scratch.join("tokens.json"))?)?;
    let mut out = BytesMut::new();
    enrolment::grant("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----", &mut out)?;
    seeds.write("enrolments", "granted", &out)?;
    authority.revoke("one", Some("test"))?;
    seeds.write("authorities", "plain", &fs::read(scratch.join("authority.json"))?)?;
    seeds.write("registers", "revoked", &fs::read(scratch.join("register.json"))?)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("which folder?")?;
    let seeds = Seeds(folder.into());
    messages(&seeds)?;
    let scratch = std::env::temp_dir().join(format!("midstreamer-seeds-{}", std::process::id()));
    let made = identities(&seeds, &scratch);
    fs::remove_dir_all(&scratch)?;
    made?;
    for (name, patterns, window) in [("none", 0, None), ("some", 3, Some(2))] {
        let saved = Saved {
            length: 2,
            channels: 2,
            window,
            metric: Metric::Squared,
            normalize: Normalize::Zscore,
            ids: (0..patterns).map(|i| format!("p{i}")).collect(),
            meta: (0..patterns).map(|i| (i > 0).then(|| format!("{{\"i\":{i}}}"))).collect(),
            values: (0..4 * patterns).map(f64::from).collect(),
        };
        let mut bytes = Vec::new();
        file::encode(&saved, &mut bytes, Path::new("seed"))?;
        seeds.write("libraries", name, &bytes)?;
    }
    // Rows of the store by hand: a queued task, and a finished one.
    seeds.write("records", "queued", b"\x0a\x03dtw\x10\x05\x40\x03\x50\x07\x72\x02\x08\x09")?;
    seeds.write(
        "records",
        "completed",
        b"\x0a\x03dtw\x82\x01\x0c\x08\x09\x12\x08\x0a\x01a\x12\x01x\x18\x01",
    )?;
    // Values as in docs/protocol.md: undefined, JSON alone, and JSON with two arrays of eight bytes each.
    seeds.write("sync_messages", "reach", &[&[11], &[1; 16][..], &[7]].concat())?;
    seeds.write("sync_messages", "ping", &[12, 0, 0, 0, 0, 0, 0, 0, 0])?;
    seeds.write("values", "undefined", &[0; 8])?;
    seeds.write("values", "json", &value(br#"{"a":[1,"x",null,true,{"b":-1e3}]}"#, &[]))?;
    seeds.write("values", "arrays", &value(br#"{"a":"\u00000","b":["\u00001"],"c":"\u0000NaN"}"#, &[1, 2]))
}

fn value(json: &[u8], arrays: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [json.len() as u32, arrays.len() as u32] {
        out.extend(number.to_le_bytes());
    }
    for kind in arrays {
        out.extend(kind.to_le_bytes());
        out.extend([0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
    }
    out.extend(json);
    out.resize(out.len().next_multiple_of(8), 0);
    out.resize(out.len() + 8 * arrays.len(), 7);
    out
}
