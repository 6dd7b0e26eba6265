//! What 1,000 handshakes a second without a certificate, from the address of 100 agents at work, do to their tasks:
//! `cargo bench --bench flood`.
//!
//! Tasks of 256 bytes are submitted at a fixed pace, whether or not earlier ones are back, so that one that is late delays no
//! other and is not left out. Rounds without and with the flood take turns, in one run; the flood is another process. The
//! table has the percentiles of both, and the ratio of the 99th of each pair of rounds.

use bytes::Bytes;
use midstreamer::swarm::agent::{AgentConfig, Handler, Work};
use midstreamer::swarm::coordinator::{CoordinatorConfig, TaskRequest};
use midstreamer::swarm::{Agent, Coordinator, SwarmCode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::{Child, Command};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{env, thread};

const AGENTS: usize = 100;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_millis(1);
const FLOOD_PER_S: u32 = 1000;

/// Tells a child whom to flood.
const TARGET: &str = "MIDSTREAMER_BENCH_FLOOD";

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Dials without end; ended by its parent.
async fn flood(target: &str) -> io::Result<()> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"nt-swarm/1".to_vec()];
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
    let config = quinn::ClientConfig::new(Arc::new(quic));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let target = target.parse().map_err(io::Error::other)?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / FLOOD_PER_S);
    loop {
        tick.tick().await;
        let dialling =
            endpoint.connect_with(config.clone(), target, "coordinator").map_err(io::Error::other)?;
        tokio::spawn(async move {
            // What becomes of it is not of interest; those that are not answered are given up.
            drop(tokio::time::timeout(Duration::from_secs(1), dialling).await);
        });
    }
}

struct Echoing(Arc<OnceLock<Agent>>);

impl Handler for Echoing {
    fn run(&self, work: Work) {
        let agent = self.0.wait();
        if agent.may_start(work.token) {
            agent.finished(work.token, Ok(work.payload));
        }
    }

    fn stop(&self, _: u64, _: SwarmCode, _: &str) {}
}

fn connect(coordinator: &Coordinator, id: &str) -> Agent {
    let config = AgentConfig {
        addresses: vec![coordinator.address().to_owned()],
        identity: coordinator.development_identity(id).expect("it has no identity of its own"),
        agent_type: "worker".to_owned(),
        capabilities: Vec::new(),
        metadata: BTreeMap::new(),
        concurrency: 4,
        kinds: vec!["echo".to_owned()],
        connect_timeout_ms: 10_000,
        on_identity: None,
    };
    let cell = Arc::new(OnceLock::new());
    let (sender, connected) = channel();
    let _connecting =
        Agent::connect(config, Arc::new(Echoing(cell.clone())), Arc::new(|_| {}), move |outcome| {
            sender.send(outcome).expect("it is waited for below");
        })
        .expect("the configuration is good");
    let agent = connected.recv().expect("connect always answers").expect("the coordinator is there");
    drop(cell.set(agent.clone()));
    agent
}

/// The times of all tasks of a round, ascending.
fn round(coordinator: &Coordinator, payload: &Bytes) -> Vec<Duration> {
    let (sender, done) = channel();
    let begin = Instant::now();
    let mut submitted = 0;
    while begin.elapsed() < ROUND {
        // From when it should have been submitted.
        let due = begin + PACE * submitted;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sender = sender.clone();
        let task = TaskRequest {
            kind: Arc::from("echo"),
            payload: payload.clone(),
            priority: 0,
            requires: Vec::new(),
            timeout_ms: None,
            attempt_timeout_ms: None,
            progress_timeout_ms: None,
            key: None,
            max_attempts: None,
        };
        coordinator.submit(task, move |outcome| {
            outcome.expect("the handler echoes");
            sender.send(due.elapsed()).expect("it is waited for below");
        });
        submitted += 1;
    }
    let mut times: Vec<_> = done.iter().take(submitted as usize).collect();
    times.sort();
    times
}

fn at(times: &[Duration], share: f64) -> f64 {
    let index = ((times.len() - 1) as f64 * share) as usize;
    times[index].as_secs_f64() * 1e6
}

/// Ends with this.
struct Flood(Child);

impl Flood {
    fn start(target: &str) -> io::Result<Self> {
        Command::new(env::current_exe()?).env(TARGET, target).spawn().map(Self)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() -> io::Result<()> {
    if let Ok(target) = env::var(TARGET) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(flood(&target));
    }
    let (sender, started) = channel();
    Coordinator::start(CoordinatorConfig::default(), Arc::new(|_| {}), move |outcome| {
        sender.send(outcome).expect("it is waited for below");
    });
    let coordinator = started.recv().expect("start always answers").map_err(io::Error::other)?;
    let agents: Vec<_> = (0..AGENTS).map(|i| connect(&coordinator, &format!("agent-{i}"))).collect();
    let payload = Bytes::from(vec![7; 256]);
    drop(round(&coordinator, &payload));

    let mut out = io::stdout();
    writeln!(
        out,
        "| round | flood | tasks | p50 us | p99 us | ratio of p99 |\n| --- | --- | --- | --- | --- | --- |"
    )?;
    let mut ratios = Vec::new();
    for number in 1..=ROUNDS {
        let quiet = round(&coordinator, &payload);
        let flood = Flood::start(coordinator.address())?;
        let flooded = round(&coordinator, &payload);
        drop(flood);
        let ratio = at(&flooded, 0.99) / at(&quiet, 0.99);
        ratios.push(ratio);
        for (name, times, ratio) in [("no", &quiet, String::new()), ("yes", &flooded, format!("{ratio:.2}"))]
        {
            let (count, p50, p99) = (times.len(), at(times, 0.5), at(times, 0.99));
            writeln!(out, "| {number} | {name} | {count} | {p50:.0} | {p99:.0} | {ratio} |")?;
        }
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(
        out,
        "\nmedian ratio {:.2}; {} of {AGENTS} agents are there",
        ratios[ROUNDS / 2],
        coordinator.agents().len()
    )?;
    let text = coordinator.metrics();
    for line in text.lines().filter(|line| line.starts_with("midstreamer_connection_attempts_total")) {
        writeln!(out, "{line}")?;
    }
    drop(agents);
    Ok(())
}
