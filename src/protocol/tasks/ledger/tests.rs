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

#[test]
fn a_task_is_accepted_leased_and_finished_in_this_order() {
    let mut ledger = ledger();
    let generation = join(&mut ledger, "a", 1, 0);
    let task = enqueue(&mut ledger, spec("work"), 5);
    let (changes, effects) = drained(&mut ledger);
    assert!(matches!(&changes[..], [Change::Accept(_), Change::Lease { .. }]), "{changes:?}");
    let fence = Fence { epoch: 1, attempt: 1 };
    assert_eq!(assigned(&effects), [("a".to_owned(), task, fence)]);
    ledger.completed("a", generation, task, fence, Bytes::from_static(b"done"), 3, 9);
    let (changes, effects) = drained(&mut ledger);
    assert!(matches!(&changes[..], [Change::Finish { .. }]));
    assert!(matches!(&effects[..], [Effect::Acknowledge { accepted: true, .. }, Effect::Settled { .. }]));
}
