//! The threads that the network has to itself, and how its endpoints are set.
//!
//! A coordinator has one thread; all agents of a process share another. Nothing computes on them: a kernel on the
//! network thread would stop the heartbeats of a thousand agents.

use super::error::{SwarmCode, SwarmError};
use quinn::congestion::CubicConfig;
use quinn::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use std::fs;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Lanes that a peer may open. quinn makes room for each at once: 1,024 of them treble the memory of an idle connection.
const MAX_LANES: u32 = 3;

/// Large payloads that a peer may have on the way at once, each on a stream of its own. All of them are read at once: one
/// that is not would keep its window of the connection, and the lanes with it.
const MAX_LARGE: u32 = 3;

/// What a stream and a connection may have in flight. Large payloads and lanes that are not read leave the control
/// lane its part of the connection's.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = (MAX_LARGE + MAX_LANES) * STREAM_WINDOW;

/// The round trip that is assumed before one was measured. QUIC's default of 333 ms makes every handshake packet that is lost in a
/// storm of logins cost a second.
const INITIAL_RTT: Duration = Duration::from_millis(10);

/// The same for who dials: sent again too soon, first packets are themselves the storm.
const DIALLING_RTT: Duration = Duration::from_millis(50);

/// Kernel buffers of a coordinator's socket: what arrives while five hundred handshakes are being computed waits there.
const COORDINATOR_BUFFER: usize = 4 << 20;
const AGENT_BUFFER: usize = 512 << 10;

/// A thread with a runtime for sockets and timers. It ends when the last clone is gone.
#[derive(Debug, Clone)]
pub(super) struct Network(Arc<Thread>);

#[derive(Debug)]
struct Thread {
    handle: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    joined: Option<thread::JoinHandle<()>>,
}

impl Network {
    /// A thread of its own.
    pub(super) fn start(name: &str) -> Result<Self, SwarmError> {
        let failed = |error: std::io::Error| {
            SwarmError::new(SwarmCode::Internal, format!("no thread for the network: {error}"))
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let joined = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // An error is the sender's end: either way it is time to stop.
                drop(runtime.block_on(stopped));
                // Neither a look-up of a name that hangs is waited for, nor a goodbye that is on its way: `close` did.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Self(Arc::new(Thread { handle, stop: Some(stop), joined: Some(joined) })))
    }

    /// The thread that all agents of this process share.
    pub(super) fn of_agents() -> Result<Self, SwarmError> {
        static SHARED: Mutex<Weak<Thread>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = shared.upgrade() {
            return Ok(Self(thread));
        }
        let network = Self::start("midstreamer-agents")?;
        *shared = Arc::downgrade(&network.0);
        Ok(network)
    }

    /// Runs a future on the thread.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        future: F,
    ) -> tokio::task::JoinHandle<()> {
        self.0.handle.spawn(future)
    }

    /// For what must be made inside a runtime: endpoints, timers.
    pub(super) fn handle(&self) -> &Handle {
        &self.0.handle
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The last clone may be dropped by a future on the thread itself, which then cannot wait for it.
        if let Some(joined) = self.joined.take()
            && joined.thread().id() != thread::current().id()
        {
            // A panic in a future was reported where it happened.
            drop(joined.join());
        }
    }
}

/// Which side an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Coordinator,
    Agent,
}

/// How a connection behaves. All its times come from one number, so that no two of them contradict each other.
pub(super) fn transport(side: Side, agent_timeout: Duration) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(agent_timeout).unwrap_or_else(|_| IdleTimeout::from(VarInt::MAX));
    config
        .initial_rtt(if side == Side::Coordinator { INITIAL_RTT } else { DIALLING_RTT })
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_LANES))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_LARGE))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    if side == Side::Agent {
        // One side is enough, and the agents are the many.
        config.keep_alive_interval(Some(agent_timeout / 3));
    }
    Arc::new(config)
}

/// A UDP socket at `address` with room for a storm of packets.
pub(super) fn socket(address: SocketAddr, side: Side) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // `[::]` serves IPv4 too; a system that cannot says so at bind or serves IPv6 alone.
        drop(socket.set_only_v6(false));
    }
    let wanted = if side == Side::Coordinator { COORDINATOR_BUFFER } else { AGENT_BUFFER };
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // The system may grant less; the coordinator says so in its log.
    socket.set_recv_buffer_size(wanted)?;
    socket.set_send_buffer_size(wanted)?;
    if side == Side::Coordinator {
        // Linux tells twice what it granted: the other half is for its own bookkeeping.
        let granted = socket.recv_buffer_size()? / if cfg!(target_os = "linux") { 2 } else { 1 };
        if granted < wanted {
            tracing::warn!(
                granted,
                wanted,
                "the system grants a small receive buffer: many agents that connect at once will lose packets"
            );
        }
    }
    Ok(socket.into())
}

/// The address of `host:port`; names are looked up, which may wait.
pub(super) fn resolve(name: &str, address: &str) -> Result<SocketAddr, SwarmError> {
    let wrong =
        |why: String| SwarmError::new(SwarmCode::InvalidArgument, format!("{name} {address:?}: {why}"));
    if !address.contains(':') {
        return Err(wrong("must be host:port".to_owned()));
    }
    let found = address.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.into_iter().next().ok_or_else(|| wrong("has no address".to_owned()))
}

/// With keys, connection ids and reset tokens are those of every life that has the same keys.
pub(super) fn endpoint_config(keys: Option<&ResetKeys>) -> EndpointConfig {
    let Some(keys) = keys else { return EndpointConfig::default() };
    let reset = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &keys.reset);
    let mut config = EndpointConfig::new(Arc::new(reset));
    let ids = keys.connection_ids;
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// Keys of an endpoint that outlive the process.
#[derive(Clone)]
pub(super) struct ResetKeys {
    reset: [u8; 64],
    connection_ids: u64,
}

impl ResetKeys {
    const BYTES: usize = 72;

    /// Those in the file, which is made where there is none: 72 random bytes.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = vec![0; Self::BYTES];
                aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
                create_private(path, &bytes)?;
                bytes
            }
            Err(error) => return Err(error),
        };
        let whole = || io::Error::new(io::ErrorKind::InvalidData, "the file of keys is damaged; remove it");
        let (reset, ids) = bytes.split_first_chunk::<64>().ok_or_else(whole)?;
        let ids = ids.try_into().map_err(|_| whole())?;
        Ok(Self { reset: *reset, connection_ids: u64::from_le_bytes(ids) })
    }
}

/// Writes a file that only its owner reads, whole or not at all, and durable when it returns.
pub(super) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    // The name is in the directory, which has to reach the disk as well; Windows has no such call.
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}
