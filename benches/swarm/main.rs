//! Tasks of 256 bytes between two processes over QUIC: `cargo bench --bench swarm`.
//!
//! A Rust caller in this process, a Rust handler in a child process that answers on its network thread, mutual TLS as
//! always. Criterion's group `swarm` has one round trip with one task in flight, and the throughput of 64. Then, unless
//! a filter is given, a table: percentiles of the round trip, in turns with the control, an echo of the same bytes over
//! bare TCP between the same two processes, round by round; and durable enqueues, in turns with bare fsyncs.

mod control;
mod peer;

use bytes::Bytes;
use control::{Echo, Fsyncs};
use criterion::{Criterion, Throughput};
use midstreamer::swarm::Coordinator;
use midstreamer::swarm::coordinator::{CoordinatorConfig, TaskRequest};
use peer::Peer;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use std::{env, fs, process};

const PAYLOAD: usize = 256;
const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 7;
const ROUND_TRIPS: usize = 5_000;
const THROUGHPUT_TASKS: usize = 100_000;
const ENQUEUES: usize = 5_000;

fn start(config: CoordinatorConfig) -> Coordinator {
    let (sender, started) = channel();
    Coordinator::start(config, Arc::new(|_| {}), move |outcome| {
        sender.send(outcome).expect("main waits for it");
    });
    started.recv().expect("start always answers").expect("loopback has a free port")
}

fn close(coordinator: &Coordinator) {
    let (sender, closed) = channel();
    coordinator.close(move || sender.send(()).expect("main waits for it"));
    closed.recv().expect("close always answers");
}

fn task(payload: &Bytes) -> TaskRequest {
    TaskRequest {
        kind: Arc::from(peer::KIND),
        payload: payload.clone(),
        priority: 0,
        requires: Vec::new(),
        timeout_ms: None,
        attempt_timeout_ms: None,
        progress_timeout_ms: None,
        key: None,
        max_attempts: None,
    }
}

/// A coordinator with one agent in a child process.
struct Swarm {
    coordinator: Coordinator,
    // Killed when it is dropped.
    _peer: Peer,
    payload: Bytes,
    sender: Sender<Instant>,
    done: Receiver<Instant>,
}

impl Swarm {
    fn new() -> Self {
        let coordinator = start(CoordinatorConfig::default());
        let peer = Peer::agent(&coordinator, IN_FLIGHT);
        while coordinator.agents().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (sender, done) = channel();
        Self { coordinator, _peer: peer, payload: Bytes::from(vec![7; PAYLOAD]), sender, done }
    }

    fn submit(&self) {
        let (sender, begun) = (self.sender.clone(), Instant::now());
        self.coordinator.submit(task(&self.payload), move |outcome| {
            outcome.expect("the handler echoes");
            sender.send(begun).expect("main waits for it");
        });
    }

    /// From the call to the callback.
    fn round_trip(&self) -> Duration {
        self.submit();
        self.done.recv().expect("this keeps a sender").elapsed()
    }

    /// `tasks` with 64 in flight: how long it takes, and the time of each.
    fn many(&self, tasks: usize) -> (Duration, Vec<Duration>) {
        let begun = Instant::now();
        let mut times = Vec::with_capacity(tasks);
        for submitted in 0..tasks + IN_FLIGHT {
            if submitted >= IN_FLIGHT {
                times.push(self.done.recv().expect("this keeps a sender").elapsed());
            }
            if submitted < tasks {
                self.submit();
            }
        }
        (begun.elapsed(), times)
    }
}

fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() - 1) as f64 * share) as usize;
    times[at].as_secs_f64() * 1e6
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Our round trips and the control's in turns; medians over rounds of the percentiles of each round.
fn latency(out: &mut impl Write, swarm: &Swarm, echo: &mut Echo) -> io::Result<()> {
    let mut of = [const { Vec::new() }; 6];
    for _ in 0..ROUNDS {
        let mut ours: Vec<Duration> = (0..ROUND_TRIPS).map(|_| swarm.round_trip()).collect();
        let mut control =
            (0..ROUND_TRIPS).map(|_| echo.round_trip()).collect::<io::Result<Vec<Duration>>>()?;
        let (took, mut loaded) = swarm.many(THROUGHPUT_TASKS / ROUNDS);
        let found = [
            percentile(&mut ours, 0.5),
            percentile(&mut ours, 0.99),
            percentile(&mut control, 0.5),
            percentile(&mut control, 0.99),
            percentile(&mut loaded, 0.5),
            (THROUGHPUT_TASKS / ROUNDS) as f64 / took.as_secs_f64(),
        ];
        for (all, one) in of.iter_mut().zip(found) {
            all.push(one);
        }
    }
    let [p50, p99, tcp50, tcp99, loaded, rate] = of.map(|mut values| median(&mut values));
    writeln!(out, "\n{PAYLOAD} bytes, medians of {ROUNDS} rounds")?;
    writeln!(out, "one in flight: p50 {p50:.0} us, p99 {p99:.0} us")?;
    writeln!(
        out,
        "TCP echo:      p50 {tcp50:.0} us, p99 {tcp99:.0} us; ours / TCP: p50 {:.2}, p99 {:.2}",
        p50 / tcp50,
        p99 / tcp99
    )?;
    writeln!(out, "{IN_FLIGHT} in flight: {rate:.0} tasks/s, p50 {loaded:.0} us")
}

/// Enqueues into a durable store, {IN_FLIGHT} at a time, in turns with bare fsyncs.
fn durability(out: &mut impl Write) -> io::Result<()> {
    let directory = env::temp_dir().join(format!("midstreamer-bench-{}", process::id()));
    fs::create_dir_all(&directory)?;
    let config = CoordinatorConfig { data_dir: Some(directory.join("data")), ..CoordinatorConfig::default() };
    let coordinator = start(config);
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let mut fsyncs = Fsyncs::new(&directory.join("control"))?;
    let (sender, done) = channel();
    let mut of = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut times = Vec::with_capacity(ENQUEUES);
        for enqueued in 0..ENQUEUES + IN_FLIGHT {
            if enqueued >= IN_FLIGHT {
                let at: Instant = done.recv().expect("this keeps a sender");
                times.push(at.elapsed());
            }
            if enqueued < ENQUEUES {
                let (sender, begun) = (sender.clone(), Instant::now());
                coordinator.enqueue(task(&payload), move |accepted| {
                    accepted.expect("there is room");
                    sender.send(begun).expect("main waits for it");
                });
            }
        }
        of[0].push(ENQUEUES as f64 / begun.elapsed().as_secs_f64());
        of[1].push(percentile(&mut times, 0.99));
        let mut control = (0..200).map(|_| fsyncs.one()).collect::<io::Result<Vec<Duration>>>()?;
        of[2].push(percentile(&mut control, 0.99));
    }
    let [rate, p99, fsync99] = of.map(|mut values| median(&mut values));
    writeln!(
        out,
        "durable enqueue, {IN_FLIGHT} in flight: {rate:.0} tasks/s, p99 {p99:.0} us; fsync p99 {fsync99:.0} us; ours / fsync {:.2}",
        p99 / fsync99
    )?;
    close(&coordinator);
    fs::remove_dir_all(&directory)
}

fn table_is_wanted() -> bool {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    has("--bench")
        && !has("--test")
        && !has("--list")
        && arguments.iter().all(|argument| argument.starts_with('-'))
}

fn main() -> io::Result<()> {
    if peer::is_child() {
        return peer::run();
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10)
        .configure_from_args();
    let swarm = Swarm::new();
    let mut group = criterion.benchmark_group("swarm");
    group.bench_function("one in flight", |bencher| bencher.iter(|| swarm.round_trip()));
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("64 in flight, 1000 tasks", |bencher| bencher.iter(|| swarm.many(1_000)));
    group.finish();
    criterion.final_summary();
    if table_is_wanted() {
        let out = &mut io::stdout().lock();
        latency(out, &swarm, &mut Echo::start()?)?;
        durability(out)?;
    }
    close(&swarm.coordinator);
    Ok(())
}
