//! The streams of one connection: frames of one lane leave in order through one writer, in as few writes as there are
//! turns, and large payloads take streams of their own.

use crate::protocol::frame::{self, Decoder, Frame, FrameError, INLINE_PAYLOAD_BYTES};
use crate::protocol::messages::{Code, FrameKind, Lane};
use crate::swarm::pace::{Begun, Pace};
use bytes::{Bytes, BytesMut};
use prost::Message;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// What may wait in a lane for a peer that does not read: beyond it the peer is cut off. Tasks and their results are
/// not counted: slots bound them, and whoever sends them keeps them anyway.
pub(super) const MAX_WAITING: usize = 16 << 20;

/// The same for messages that take streams of their own: two of the longest.
const MAX_LARGE_WAITING: usize = 128 << 20;

/// A peer that has taken something within this time reads, and may have up to so many times the limit waiting: a burst is not
/// a peer that is stuck.
const READING: Duration = Duration::from_secs(2);
const BURST: usize = 8;

/// What a lane writes at once, so that it is seen to move.
const PART: usize = 256 << 10;

/// Priorities of streams; quinn sends the highest first.
const CONTROL_PRIORITY: i32 = 2;
const TASK_PRIORITY: i32 = 1;
const LARGE_PRIORITY: i32 = 0;

/// Bytes through all connections of a coordinator or an agent, frames as sent.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

/// Frames on their way into one stream. Any thread may add some; one task writes them.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    /// What waits has time: it goes with the next frame of any lane, or soon.
    lazy: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: BytesMut,
    /// Bytes of those that nothing else bounds.
    unbounded: usize,
}

/// How long a frame that has time waits for company. A packet of its own costs both sides about as much as a task.
const LAZINESS: Duration = Duration::from_millis(2);

/// Where frames to one peer go.
#[derive(Debug, Clone)]
pub(super) struct Outgoing(Arc<Lanes>);

#[derive(Debug)]
struct Lanes {
    connection: Connection,
    runtime: Handle,
    control: Queue,
    tasks: Queue,
    /// Bytes of messages that wait in streams of their own.
    large: AtomicUsize,
    traffic: Arc<Traffic>,
    since: Instant,
    /// When the peer last took something, in milliseconds after that.
    moved_ms: AtomicU64,
}

impl Lanes {
    fn moved(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Relaxed);
    }

    /// Whether `waiting` bytes are more than a peer that reads would have.
    fn is_too_much(&self, waiting: usize, limit: usize) -> bool {
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        let reads = self.since.elapsed().saturating_sub(moved) < READING;
        waiting > if reads { BURST * limit } else { limit }
    }
}

/// Why a frame was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// It will never be fit to be sent.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// More than [`MAX_WAITING`], or than [`MAX_LARGE_WAITING`], waits for the peer already.
    #[error("the peer does not read what waits for it")]
    SlowPeer,
}

impl Outgoing {
    pub(super) fn new(connection: Connection, runtime: Handle, traffic: Arc<Traffic>) -> Self {
        let (control, tasks) = (Queue::default(), Queue::default());
        Self(Arc::new(Lanes {
            connection,
            runtime,
            control,
            tasks,
            large: AtomicUsize::new(0),
            traffic,
            since: Instant::now(),
            moved_ms: AtomicU64::new(0),
        }))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Closes the connection, unless the peer does so in time.
    pub(super) fn close_within(&self, time: Duration) {
        let connection = self.0.connection.clone();
        self.0.runtime.spawn(async move {
            if tokio::time::timeout(time, connection.closed()).await.is_err() {
                connection.close(VarInt::from_u32(Code::Closed as u32), b"goodbye");
            }
        });
    }

    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Control => &self.0.control,
            Lane::Task | Lane::Sync | Lane::Enrolment => &self.0.tasks,
        }
    }

    /// Sends one frame on the lane of its kind; returns at once. What is sent before the lane has its stream waits for it.
    pub(super) fn send(
        &self,
        kind: FrameKind,
        request: u64,
        header: &impl Message,
        payload: &Bytes,
    ) -> Result<(), SendError> {
        if payload.len() > INLINE_PAYLOAD_BYTES {
            let bytes = if is_bounded(kind) { 0 } else { payload.len() };
            if bytes > 0 && self.0.is_too_much(self.0.large.load(Ordering::Relaxed), MAX_LARGE_WAITING) {
                return Err(SendError::SlowPeer);
            }
            let mut head = BytesMut::new();
            frame::encode_message_head(kind, request, header, payload.len(), &mut head)?;
            self.0.large.fetch_add(bytes, Ordering::Relaxed);
            let (to, head, payload) = (self.clone(), head.freeze(), payload.clone());
            self.0.runtime.spawn(async move {
                send_large(&to, head, payload).await;
                to.0.large.fetch_sub(bytes, Ordering::Relaxed);
            });
            return Ok(());
        }
        let queue = self.queue(kind.lane());
        let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_bounded(kind) && self.0.is_too_much(waiting.unbounded, MAX_WAITING) {
            return Err(SendError::SlowPeer);
        }
        let before = waiting.frames.len();
        frame::encode_message(kind, request, header, payload, &mut waiting.frames)?;
        if !is_bounded(kind) {
            waiting.unbounded += waiting.frames.len() - before;
        }
        drop(waiting);
        if before == 0 || queue.lazy.swap(false, Ordering::Relaxed) {
            queue.filled.notify_one();
        }
        Ok(())
    }

    /// The same on the control lane for a frame that has time, and that answers one of the peer's.
    pub(super) fn send_lazily(&self, kind: FrameKind, header: &impl Message) -> Result<(), FrameError> {
        let queue = &self.0.control;
        let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.frames.is_empty();
        frame::encode_message(kind, 0, header, &[], &mut waiting.frames)?;
        if was_empty {
            queue.lazy.store(true, Ordering::Relaxed);
            let this = self.clone();
            self.0.runtime.spawn(async move {
                tokio::time::sleep(LAZINESS).await;
                if this.0.control.lazy.swap(false, Ordering::Relaxed) {
                    this.0.control.filled.notify_one();
                }
            });
        }
        Ok(())
    }

    /// The same for frames that are encoded already.
    pub(super) fn send_encoded(&self, lane: Lane, frames: &[u8]) -> Result<(), SendError> {
        let queue = self.queue(lane);
        let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.unbounded > MAX_WAITING {
            return Err(SendError::SlowPeer);
        }
        waiting.frames.extend_from_slice(frames);
        waiting.unbounded += frames.len();
        drop(waiting);
        queue.filled.notify_one();
        Ok(())
    }

    /// Writes the lane's frames into its stream until the connection ends.
    pub(super) async fn write(self, lane: Lane, mut stream: SendStream) {
        let priority = if lane == Lane::Control { CONTROL_PRIORITY } else { TASK_PRIORITY };
        // An error is a stream that has ended: the first write says so too.
        drop(stream.set_priority(priority));
        let queue = self.queue(lane);
        let connection = self.0.connection.clone();
        let closed = connection.closed();
        tokio::pin!(closed);
        loop {
            let full = {
                let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.unbounded = 0;
                waiting.frames.split().freeze()
            };
            if full.is_empty() {
                // This task itself keeps the queue: nobody else would end it.
                tokio::select! {
                    () = queue.filled.notified() => continue,
                    _ = &mut closed => return,
                }
            }
            self.0.traffic.sent.fetch_add(full.len() as u64, Ordering::Relaxed);
            // What waits for company on the control lane has some now: its task runs before the connection sends, and both
            // streams go in one packet. Not in `send`: another thread would wake this one twice, for two packets.
            if lane != Lane::Control && self.0.control.lazy.swap(false, Ordering::Relaxed) {
                self.0.control.filled.notify_one();
            }
            let mut rest = full;
            while !rest.is_empty() {
                let part = rest.split_to(rest.len().min(PART));
                if let Err(error) = stream.write_chunk(part).await {
                    // A lane that is not read any more is no lane: without it the connection is of no use.
                    tracing::debug!(%error, "a lane has ended");
                    connection.close(VarInt::from_u32(Code::Protocol as u32), b"a lane ended");
                    return;
                }
                self.0.moved();
            }
        }
    }
}

/// By slots.
fn is_bounded(kind: FrameKind) -> bool {
    matches!(kind, FrameKind::Assign | FrameKind::Complete | FrameKind::TaskError)
}

/// One frame in a stream of its own. A connection that ends meanwhile takes the frame with it, as it does those in lanes: the
/// protocol sends what matters again.
async fn send_large(to: &Outgoing, head: Bytes, payload: Bytes) {
    let Ok(mut stream) = to.connection().open_uni().await else { return };
    drop(stream.set_priority(LARGE_PRIORITY));
    to.0.traffic.sent.fetch_add((head.len() + payload.len()) as u64, Ordering::Relaxed);
    if stream.write_all_chunks(&mut [head, payload]).await.is_ok() {
        to.0.moved();
        drop(stream.finish());
        // Dropped sooner, the stream would be reset with its end still on the way.
        drop(stream.stopped().await);
    }
}

/// Why a connection has ended whose control lane has: where the lane alone has, the rest is of no use, and it is closed. To
/// close one that the peer has closed would put our words in the place of the peer's.
pub(super) async fn end_of(connection: &Connection) -> ConnectionError {
    if connection.close_reason().is_none() {
        connection.close(VarInt::from_u32(Code::Protocol as u32), b"the control lane ended");
    }
    connection.closed().await
}

/// Frames as they come out of one stream.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    arrived: BytesMut,
    decoder: Decoder,
    traffic: Arc<Traffic>,
    /// Where frames must not arrive too slowly; and the one that has begun, with the time of its next tick.
    pace: Option<Paced>,
    begun: Option<(Begun, Instant)>,
}

/// A connection on which frames must not arrive too slowly: where one does, the connection is closed.
#[derive(Debug, Clone)]
pub(super) struct Paced {
    pace: Pace,
    connection: Connection,
}

impl Paced {
    pub(super) fn new(connection: Connection, agent_timeout: Duration) -> Self {
        Self { pace: Pace::new(agent_timeout), connection }
    }

    /// A frame begins.
    fn begin(&self) -> (Begun, Instant) {
        (self.pace.begin(), Instant::now() + self.pace.tick())
    }

    /// The next bytes of a frame that has begun.
    async fn read(
        &self,
        stream: &mut RecvStream,
        (begun, next): &mut (Begun, Instant),
    ) -> Result<Option<quinn::Chunk>, LaneEnd> {
        loop {
            // What is there already is taken also when the time is up.
            match timeout_at((*next).into(), stream.read_chunk(usize::MAX, true)).await {
                Ok(chunk) => return chunk.map_err(|_| LaneEnd::Closed),
                Err(_) if self.pace.is_stalled(begun) => {
                    tracing::warn!(peer = %self.connection.remote_address(), "a frame has begun and does not go on");
                    self.connection.close(VarInt::from_u32(Code::Timeout as u32), b"a frame does not go on");
                    return Err(LaneEnd::Closed);
                }
                Err(_) => *next = Instant::now() + self.pace.tick(),
            }
        }
    }
}

/// Why no frame came.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// The stream or the connection ended.
    Closed,
    /// What came is no frame.
    Malformed(FrameError),
}

impl Incoming {
    pub(super) fn new(stream: RecvStream, max_frame_bytes: usize, traffic: Arc<Traffic>) -> Self {
        let decoder = Decoder::new(max_frame_bytes);
        Self { stream, arrived: BytesMut::new(), decoder, traffic, pace: None, begun: None }
    }

    /// From now on frames must not arrive too slowly.
    pub(super) fn keep(&mut self, pace: Paced) {
        self.pace = Some(pace);
    }

    /// The limit for frames that have not begun to arrive.
    pub(super) fn allow(&mut self, max_frame_bytes: usize) {
        self.decoder = Decoder::new(max_frame_bytes);
    }

    /// The next frame, waited for.
    pub(super) async fn next(&mut self) -> Result<Frame, LaneEnd> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.arrived).map_err(LaneEnd::Malformed)? {
                self.begun = None;
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    /// Waits for at least one frame and gives every frame that has come whole.
    pub(super) async fn batch(&mut self, frames: &mut Vec<Frame>) -> Result<(), LaneEnd> {
        while frames.is_empty() {
            while let Some(frame) = self.decoder.decode(&mut self.arrived).map_err(LaneEnd::Malformed)? {
                self.begun = None;
                frames.push(frame);
            }
            if frames.is_empty() {
                self.read().await?;
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), LaneEnd> {
        let chunk = match &self.pace {
            Some(pace) if !self.arrived.is_empty() => {
                pace.read(&mut self.stream, self.begun.get_or_insert_with(|| pace.begin())).await?
            }
            _ => self.stream.read_chunk(usize::MAX, true).await.map_err(|_| LaneEnd::Closed)?,
        };
        let bytes = chunk.ok_or(LaneEnd::Closed)?.bytes;
        self.traffic.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Some(pace) = &self.pace {
            pace.pace.brought(bytes.len());
        }
        self.arrived.extend_from_slice(&bytes);
        Ok(())
    }
}

/// The frame that a stream of its own consists of; none when it is one that we may ignore. With a pace it must not arrive
/// too slowly.
pub(super) async fn read_large(
    mut stream: RecvStream,
    max_frame_bytes: usize,
    traffic: &Traffic,
    pace: Option<&Paced>,
) -> Result<Option<Frame>, LaneEnd> {
    let mut begun = pace.map(Paced::begin);
    // Copied, piece by piece: a piece keeps the memory of the whole packet that it came in.
    let mut bytes = Vec::new();
    loop {
        let chunk = match (pace, &mut begun) {
            (Some(pace), Some(begun)) => pace.read(&mut stream, begun).await?,
            _ => stream.read_chunk(usize::MAX, true).await.map_err(|_| LaneEnd::Closed)?,
        };
        let Some(chunk) = chunk else { break };
        // The length field is not part of the length.
        if bytes.len() + chunk.bytes.len() > max_frame_bytes + 4 {
            return Err(LaneEnd::Malformed(FrameError::TooLong {
                length: max_frame_bytes + 5,
                limit: max_frame_bytes,
            }));
        }
        traffic.received.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        if let Some(pace) = pace {
            pace.pace.brought(chunk.bytes.len());
        }
        bytes.extend_from_slice(&chunk.bytes);
    }
    // Kept for hours where it is a result: without what it has grown ahead.
    bytes.shrink_to_fit();
    Decoder::new(max_frame_bytes).decode_alone(bytes.into()).map_err(LaneEnd::Malformed)
}
