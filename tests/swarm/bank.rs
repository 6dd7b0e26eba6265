//! A learner with its file, on a disk that fails: what was acknowledged is there, each id is one experience, and what was
//! concluded is what follows from the file.

use crate::store::disk::{Disk, Fault};
use midstreamer::bank::{Answer, Bank, BankError};
use midstreamer::learn::{Config, Event, Experience, ExperienceId, Learner, Verdict};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

/// A match that is told from others by its instant.
fn experience(at: u64) -> Experience {
    let at = at as f64;
    Experience {
        id: ExperienceId { node: 0, seq: 0 },
        family: "flag".into(),
        similarity: 0.9,
        confidence: 0.6,
        predicted: 0.01,
        at,
        horizon_ends_at: Some(at + 0.5),
        taken: false,
        volatility: None,
        context: "".into(),
        values: [at].into(),
    }
}

/// Calls, and lets the answer come.
fn ask<T: Send + 'static>(call: impl FnOnce(Answer<T>)) -> Receiver<Result<T, BankError>> {
    let (answered, answer) = channel();
    call(Box::new(move |result| _ = answered.send(result)));
    answer
}

fn call<T: Send + 'static>(call: impl FnOnce(Answer<T>)) -> Result<T, BankError> {
    ask(call).recv().unwrap()
}

fn open(disk: &Disk) -> Result<Bank, BankError> {
    Bank::on(Config::default(), Some(disk.place()))
}

fn close(bank: &Bank) {
    call(|answer| bank.close(answer)).unwrap();
}

/// What was acknowledged: which instant has which id, and what was judged.
#[derive(Default)]
struct Acknowledged {
    ids: BTreeMap<u64, ExperienceId>,
    outcomes: BTreeMap<u64, f64>,
}

/// Records in groups that share commits, and resolves what was recorded, to the end or to the first thing that fails.
fn live(bank: &Bank, first: u64, told: &mut Acknowledged) -> Result<(), BankError> {
    for group in 0..4 {
        let instants = first + group * 3..first + group * 3 + 3;
        let answers: Vec<_> =
            instants.clone().map(|at| ask(|answer| bank.record(experience(at), answer))).collect();
        let mut outcome = Ok(());
        for (at, answer) in instants.clone().zip(answers) {
            match answer.recv().unwrap() {
                Ok(id) => assert_eq!(told.ids.insert(at, id), None),
                Err(error) => outcome = Err(error),
            }
        }
        outcome?;
        for at in instants {
            let actual = 0.001 * (at % 7) as f64;
            let verdict: Verdict = call(|answer| bank.resolve(told.ids[&at], actual, None, 1e6, answer))?;
            assert_eq!(verdict.id, told.ids[&at]);
            told.outcomes.insert(at, actual);
        }
    }
    Ok(())
}

/// A bank that was opened knows all that was acknowledged, and concludes what its log says.
fn check(bank: &Bank, told: &Acknowledged, context: &str) {
    let learner = bank.learner();
    for (at, id) in &told.ids {
        let entry = learner.events().get(*id).unwrap_or_else(|| panic!("{context}: {at} is lost"));
        let (experience, outcome) = entry.known().unwrap();
        assert_eq!(experience.at, *at as f64, "{context}: {id} is another one");
        let actual = outcome.map(|outcome| outcome.actual);
        assert!(
            !told.outcomes.contains_key(at) || actual == told.outcomes.get(at).copied(),
            "{context}: {at}"
        );
    }
    let log: Vec<Event> =
        bank.since(&BTreeMap::new(), usize::MAX).into_iter().map(|(_, event)| event).collect();
    let mut fold = Learner::new(Config::default()).unwrap();
    fold.tell(log).unwrap();
    assert_eq!(fold.events(), learner.events(), "{context}");
    assert_eq!(fold.thresholds("flag"), learner.thresholds("flag"), "{context}");
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_at_any_operation() {
    let whole = Disk::new();
    let bank = open(&whole).unwrap();
    let mut told = Acknowledged::default();
    live(&bank, 0, &mut told).unwrap();
    close(&bank);
    assert_eq!((told.ids.len(), told.outcomes.len()), (12, 12));
    let operations = whole.operations();
    for at in 0..operations {
        let disk = Disk::new();
        disk.set_fault(Fault::From { at });
        let mut told = Acknowledged::default();
        if let Ok(bank) = open(&disk) {
            // Which ends at the fault, or in the close after everything.
            _ = live(&bank, 0, &mut told);
            check(&bank, &told, &format!("operation {at}, before"));
        }
        disk.lose_power(&mut fastrand::Rng::with_seed(at as u64));
        let bank = open(&disk).unwrap_or_else(|error| panic!("operation {at}: {error}"));
        check(&bank, &told, &format!("operation {at}"));
        // It goes on under another name.
        live(&bank, 100, &mut told).unwrap();
        check(&bank, &told, &format!("operation {at}, after"));
        close(&bank);
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_that_was_acknowledged_is_lost() {
    let mut failures = 1;
    for at in 0.. {
        if failures == 0 {
            assert!(at > 10, "everything was done before operation {at}");
            return;
        }
        failures = 0;
        let disk = Disk::new();
        let bank = open(&disk).unwrap();
        disk.set_fault(Fault::From { at: disk.operations() + at });
        let mut told = Acknowledged::default();
        let mut first = 0;
        while let Err(error) = live(&bank, first, &mut told) {
            assert!(matches!(error, BankError::Store(_)), "{error}");
            failures += 1;
            check(&bank, &told, &format!("operation {at}, failure {failures}"));
            // Others are told; those before may be there or not.
            first += 100;
            if failures == 2 {
                disk.set_fault(Fault::None);
            }
            assert!(failures < 5, "there is room again");
        }
        disk.set_fault(Fault::None);
        check(&bank, &told, &format!("operation {at}"));
        close(&bank);
        let bank = open(&disk).unwrap();
        check(&bank, &told, &format!("operation {at}, opened again"));
        close(&bank);
    }
}

#[test]
fn calls_that_wait_are_answered_in_order_and_refused_after_the_end() {
    let bank = Bank::on::<midstreamer::store::DataDirectory>(Config::default(), None).unwrap();
    let answers: Vec<_> = (0..500).map(|at| ask(|answer| bank.record(experience(at), answer))).collect();
    let closed = ask(|answer| bank.close(answer));
    let late = ask(|answer| bank.record(experience(1000), answer));
    for (seq, answer) in (1..).zip(answers) {
        assert_eq!(answer.recv().unwrap().unwrap(), ExperienceId { node: bank.node(), seq });
    }
    closed.recv().unwrap().unwrap();
    assert!(matches!(late.recv().unwrap(), Err(BankError::Closed)));
    assert!(matches!(call(|answer| bank.record(experience(1001), answer)), Err(BankError::Closed)));
}

#[test]
fn more_calls_than_may_wait_are_refused_and_the_others_answered() {
    let bank = Bank::on::<midstreamer::store::DataDirectory>(Config::default(), None).unwrap();
    // The writer learns under the lock that this holds: meanwhile calls pile up.
    let held = bank.learner();
    let answers: Vec<_> = (0..80_000).map(|at| ask(|answer| bank.record(experience(at), answer))).collect();
    drop(held);
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.recv().unwrap()).collect();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(BankError::Overloaded))).count();
    let given = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(given + refused, answers.len());
    // The queue holds 65,536, and the batch that waits for the lock 4,097 at most.
    assert!((65_536..=65_536 + 2 * 4097).contains(&given), "{given}");
    assert_eq!(bank.heads().values().sum::<u64>(), given as u64);
    close(&bank);
}
