//! The other process: this binary again, told by an environment variable what it is.

use midstreamer::security::Identity;
use midstreamer::swarm::agent::{AgentConfig, Handler, Work};
use midstreamer::swarm::{Agent, Coordinator, SwarmCode};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::{env, process};

/// What the agent handles.
pub(crate) const KIND: &str = "echo";

const ROLE: &str = "MIDSTREAMER_BENCH_PEER";
const IDENTITY: [&str; 3] =
    ["MIDSTREAMER_BENCH_CERTIFICATE", "MIDSTREAMER_BENCH_KEY", "MIDSTREAMER_BENCH_CA"];

/// A child process; it ends with its standard input, and with this.
pub(crate) struct Peer(Child);

impl Peer {
    fn spawn(role: &str, variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(env::current_exe().expect("a running program has a path"));
        command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        Self(command.spawn().expect("this program can be started once more"))
    }

    /// An agent that echoes, with so many slots.
    pub(crate) fn agent(coordinator: &Coordinator, slots: usize) -> Self {
        let identity =
            coordinator.development_identity("bench").expect("the coordinator has no identity of its own");
        let texts = [identity.certificate(), identity.private_key(), identity.ca()];
        let mut variables: Vec<(&str, String)> =
            IDENTITY.into_iter().zip(texts.into_iter().map(str::to_owned)).collect();
        variables.push(("MIDSTREAMER_BENCH_SLOTS", slots.to_string()));
        Self::spawn(coordinator.address(), &variables)
    }

    /// An echo of what comes over TCP; with its address.
    pub(crate) fn tcp_echo() -> io::Result<(Self, String)> {
        let mut peer = Self::spawn("tcp", &[]);
        let mut address = String::new();
        let out = peer.0.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut address)?;
        Ok((peer, address.trim().to_owned()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn is_child() -> bool {
    env::var_os(ROLE).is_some()
}

/// What a child does.
pub(crate) fn run() -> io::Result<()> {
    let role = env::var(ROLE).map_err(io::Error::other)?;
    if role == "tcp" { echo_tcp() } else { serve(role) }
}

fn echo_tcp() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let (mut stream, _): (TcpStream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => stream.write_all(&buffer[..bytes])?,
        }
    }
}

/// Answers on the thread that brings the task.
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

fn serve(address: String) -> io::Result<()> {
    let [certificate, key, ca] = IDENTITY.map(|name| env::var(name).unwrap_or_default());
    let slots = env::var("MIDSTREAMER_BENCH_SLOTS").ok().and_then(|slots| slots.parse().ok());
    let config = AgentConfig {
        addresses: vec![address],
        identity: Identity::parse(&certificate, &key, &ca).map_err(io::Error::other)?,
        agent_type: "worker".to_owned(),
        capabilities: Vec::new(),
        metadata: BTreeMap::new(),
        concurrency: slots.unwrap_or(64),
        kinds: vec![KIND.to_owned()],
        connect_timeout_ms: 10_000,
        on_identity: None,
    };
    let agent = Arc::new(OnceLock::new());
    let handler = Arc::new(Echoing(agent.clone()));
    let (sender, connected) = mpsc::channel();
    let _connecting = Agent::connect(config, handler, Arc::new(|_| {}), move |outcome| {
        // The receiver waits below.
        drop(sender.send(outcome));
    })
    .map_err(io::Error::other)?;
    let connected = connected.recv().map_err(io::Error::other)?.map_err(io::Error::other)?;
    drop(agent.set(connected));
    // Until the parent is gone.
    io::stdin().read_to_end(&mut Vec::new())?;
    process::exit(0)
}
