//! The workbench alone.

use super::*;

const FENCE: Fence = Fence { epoch: 1, attempt: 1 };
const LATER: Fence = Fence { epoch: 1, attempt: 2 };
const TASK: TaskId = TaskId(1);

fn welcome(resumed: &[(TaskId, Fence)], lease_until: Millis) -> Welcome {
    Welcome { store: [1; 16], epoch: 1, generation: Generation(1), resumed: resumed.to_vec(), lease_until }
}

fn bench() -> Workbench {
    let mut bench = Workbench::new(2);
    bench.connected(welcome(&[], 1_000), 0);
    bench
}

fn drained(bench: &mut Workbench) -> Vec<Effect> {
    let mut effects = Vec::new();
    bench.drain(&mut effects);
    effects
}

fn done() -> Report {
    Report::Completed { value: Bytes::from_static(b"done"), run_ms: 1 }
}

#[test]
fn a_task_is_started_once_and_its_result_kept_until_it_is_acknowledged() {
    let mut bench = bench();
    assert_eq!(bench.assign(TASK, FENCE), Assigned::Run);
    assert_eq!(bench.assign(TASK, FENCE), Assigned::Duplicate);
    assert_eq!(bench.may_start(TASK, FENCE, 5), Start::Now);
    assert_eq!(bench.may_start(TASK, FENCE, 5), Start::Never);
    assert_eq!(bench.may_start(TASK, LATER, 5), Start::Never);
    bench.finished(TASK, FENCE, done());
    let send = [Effect::Send { task: TASK, fence: FENCE, report: Arc::new(done()) }];
    assert_eq!(drained(&mut bench), send);
    for _ in 0..3 {
        bench.disconnected();
        assert_eq!(bench.resume(), [Held { task: TASK, fence: FENCE, finished: true }]);
        bench.connected(welcome(&[(TASK, FENCE)], 1_000), 0);
        assert_eq!(drained(&mut bench), send, "sent again until somebody has it");
    }
    bench.acknowledged(TASK, FENCE);
    assert!(bench.is_idle());
    assert_eq!(bench.assign(TASK, FENCE), Assigned::Refused, "it is over");
}

#[test]
fn nothing_starts_without_a_session_or_after_its_lease() {
    let mut bench = bench();
    bench.assign(TASK, FENCE);
    assert_eq!(bench.may_start(TASK, FENCE, 1_000), Start::Later);
    bench.renewed(1_000, 1_000);
    assert_eq!(drained(&mut bench), []);
    bench.renewed(2_000, 1_000);
    assert_eq!(drained(&mut bench), [Effect::Run { task: TASK, fence: FENCE }]);
    bench.disconnected();
    bench.renewed(9_000, 1_000);
    assert_eq!(bench.may_start(TASK, FENCE, 1_001), Start::Later);
    bench.connected(welcome(&[(TASK, FENCE)], 3_000), 1_002);
    assert_eq!(drained(&mut bench), [Effect::Run { task: TASK, fence: FENCE }]);
    assert_eq!(bench.may_start(TASK, FENCE, 1_003), Start::Now);
}

#[test]
fn what_the_welcome_does_not_list_is_dropped() {
    let mut bench = Workbench::new(4);
    bench.connected(welcome(&[], 1_000), 0);
    let [waiting, running, finished] = [TaskId(1), TaskId(2), TaskId(3)];
    for task in [waiting, running, finished] {
        bench.assign(task, FENCE);
    }
    bench.may_start(running, FENCE, 1);
    bench.may_start(finished, FENCE, 1);
    bench.finished(finished, FENCE, done());
    drained(&mut bench);
    bench.disconnected();
    bench.connected(welcome(&[], 1_000), 0);
    assert_eq!(
        drained(&mut bench),
        [
            Effect::Drop { task: waiting, fence: FENCE },
            Effect::Abort { task: running, fence: FENCE, reason: Abort::Superseded },
        ]
    );
    assert!(bench.is_idle());
    bench.finished(running, FENCE, done());
    assert_eq!((drained(&mut bench).len(), bench.held()), (0, 0));
}

#[test]
fn another_store_means_a_new_beginning() {
    let mut bench = bench();
    bench.assign(TASK, FENCE);
    bench.disconnected();
    bench.connected(Welcome { store: [2; 16], ..welcome(&[(TASK, FENCE)], 1_000) }, 0);
    assert_eq!(drained(&mut bench), [Effect::Drop { task: TASK, fence: FENCE }]);
    assert_eq!(bench.home(), Some(([2; 16], 1)));
    assert_eq!(bench.assign(TASK, FENCE), Assigned::Run, "it is another task");
}

#[test]
fn a_cancel_stops_what_runs_what_waits_and_what_has_not_arrived() {
    let mut bench = bench();
    // Overtaken by its Cancel.
    bench.cancel(TASK, FENCE, 0);
    assert_eq!(bench.assign(TASK, FENCE), Assigned::Refused);
    assert_eq!(drained(&mut bench), [Effect::Stopped { task: TASK, fence: FENCE }]);
    assert_eq!(bench.assign(TASK, LATER), Assigned::Run, "a later attempt is not meant");
    // Not started.
    bench.cancel(TASK, LATER, 0);
    assert_eq!(
        drained(&mut bench),
        [Effect::Drop { task: TASK, fence: LATER }, Effect::Stopped { task: TASK, fence: LATER }]
    );
    assert_eq!(bench.may_start(TASK, LATER, 0), Start::Never);
    // Running: the answer comes when it has stopped, or after the grace.
    for listens in [true, false] {
        let task = TaskId(if listens { 2 } else { 3 });
        bench.assign(task, FENCE);
        bench.may_start(task, FENCE, 0);
        bench.cancel(task, FENCE, 10);
        bench.cancel(task, FENCE, 11);
        let abort = Effect::Abort { task, fence: FENCE, reason: Abort::Cancelled };
        assert_eq!(drained(&mut bench), [abort]);
        assert!(!bench.is_running(task, FENCE) && bench.running() == 1);
        if listens {
            bench.finished(task, FENCE, done());
        } else {
            bench.tick(9 + ABORT_GRACE_MS);
            assert_eq!(drained(&mut bench), []);
            bench.tick(10 + ABORT_GRACE_MS);
        }
        assert_eq!(drained(&mut bench), [Effect::Stopped { task, fence: FENCE }]);
        assert!(bench.is_idle());
    }
    bench.finished(TaskId(3), FENCE, done());
    assert_eq!(drained(&mut bench), [], "what was cancelled has no result");
}

#[test]
fn a_later_attempt_takes_the_place_of_an_earlier_one() {
    let mut bench = bench();
    bench.assign(TASK, FENCE);
    bench.may_start(TASK, FENCE, 0);
    assert_eq!(bench.assign(TASK, LATER), Assigned::Run);
    assert_eq!(drained(&mut bench), [Effect::Abort { task: TASK, fence: FENCE, reason: Abort::Superseded }]);
    assert_eq!(bench.assign(TASK, FENCE), Assigned::Refused);
    assert_eq!(bench.may_start(TASK, LATER, 0), Start::Now);
    bench.finished(TASK, FENCE, done());
    assert!(bench.is_running(TASK, LATER) && drained(&mut bench).is_empty());
}

#[test]
fn everything_is_bounded() {
    let mut bench = bench();
    let most = 4 * 2 + HELD_BEYOND_SLOTS as u64;
    for task in 0..most {
        assert_eq!(bench.assign(TaskId(task), FENCE), Assigned::Run);
    }
    assert_eq!(bench.assign(TaskId(most), FENCE), Assigned::Overflow);
    for task in 0..10 * most {
        bench.cancel(TaskId(1_000_000 + task), FENCE, 0);
    }
    assert_eq!(bench.closed.len(), most as usize);
    bench.close_down();
    assert!(bench.is_idle());
    assert_eq!(bench.assign(TaskId(7), FENCE), Assigned::Refused, "it is closed");
}
