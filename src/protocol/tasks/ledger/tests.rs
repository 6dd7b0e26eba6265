//! The ledger alone.

use super::*;
use bytes::Bytes;

const TIMEOUT: u64 = 10_000;

fn config() -> LedgerConfig {
    LedgerConfig { agent_timeout_ms: TIMEOUT, ..LedgerConfig::default() }
}

fn recovered(epoch: u64, tasks: Vec<TaskRecord>) -> Recovered {
    Recovered { store: [7; 16], epoch, next_task: 1, tasks }
}

fn ledger() -> Ledger {
    Ledger::new(config(), recovered(1, Vec::new()), 0)
}

fn spec(kind: &str) -> TaskSpec {
    TaskSpec {
        kind: kind.into(),
        payload: Bytes::from_static(b"payload"),
        priority: 0,
        requires: Vec::new(),
        timeout_ms: None,
        attempt_timeout_ms: None,
        progress_timeout_ms: None,
        key: None,
        max_attempts: 3,
    }
}

fn keyed(kind: &str, key: &str) -> TaskSpec {
    TaskSpec { key: Some(key.into()), ..spec(kind) }
}

fn offer(kinds: &[&str], slots: u32) -> Offer {
    Offer { kinds: kinds.iter().map(|kind| (*kind).into()).collect(), capabilities: Vec::new(), slots }
}

fn join(ledger: &mut Ledger, id: &str, slots: u32, now: Millis) -> Generation {
    ledger.join(id.into(), [1; 16], offer(&["work"], slots), None, &[], now).unwrap().generation
}

fn drained(ledger: &mut Ledger) -> (Vec<Change>, Vec<Effect>) {
    ledger.audit();
    let (mut changes, mut effects) = (Vec::new(), Vec::new());
    ledger.drain(&mut changes, &mut effects);
    (changes, effects)
}

fn effects(ledger: &mut Ledger) -> Vec<Effect> {
    drained(ledger).1
}

/// What was sent to agents: (agent, task, fence).
fn assigned(effects: &[Effect]) -> Vec<(String, TaskId, Fence)> {
    let it = effects.iter().filter_map(|effect| match effect {
        Effect::Assign { agent, task, fence, .. } => Some((agent.to_string(), task.id, *fence)),
        _ => None,
    });
    it.collect()
}

fn enqueue(ledger: &mut Ledger, spec: TaskSpec, now: Millis) -> TaskId {
    ledger.enqueue(spec, None, true, now).unwrap().task
}

fn complete(
    ledger: &mut Ledger,
    agent: &str,
    generation: Generation,
    task: TaskId,
    fence: Fence,
    now: Millis,
) {
    ledger.completed(agent, generation, task, fence, Bytes::from_static(b"done"), 3, now);
}

fn handler_failure() -> Failure {
    Failure { code: FailureCode::Handler, message: "no".to_owned(), remote_code: None, agent: None }
}

fn settled(effects: &[Effect]) -> Vec<(TaskId, Arc<Outcome>)> {
    let it = effects.iter().filter_map(|effect| match effect {
        Effect::Settled { task, outcome } => Some((*task, outcome.clone())),
        _ => None,
    });
    it.collect()
}

#[test]
fn a_task_is_accepted_leased_and_finished_in_this_order() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    let task = enqueue(&mut ledger, spec("work"), 5);
    let (changes, effects) = drained(&mut ledger);
    assert!(matches!(&changes[..], [Change::Accept(_), Change::Lease { .. }]), "{changes:?}");
    let fence = Fence { epoch: 1, attempt: 1 };
    assert_eq!(assigned(&effects), [("a".to_owned(), task, fence)]);
    complete(&mut ledger, "a", generation, task, fence, 9);
    let (changes, effects) = drained(&mut ledger);
    assert!(matches!(&changes[..], [Change::Finish { .. }]));
    assert!(matches!(&effects[..], [Effect::Acknowledge { accepted: true, .. }, Effect::Settled { .. }]));
    let Some(outcome) = ledger.outcome(task).unwrap() else { panic!("it has its outcome") };
    let Outcome::Completed { attempts, queued_ms, run_ms, .. } = &*outcome else { panic!("{outcome:?}") };
    assert_eq!((*attempts, *queued_ms, *run_ms), (1, 0, 3));
}

#[test]
fn a_result_that_was_accepted_is_acknowledged_again_and_any_other_is_refused() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    let other = join(&mut ledger, "b", 0, 0);
    let task = enqueue(&mut ledger, spec("work"), 0);
    let fence = Fence { epoch: 1, attempt: 1 };
    let answers = |ledger: &mut Ledger| {
        let it = effects(ledger).into_iter().filter_map(|effect| match effect {
            Effect::Acknowledge { accepted, .. } => Some(accepted),
            Effect::Settled { .. } => panic!("an outcome"),
            _ => None,
        });
        it.collect::<Vec<bool>>()
    };
    for (agent, generation, fence) in [
        ("a", generation, Fence { epoch: 1, attempt: 2 }),
        ("a", generation, Fence { epoch: 0, attempt: 1 }),
        ("a", Generation(generation.0 - 1), fence),
        ("a", other, fence),
        ("b", other, fence),
        ("c", other, fence),
    ] {
        complete(&mut ledger, agent, generation, task, fence, 1);
        assert_eq!(answers(&mut ledger), [false], "{agent} {generation:?} {fence}");
        ledger.failed(agent, generation, task, fence, handler_failure(), false, 1);
        assert_eq!(answers(&mut ledger), [false], "{agent} {generation:?} {fence}");
    }
    complete(&mut ledger, "a", generation, task, fence, 2);
    drained(&mut ledger);
    complete(&mut ledger, "a", generation, task, fence, 3);
    complete(&mut ledger, "a", generation, task, fence, 4);
    assert_eq!(answers(&mut ledger), [true, true]);
    complete(&mut ledger, "a", generation, TaskId(99), fence, 4);
    assert_eq!(answers(&mut ledger), [false]);
}

#[test]
fn agents_get_no_more_than_their_slots_and_share_evenly() {
    let mut ledger = ledger();
    let generations = [("a", 2), ("b", 4)].map(|(id, slots)| (id, join(&mut ledger, id, slots, 0)));
    for _ in 0..10 {
        enqueue(&mut ledger, spec("work"), 0);
    }
    let first = assigned(&effects(&mut ledger));
    let count = |agent: &str| first.iter().filter(|(to, ..)| to == agent).count();
    assert_eq!((count("a"), count("b")), (2, 4));
    // By share of the slots: after three, one of two and two of four.
    let early = first.iter().take(3).filter(|(to, ..)| to == "b").count();
    assert!((1..=2).contains(&early), "{first:?}");
    assert_eq!((ledger.counts().queued, ledger.counts().running), (4, 6));
    let (agent, task, fence) = &first[0];
    let generation = generations.iter().find(|(id, _)| id == agent).unwrap().1;
    complete(&mut ledger, agent, generation, *task, *fence, 1);
    assert_eq!(assigned(&effects(&mut ledger)).len(), 1);
    // Equal agents take turns.
    let mut ledger = Ledger::new(config(), recovered(1, Vec::new()), 0);
    let names: Vec<String> = (0..100).map(|number| format!("agent {number}")).collect();
    for name in &names {
        join(&mut ledger, name, 50, 0);
    }
    for _ in 0..1_000 {
        enqueue(&mut ledger, spec("work"), 0);
    }
    assert!(ledger.agents().all(|agent| agent.running == 10));
}

#[test]
fn a_task_goes_to_an_agent_that_can_and_may() {
    let mut ledger = ledger();
    let needs = |names: &[&str]| TaskSpec {
        requires: names.iter().map(|name| (*name).into()).collect(),
        ..spec("work")
    };
    let mut come = |id: &str, kinds: &[&str], capabilities: &[&str], allowed: Option<&[&str]>| {
        let names = |list: &[&str]| list.iter().map(|name| (*name).into()).collect::<Vec<Arc<str>>>();
        let offer = Offer { kinds: names(kinds), capabilities: names(capabilities), slots: 9 };
        ledger.join(id.into(), [1; 16], offer, allowed.map(names), &[], 0).unwrap();
    };
    come("other kind", &["play"], &["gpu", "big"], None);
    come("forbidden", &["work"], &["gpu", "big"], Some(&["play"]));
    come("small", &["work"], &["gpu"], None);
    come("right", &["play", "work"], &["big", "fast", "gpu"], Some(&["work", "play"]));
    for _ in 0..3 {
        enqueue(&mut ledger, needs(&["big", "gpu"]), 0);
    }
    let to: BTreeSet<String> = assigned(&effects(&mut ledger)).into_iter().map(|(to, ..)| to).collect();
    assert_eq!(to, BTreeSet::from(["right".to_owned()]));
    // Nobody can; it waits, and is given out when somebody can.
    let task = enqueue(&mut ledger, needs(&["quantum"]), 0);
    assert_eq!(ledger.task(task).unwrap().status, TaskStatus::Queued);
    assert_eq!(assigned(&effects(&mut ledger)), []);
    let offer = Offer { kinds: vec!["work".into()], capabilities: vec!["quantum".into()], slots: 1 };
    ledger.join("late".into(), [2; 16], offer, None, &[], 5).unwrap();
    assert_eq!(assigned(&effects(&mut ledger))[0].0, "late");
}

#[test]
fn priority_goes_first_and_age_overtakes_it() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    let low_old = enqueue(&mut ledger, spec("work"), 0);
    let fence = Fence { epoch: 1, attempt: 1 };
    let with = |priority| TaskSpec { priority, ..spec("work") };
    let low = enqueue(&mut ledger, with(0), 1_000);
    let high = enqueue(&mut ledger, with(9), 2_000);
    let middle = enqueue(&mut ledger, with(5), 2_000);
    let middle_later = enqueue(&mut ledger, with(5), 3_000);
    // Within 9 steps of the age of the first that waits, no priority is enough; here it has waited for longer.
    let late = enqueue(&mut ledger, with(9), 1_000 + 9 * AGEING_MS + 1);
    let now = 1_000 + 9 * AGEING_MS + 1;
    let mut order = Vec::new();
    let mut running = low_old;
    for _ in 0..5 {
        complete(&mut ledger, "a", generation, running, fence, now);
        let next = assigned(&effects(&mut ledger));
        running = next.last().unwrap().1;
        order.push(running);
    }
    assert_eq!(order, [high, middle, middle_later, low, late]);
}

#[test]
fn a_key_names_one_task_until_it_is_cancelled_or_forgotten() {
    let mut ledger =
        Ledger::new(LedgerConfig { retention_ms: 1_000, ..config() }, recovered(1, Vec::new()), 0);
    let generation = join(&mut ledger, "a", 1, 0);
    let digest = Some([1; 32]);
    let fence = Fence { epoch: 1, attempt: 1 };
    let put = |ledger: &mut Ledger, digest, now| ledger.enqueue(keyed("work", "k"), digest, true, now);
    let first = put(&mut ledger, digest, 0).unwrap();
    assert!(!first.deduplicated);
    assert_eq!(put(&mut ledger, digest, 0), Ok(Enqueued { deduplicated: true, ..first }));
    assert_eq!(put(&mut ledger, Some([2; 32]), 0), Err(Refusal::IdempotencyMismatch));
    let other_kind = ledger.enqueue(keyed("play", "k"), digest, true, 0);
    assert_eq!(other_kind, Err(Refusal::IdempotencyMismatch));
    // Completed and failed tasks keep their key.
    ledger.failed("a", generation, first.task, fence, handler_failure(), false, 10);
    assert_eq!(put(&mut ledger, digest, 10).unwrap().task, first.task);
    ledger.watch(first.task).unwrap();
    assert_eq!(settled(&effects(&mut ledger)).len(), 2, "its outcome comes at once");
    ledger.tick(1_009);
    assert_eq!(put(&mut ledger, digest, 1_009).unwrap().task, first.task);
    ledger.tick(1_010);
    let second = put(&mut ledger, digest, 1_010).unwrap();
    assert!(second.task > first.task && !second.deduplicated);
    assert_eq!(ledger.outcome(first.task), Err(Refusal::Expired));
    assert!(ledger.cancel(second.task, 1_011));
    let third = put(&mut ledger, digest, 1_012).unwrap();
    assert!(third.task > second.task);
    assert_eq!(ledger.by_key("k"), Some(third.task));
    assert_eq!(ledger.outcome(TaskId(1_000)), Err(Refusal::NotFound));
    assert_eq!(ledger.watch(TaskId(1_000)), Err(Refusal::NotFound));
}

#[test]
fn a_failed_attempt_is_repeated_after_a_back_off_until_there_are_no_more() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    let task = enqueue(&mut ledger, spec("work"), 0);
    let mut now = 0;
    for attempt in 1..=3 {
        let sent = assigned(&effects(&mut ledger));
        assert_eq!(sent, [("a".to_owned(), task, Fence { epoch: 1, attempt })]);
        ledger.failed("a", generation, task, sent[0].2, handler_failure(), true, now);
        if attempt == 3 {
            break;
        }
        let (_, effects) = drained(&mut ledger);
        assert!(
            matches!(&effects[..], [Effect::Acknowledge { .. }, Effect::Retried { attempts, .. }] if *attempts == attempt)
        );
        let next = ledger.next_deadline().unwrap();
        let at = match &ledger.tasks[&task].place {
            Place::Waiting { not_before, .. } => *not_before,
            other => panic!("{other:?}"),
        };
        assert!(next <= at && at > now, "{next} {at}");
        ledger.tick(at - 1);
        assert_eq!(assigned(&drained(&mut ledger).1), []);
        now = at;
        ledger.heard("a", generation, now);
        ledger.tick(now);
    }
    let outcomes = settled(&effects(&mut ledger));
    let Outcome::Failed { failure, attempts: 3 } = &*outcomes[0].1 else { panic!("{outcomes:?}") };
    assert_eq!((failure.code, failure.agent.as_deref()), (FailureCode::Handler, Some("a")));
    assert_eq!(ledger.dead_letters().collect::<Vec<_>>(), [task]);
    assert_eq!(ledger.retry_dead_letter(TaskId(77), now), Err(Refusal::NotFound));
    ledger.retry_dead_letter(task, now).unwrap();
    let (changes, effects) = drained(&mut ledger);
    assert_eq!(changes[0].accepts_new(), None, "a dead letter is not withdrawn");
    // Fences go on.
    let fence = Fence { epoch: 1, attempt: 4 };
    assert_eq!(assigned(&effects), [("a".to_owned(), task, fence)]);
    complete(&mut ledger, "a", generation, task, fence, now);
    assert_eq!(ledger.retry_dead_letter(task, now), Err(Refusal::NotDead));
    assert_eq!(ledger.counts().dead_letters, 0);
}

#[test]
fn a_process_that_comes_back_goes_on_and_another_one_has_to_wait() {
    let mut ledger = ledger();
    let first = join(&mut ledger, "a", 2, 0);
    let [kept, dropped] = [enqueue(&mut ledger, spec("work"), 0), enqueue(&mut ledger, spec("work"), 0)];
    let fence = Fence { epoch: 1, attempt: 1 };
    ledger.leave("a", first, Departure::Disconnected, 100);
    assert_eq!(ledger.counts().running, 2);
    drained(&mut ledger);
    // Another process of the same name is let in, and gets neither.
    let held = [Held { task: kept, fence, finished: false }];
    let other = ledger.join("a".into(), [2; 16], offer(&["work"], 2), None, &held, 200).unwrap();
    assert_eq!(other.resumed, []);
    assert_eq!(assigned(&effects(&mut ledger)), []);
    // The first comes back: it goes on with what it lists, and the rest is given out again at once.
    let back = ledger.join("a".into(), [1; 16], offer(&["work"], 2), None, &held, 300).unwrap();
    assert_eq!(back.resumed, [(kept, fence)]);
    let effects = effects(&mut ledger);
    assert!(effects.contains(&Effect::Replace { agent: "a".into(), generation: other.generation }));
    assert_eq!(assigned(&effects), [("a".to_owned(), dropped, Fence { epoch: 1, attempt: 2 })]);
    complete(&mut ledger, "a", back.generation, kept, fence, 301);
    assert_eq!(ledger.counts().completed, 1);
}

#[test]
fn what_a_replaced_process_had_waits_for_its_answer_or_its_timeout() {
    for answers in [true, false] {
        let mut ledger = ledger();
        let first = join(&mut ledger, "a", 1, 0);
        let task = enqueue(&mut ledger, spec("work"), 0);
        let second = ledger.join("a".into(), [2; 16], offer(&["work"], 1), None, &[], 4_000).unwrap();
        assert!(!ledger.heard("a", first, 4_001), "a replaced session is not kept alive");
        complete(&mut ledger, "a", first, task, Fence { epoch: 1, attempt: 1 }, 4_001);
        assert_eq!((assigned(&effects(&mut ledger)).len(), ledger.counts().running), (1, 1));
        let until = if answers {
            ledger.leave("a", first, Departure::Disconnected, 4_002);
            assert_eq!(ledger.counts().queued, 0);
            ledger.leave("a", first, Departure::ReplacedAcknowledged, 4_003);
            4_003
        } else {
            run(&mut ledger, &[("a", second.generation)], 4_001, TIMEOUT - 1);
            assert_eq!(assigned(&effects(&mut ledger)), []);
            run(&mut ledger, &[("a", second.generation)], TIMEOUT, TIMEOUT + TIMEOUT / 16);
            TIMEOUT
        };
        let sent = assigned(&effects(&mut ledger));
        assert_eq!(sent, [("a".to_owned(), task, Fence { epoch: 1, attempt: 2 })], "{until}");
    }
}

/// Time goes by, and these agents are there.
fn run(ledger: &mut Ledger, agents: &[(&str, Generation)], from: Millis, to: Millis) {
    for now in (from..=to).step_by(100).chain([to]) {
        for (agent, generation) in agents {
            ledger.heard(agent, *generation, now);
        }
        ledger.tick(now);
    }
}

#[test]
fn a_silent_agent_is_lost_and_a_goodbye_costs_no_attempt() {
    let mut ledger = ledger();
    let lost = join(&mut ledger, "lost", 1, 0);
    let task = enqueue(&mut ledger, spec("work"), 0);
    let leaving = join(&mut ledger, "leaving", 1, 0);
    let given_back = enqueue(&mut ledger, spec("work"), 0);
    drained(&mut ledger);
    run(&mut ledger, &[("leaving", leaving)], 0, TIMEOUT - 1);
    assert_eq!(effects(&mut ledger), []);
    run(&mut ledger, &[("leaving", leaving)], TIMEOUT, TIMEOUT + TIMEOUT / 16);
    let seen = effects(&mut ledger);
    assert!(seen.contains(&Effect::Lost { agent: "lost".into(), generation: lost }), "{seen:?}");
    assert_eq!(ledger.task(task).unwrap().attempts, 1);
    ledger.leave("leaving", leaving, Departure::Goodbye, 2 * TIMEOUT);
    assert_eq!(ledger.task(given_back).unwrap().attempts, 0);
    assert_eq!((ledger.counts().queued, ledger.counts().agents), (2, 0));
    assert_eq!(ledger.agents().count(), 0);
}

#[test]
fn the_tasks_of_an_agent_that_was_expelled_go_on_at_once() {
    for lost_before in [false, true] {
        let mut ledger = ledger();
        let generation = join(&mut ledger, "a", 1, 0);
        let task = enqueue(&mut ledger, spec("work"), 0);
        drained(&mut ledger);
        if lost_before {
            ledger.leave("a", generation, Departure::Disconnected, 1);
            assert_eq!(ledger.counts().queued, 0, "it may come back");
        }
        ledger.leave("a", generation, Departure::Expelled, 2);
        assert_eq!(ledger.task(task).unwrap().attempts, 1);
        assert_eq!((ledger.counts().queued, ledger.counts().agents, ledger.agents().count()), (1, 0, 0));
    }
}

#[test]
fn a_ledger_that_was_stopped_loses_nobody() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    enqueue(&mut ledger, spec("work"), 0);
    drained(&mut ledger);
    ledger.tick(100 * TIMEOUT);
    assert_eq!(effects(&mut ledger), [], "what it said meanwhile is still unread");
    assert!(ledger.heard("a", generation, 100 * TIMEOUT));
    // Silence after that counts.
    run(&mut ledger, &[], 100 * TIMEOUT, 101 * TIMEOUT + TIMEOUT / 16);
    assert_eq!(effects(&mut ledger)[0], Effect::Lost { agent: "a".into(), generation });
}

#[test]
fn a_restart_gives_each_holder_one_timeout() {
    let fence = Fence { epoch: 1, attempt: 2 };
    let leased = |id: u64, agent: &str| TaskRecord {
        id: TaskId(id),
        spec: spec("work"),
        digest: None,
        accepted_at: 5,
        dispatches: 2,
        attempts: 1,
        phase: Phase::Leased { agent: agent.into(), fence, since: 7 },
    };
    let tasks = vec![leased(1, "a"), leased(2, "a"), leased(3, "b")];
    let mut ledger = Ledger::new(config(), recovered(2, tasks), 1_000);
    let idle = join(&mut ledger, "idle", 9, 1_000);
    let held = [Held { task: TaskId(1), fence, finished: true }];
    let back = ledger.join("a".into(), [5; 16], offer(&["work"], 1), None, &held, 2_000).unwrap();
    assert_eq!(back.resumed, [(TaskId(1), fence)]);
    complete(&mut ledger, "a", back.generation, TaskId(1), fence, 2_001);
    assert_eq!(ledger.counts().completed, 1, "the fence of an earlier epoch is still the lease");
    assert_eq!(assigned(&effects(&mut ledger)), []);
    let there = [("idle", idle), ("a", back.generation)];
    run(&mut ledger, &there, 2_001, 1_000 + TIMEOUT - 1);
    assert_eq!(assigned(&effects(&mut ledger)), []);
    run(&mut ledger, &there, 1_000 + TIMEOUT, 1_000 + TIMEOUT + TIMEOUT / 16);
    let again: BTreeSet<(TaskId, Fence)> =
        assigned(&effects(&mut ledger)).into_iter().map(|(_, task, fence)| (task, fence)).collect();
    let fence = Fence { epoch: 2, attempt: 3 };
    assert_eq!(again, BTreeSet::from([(TaskId(2), fence), (TaskId(3), fence)]));
    assert_eq!(ledger.task(TaskId(3)).unwrap().attempts, 2, "one before, and the one that runs");
}

#[test]
fn deadlines_end_tasks_and_attempts() {
    let mut ledger = ledger();
    let limited = |timeout_ms, attempt_timeout_ms, progress_timeout_ms| TaskSpec {
        timeout_ms,
        attempt_timeout_ms,
        progress_timeout_ms,
        max_attempts: 2,
        ..spec("work")
    };
    let nobody = enqueue(&mut ledger, limited(Some(50), None, None), 0);
    ledger.tick(49);
    assert_eq!(settled(&effects(&mut ledger)), []);
    ledger.tick(50);
    let code = |outcome: &Outcome| match outcome {
        Outcome::Failed { failure, .. } => failure.code,
        other => panic!("{other:?}"),
    };
    let ended = settled(&effects(&mut ledger));
    assert_eq!((ended[0].0, code(&ended[0].1)), (nobody, FailureCode::NoAgent));

    let generation = join(&mut ledger, "a", 1, 100);
    let task = enqueue(&mut ledger, limited(Some(1_000), None, Some(200)), 100);
    let waiting = enqueue(&mut ledger, limited(Some(300), None, None), 100);
    let fence = Fence { epoch: 1, attempt: 1 };
    ledger.tick(290);
    ledger.progress("a", generation, task, fence, 0.5, 290);
    assert_eq!(ledger.task(task).unwrap().progress, Some(0.5));
    drained(&mut ledger);
    ledger.tick(400);
    let ended = settled(&effects(&mut ledger));
    assert_eq!((ended[0].0, code(&ended[0].1)), (waiting, FailureCode::Timeout), "somebody could have");
    ledger.tick(489);
    assert_eq!(effects(&mut ledger), []);
    ledger.tick(490);
    let cancelled =
        Effect::Cancel { agent: "a".into(), generation, task, fence, reason: CancelReason::AttemptTimeout };
    assert_eq!(effects(&mut ledger), [cancelled]);
    assert_eq!(ledger.counts().running, 1, "nobody else gets it before it has stopped");
    ledger.stopped("a", generation, task, fence, 500);
    assert_eq!((ledger.counts().queued, ledger.task(task).unwrap().attempts), (1, 1));
    ledger.tick(1_099);
    drained(&mut ledger);
    ledger.tick(1_100);
    let (_, effects) = drained(&mut ledger);
    assert_eq!(code(&settled(&effects)[0].1), FailureCode::Timeout);
    assert!(matches!(&effects[0], Effect::Cancel { reason: CancelReason::Timeout, .. }));
}

#[test]
fn a_cancelled_execution_uses_its_slot_until_it_has_stopped() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    let [first, second] = [enqueue(&mut ledger, spec("work"), 0), enqueue(&mut ledger, spec("work"), 0)];
    drained(&mut ledger);
    assert!(ledger.cancel(first, 1));
    assert!(!ledger.cancel(first, 1) && !ledger.cancel(TaskId(50), 1));
    let seen = effects(&mut ledger);
    assert!(matches!(&seen[..], [Effect::Cancel { .. }, Effect::Settled { .. }]), "{seen:?}");
    ledger.stopped("a", generation, first, Fence { epoch: 1, attempt: 1 }, 2);
    assert_eq!(assigned(&effects(&mut ledger))[0].1, second);
    // One that waits is gone at once; its last waiter may cancel it, unless it was enqueued without.
    let third = ledger.enqueue(keyed("work", "k"), Some([0; 32]), false, 3).unwrap().task;
    assert!(ledger.abandoned(third, 4));
    let fourth = ledger.enqueue(keyed("work", "k"), Some([0; 32]), false, 5).unwrap().task;
    ledger.enqueue(keyed("work", "k"), Some([0; 32]), true, 5).unwrap();
    assert!(!ledger.abandoned(fourth, 6));
}

#[test]
fn queues_and_outcomes_are_bounded() {
    let config = LedgerConfig { max_queued: 3, max_retained_bytes: 2_000, max_agents: 1, ..config() };
    let mut ledger = Ledger::new(config.clone(), recovered(1, Vec::new()), 0);
    let tasks: Vec<TaskId> = (0..3).map(|_| enqueue(&mut ledger, spec("work"), 0)).collect();
    assert_eq!(ledger.enqueue(spec("work"), None, true, 0), Err(Refusal::Overloaded));
    let generation = join(&mut ledger, "a", 9, 0);
    let refused = ledger.join("b".into(), [1; 16], Offer::default(), None, &[], 0);
    assert_eq!(refused, Err(Refusal::TooManyAgents));
    drained(&mut ledger);
    let fence = Fence { epoch: 1, attempt: 1 };
    let value = Bytes::from(vec![0; 500]);
    for task in &tasks {
        ledger.completed("a", generation, *task, fence, value.clone(), 1, 1);
        drained(&mut ledger);
    }
    assert_eq!(ledger.outcome(tasks[0]), Err(Refusal::Expired), "the oldest goes first");
    assert!(ledger.outcome(tasks[2]).unwrap().is_some());
    let heavy = TaskSpec { payload: Bytes::from(vec![0; 2_000]), ..spec("nobody") };
    let mut small =
        Ledger::new(LedgerConfig { max_queued_bytes: 2_000, ..config }, recovered(1, Vec::new()), 0);
    assert_eq!(small.enqueue(heavy, None, true, 0), Err(Refusal::Overloaded));
    assert!(small.enqueue(spec("nobody"), None, true, 0).is_ok());
}

#[test]
fn signatures_that_nobody_uses_are_forgotten() {
    let mut ledger = ledger();
    join(&mut ledger, "a", 1, 0);
    for number in 0..5_000 {
        let task = enqueue(&mut ledger, spec(&format!("kind {number}")), 0);
        ledger.cancel(task, 0);
        if number % 1_000 == 0 {
            drained(&mut ledger);
        }
    }
    assert!(ledger.index.signatures() <= Index::idle_limit());
}

#[test]
fn what_the_store_did_not_take_never_was() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    let leased = ledger.enqueue(keyed("work", "leased"), Some([1; 32]), true, 0).unwrap().task;
    let cancelled = enqueue(&mut ledger, spec("work"), 0);
    let waiting = enqueue(&mut ledger, spec("work"), 0);
    ledger.cancel(cancelled, 1);
    drained(&mut ledger);
    ledger.withdraw(&[leased, cancelled], 2);
    let (changes, effects) = drained(&mut ledger);
    assert!(matches!(&changes[..], [Change::Lease { task, .. }] if *task == waiting), "{changes:?}");
    assert_eq!(assigned(&effects)[0].1, waiting, "the slot is free");
    assert_eq!((ledger.task(leased), ledger.by_key("leased")), (None, None));
    assert_eq!(ledger.counts().retained, 0);
    complete(&mut ledger, "a", generation, waiting, Fence { epoch: 1, attempt: 1 }, 3);
    assert_eq!(ledger.counts().completed, 1);
    // A slot is free as well when the task was cancelled after it had been given out.
    let other = enqueue(&mut ledger, spec("work"), 4);
    ledger.cancel(other, 4);
    ledger.withdraw(&[other], 5);
    let last = enqueue(&mut ledger, spec("work"), 6);
    assert_eq!(assigned(&drained(&mut ledger).1).last().unwrap().1, last);
}

#[test]
fn a_suspended_ledger_gives_nothing_out() {
    let mut ledger = ledger();
    join(&mut ledger, "a", 1, 0);
    ledger.suspend();
    let task = enqueue(&mut ledger, spec("work"), 0);
    assert_eq!(assigned(&effects(&mut ledger)), []);
    ledger.resume(1);
    assert_eq!(assigned(&effects(&mut ledger))[0].1, task);
}
