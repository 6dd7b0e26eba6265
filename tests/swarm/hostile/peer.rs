//! A client that speaks QUIC and frames, and keeps no other rule.

use crate::live::PATIENCE;
use bytes::{Bytes, BytesMut};
use midstreamer::protocol::frame::{Decoder, Frame, encode_message};
use midstreamer::protocol::messages::{Code, FrameKind, Hello, Lane, LaneOpen, Welcome};
use midstreamer::security::{Admission, Identity, client_config};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connecting, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) const ALPN: &[u8] = b"nt-swarm/1";

/// A thread that drives the sockets of a test's peers, so that the test itself may wait for other things.
pub(crate) struct Net {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Net {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        // An error is the sender's end, which is a stop too.
        let thread = thread::spawn(move || drop(runtime.block_on(stopped)));
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Runs a future here; one that takes too long is a failed test.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.run_for(PATIENCE, future)
    }

    pub(crate) fn run_for<T>(&self, patience: Duration, future: impl Future<Output = T>) -> T {
        self.handle.block_on(async { timeout(patience, future).await.expect("a peer waits in vain") })
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let _inside = self.handle.enter();
        Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    /// Begins to dial.
    pub(crate) fn connecting(
        &self,
        from: &Endpoint,
        config: quinn::ClientConfig,
        to: SocketAddr,
    ) -> Connecting {
        let _inside = self.handle.enter();
        from.connect_with(config, to, "coordinator").unwrap()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic in there was reported where it happened.
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

pub(crate) fn quic(tls: Arc<rustls::ClientConfig>) -> quinn::ClientConfig {
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

pub(crate) fn of_identity(identity: &Identity) -> quinn::ClientConfig {
    quic(client_config(identity, &[ALPN], &Admission::default()).unwrap())
}

/// Dials and waits for the end of the handshake, as the client sees it.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    config: quinn::ClientConfig,
    address: &str,
) -> Result<Connection, ConnectionError> {
    endpoint.connect_with(config, address.parse().unwrap(), "coordinator").unwrap().await
}

/// Frames of one bidirectional stream.
pub(crate) struct Stream {
    pub(crate) send: SendStream,
    pub(crate) receive: RecvStream,
    arrived: BytesMut,
}

impl Stream {
    pub(crate) async fn open(connection: &Connection) -> Self {
        let (send, receive) = connection.open_bi().await.unwrap();
        Self::of(send, receive)
    }

    pub(crate) fn of(send: SendStream, receive: RecvStream) -> Self {
        Self { send, receive, arrived: BytesMut::new() }
    }

    /// Whatever bytes these are. A connection that ends meanwhile is what the test looks at next.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        drop(self.send.write_all(bytes).await);
    }

    pub(crate) async fn send(
        &mut self,
        kind: FrameKind,
        request: u64,
        header: &impl prost::Message,
        payload: &[u8],
    ) {
        self.raw(&encoded(kind, request, header, payload)).await;
    }

    /// The next frame; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Decoder::new(1 << 30).decode(&mut self.arrived).unwrap() {
                return Some(frame);
            }
            let chunk = self.receive.read_chunk(usize::MAX, true).await.ok()??;
            self.arrived.extend_from_slice(&chunk.bytes);
        }
    }

    /// The next frame of this kind; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: FrameKind) -> Frame {
        loop {
            let frame = self.next().await.expect("the stream has ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }
}

pub(crate) fn encoded(kind: FrameKind, request: u64, header: &impl prost::Message, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    encode_message(kind, request, header, payload, &mut out).unwrap();
    out.freeze()
}

/// A frame that need not be one: length as it should be, all else as given.
pub(crate) fn forged(kind: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(10 + rest.len()).unwrap().to_le_bytes().to_vec();
    out.extend([kind, flags]);
    out.extend([0; 8]);
    out.extend(rest);
    out
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocol: 1,
        instance: Bytes::from_static(&[7; 16]),
        agent_type: "worker".to_owned(),
        kinds: vec!["work".to_owned()],
        slots: 4,
        ..Hello::default()
    }
}

/// A peer with a good certificate that was let in.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) control: Stream,
    pub(crate) welcome: Welcome,
    /// Kept: a connection ends with its endpoint.
    _endpoint: Endpoint,
}

impl Peer {
    pub(crate) async fn welcomed(
        endpoint: Endpoint,
        identity: &Identity,
        address: &str,
        hello: &Hello,
    ) -> Self {
        let connection = dial(&endpoint, of_identity(identity), address).await.unwrap();
        let mut control = Stream::open(&connection).await;
        control.send(FrameKind::Hello, 0, hello, &[]).await;
        let welcome = control.next_of(FrameKind::Welcome).await.message().unwrap();
        Self { connection, control, welcome, _endpoint: endpoint }
    }

    pub(crate) async fn task_lane(&self) -> Stream {
        let mut lane = Stream::open(&self.connection).await;
        lane.send(FrameKind::LaneOpen, 0, &LaneOpen { lane: Lane::Task.into() }, &[]).await;
        lane
    }

    /// A stream for one frame.
    pub(crate) async fn alone(&self, bytes: &[u8]) {
        let mut stream = self.connection.open_uni().await.unwrap();
        // The connection may end before it is through.
        if stream.write_all(bytes).await.is_ok() {
            drop(stream.finish());
            drop(stream.stopped().await);
        }
    }

    /// Waits for the end, and for what the coordinator says about it.
    pub(crate) async fn cut_off(&self) -> (Code, String) {
        ending(&self.connection).await
    }
}

/// The code and the words with which the coordinator has closed a connection.
pub(crate) async fn ending(connection: &Connection) -> (Code, String) {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(closed) => {
            let code = i32::try_from(closed.error_code.into_inner()).unwrap();
            (Code::try_from(code).unwrap(), String::from_utf8_lossy(&closed.reason).into_owned())
        }
        other => panic!("the connection has ended otherwise: {other}"),
    }
}
