//! The door under storms, floods and forged addresses, without a socket.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn network(number: u32) -> IpAddr {
    let [a, b, c, d] = number.to_be_bytes().map(u16::from);
    IpAddr::from([0x2001, 0xdb8, a << 8 | b, c << 8 | d, 0, 0, 0, 1])
}

/// Knocks, and says what came of it, and the place where there is one.
fn knock(door: &mut Door<u32>, from: IpAddr, proven: bool, now: Millis) -> (&'static str, Option<Place>) {
    match door.arrived(7, from, proven, now) {
        Verdict::Accept(_, place) => ("accept", Some(place)),
        Verdict::Retry(_) => ("retry", None),
        Verdict::Refuse(_) => ("refuse", None),
        Verdict::Ignore(_) => ("ignore", None),
        Verdict::Wait => ("wait", None),
    }
}

/// Comes back with a token when it is asked to.
fn enter(door: &mut Door<u32>, from: IpAddr, now: Millis) -> (&'static str, Option<Place>) {
    match knock(door, from, false, now) {
        ("retry", _) => knock(door, from, true, now),
        other => other,
    }
}

fn fail(door: &mut Door<u32>, from: IpAddr, times: usize, now: Millis) {
    for _ in 0..times {
        let (_, place) = enter(door, from, now);
        door.ended(place.expect("there is room"), End::Refused, now);
    }
}

#[test]
fn a_thousand_honest_ones_behind_one_address_are_not_paced() {
    let mut door = Door::new();
    let mut begun = VecDeque::new();
    for who in 0..1000 {
        match door.arrived(who, address(1), false, 0) {
            Verdict::Accept(_, place) => begun.push_back(place),
            Verdict::Retry(_) => match door.arrived(who, address(1), true, 0) {
                Verdict::Accept(_, place) => begun.push_back(place),
                other => assert_eq!(other, Verdict::Wait),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(begun.len() as u64, STRANGER_AT_ONCE);
    let mut admitted = 0;
    // A millisecond each: the places are full as long as anybody waits.
    while let Some(place) = begun.pop_front() {
        admitted += 1;
        door.ended(place, End::Admitted, admitted);
        while let Some(called) = door.next(admitted) {
            let Called::Begin(_, place) = called else { panic!("{called:?}") };
            begun.push_back(place);
        }
        // The first one that was let in has made it a source with members.
        assert!(!door.has_line() || begun.len() as u64 == MEMBER_AT_ONCE, "{} of them", begun.len());
    }
    assert_eq!(admitted, 1000);
}

#[test]
fn failures_from_one_address_are_paced() {
    let mut door = Door::new();
    let (mut begun, mut answers) = (0, HashSet::new());
    for now in 0..10_000 {
        for _ in 0..10 {
            let (answer, place) = enter(&mut door, address(1), now);
            answers.insert(answer);
            if let Some(place) = place {
                begun += 1;
                door.ended(place, End::Refused, now);
            }
            while let Some(called) = door.next(now) {
                if let Called::Begin(_, place) = called {
                    begun += 1;
                    door.ended(place, End::Refused, now);
                }
            }
        }
    }
    assert!((20..=16 + 10 + 1).contains(&begun), "{begun} handshakes of 100,000");
    assert!(answers.contains("ignore") && !answers.contains("refuse"), "{answers:?}");
    // Others notice nothing of it: not even a retry.
    assert_eq!(knock(&mut door, address(2), false, 10_000).0, "accept");
    // And it is forgotten when its bucket has run down.
    assert_eq!(knock(&mut door, address(1), false, 10_000).0, "retry");
    while door.has_line() {
        assert!(matches!(door.next(27_000), Some(Called::Forget(_))));
    }
    assert_eq!(knock(&mut door, address(1), false, 27_000).0, "accept");
}

#[test]
fn who_succeeds_behind_an_address_that_fails_is_let_in_still() {
    let mut door = Door::new();
    fail(&mut door, address(1), 8, 0);
    for now in 0..1000 {
        let (answer, place) = enter(&mut door, address(1), now);
        assert_eq!(answer, "accept", "at {now}");
        door.ended(place.unwrap(), End::Admitted, now);
    }
}

#[test]
fn addresses_that_are_not_proved_do_not_suffer() {
    let mut door = Door::new();
    // Somebody uses the address of another: silence, and nonsense that needs no answer of ours.
    let mut begun = 0;
    for now in 0..5000 {
        while let (_, Some(place)) = knock(&mut door, address(1), false, now) {
            begun += 1;
            door.ended(place, End::Failed, now);
        }
    }
    assert!((50..=16 + 5 * 16 + 1).contains(&begun), "{begun} handshakes");
    // Its owner gets in, if only after a proof, as everybody by now.
    assert_eq!(knock(&mut door, address(2), false, 4999).0, "retry");
    let (answer, place) = knock(&mut door, address(1), true, 5000);
    assert_eq!(answer, "accept");
    door.ended(place.unwrap(), End::Admitted, 5000);
    assert_eq!(door.sources.len(), 1);
}

#[test]
fn unproven_ones_never_take_all_places() {
    let mut door = Door::new();
    let accepted = (0..1000).filter(|i| knock(&mut door, network(*i), false, 0).0 == "accept").count();
    assert_eq!(accepted, 16);
    assert_eq!(knock(&mut door, address(1), true, 0).0, "accept");
}

#[test]
fn many_addresses_keep_no_member_out_and_take_no_memory() {
    let mut door = Door::new();
    let home = address(1);
    let (_, place) = enter(&mut door, home, 0);
    door.ended(place.unwrap(), End::Admitted, 0);
    // A thousand addresses a second, each of them proved, each with a bad certificate, for 100 seconds.
    let mut begun = 0;
    for number in 0..100_000_u32 {
        let now = u64::from(number);
        if let (_, Some(place)) = enter(&mut door, network(number), now) {
            begun += 1;
            door.ended(place, End::Refused, now);
        }
        while let Some(called) = door.next(now) {
            if let Called::Begin(_, place) = called {
                begun += 1;
                door.ended(place, End::Refused, now);
            }
        }
        assert!(door.sources.len() <= 8192, "{} sources are remembered", door.sources.len());
        if number % 1000 == 500 {
            let (answer, place) = enter(&mut door, home, now);
            assert_eq!(answer, "accept", "at {now}");
            door.ended(place.unwrap(), End::Admitted, now);
        }
    }
    assert!(begun <= 256 + 64 * 101, "{begun} handshakes of 100,000");
}

#[test]
fn who_holds_places_in_silence_does_not_hold_all() {
    let mut door = Door::new();
    let (_, place) = enter(&mut door, address(1), 0);
    door.ended(place.unwrap(), End::Admitted, 0);
    let mut held = Vec::new();
    for number in 0..1000 {
        held.extend(knock(&mut door, network(number % 10), true, 0).1);
    }
    assert_eq!(held.len() as u64, STRANGERS_AT_ONCE);
    assert_eq!(knock(&mut door, address(2), true, 0).0, "wait", "a stranger has to");
    assert_eq!(knock(&mut door, address(1), true, 0).0, "accept", "who is known has not");
    for place in held {
        door.ended(place, End::Failed, 1000);
    }
    // Those are watched now; the one that waits is not the last of the hundreds before it.
    let called: Vec<_> = std::iter::from_fn(|| door.next(1000)).collect();
    let turn = called
        .iter()
        .position(|called| matches!(called, Called::Begin(_, place) if place.source == address(2)));
    assert!(turn.is_some_and(|turn| turn < 100), "{turn:?} of {}", called.len());
}

#[test]
fn a_few_who_fail_do_not_empty_the_line_of_their_address() {
    let mut door = Door::new();
    let home = address(1);
    let (_, place) = enter(&mut door, home, 0);
    door.ended(place.unwrap(), End::Admitted, 0);
    let mut held = Vec::new();
    for who in 0..200 {
        match door.arrived(who, home, true, 0) {
            Verdict::Accept(_, place) => held.push(place),
            other => assert_eq!(other, Verdict::Wait),
        }
    }
    // Expired agents among them.
    for place in held.drain(..5) {
        door.ended(place, End::Refused, 10);
    }
    let first = std::iter::from_fn(|| door.next(10)).find_map(|called| match called {
        Called::Begin(who, _) => Some(who),
        Called::Forget(_) => None,
    });
    for place in held {
        door.ended(place, End::Admitted, 20);
    }
    let next = std::iter::from_fn(|| door.next(20)).find_map(|called| match called {
        Called::Begin(who, _) => Some(who),
        Called::Forget(_) => None,
    });
    // Whoever has waited the longest comes first, and nobody of those is forgotten for it.
    assert_eq!(first.or(next), u32::try_from(MEMBER_AT_ONCE).ok());
}

#[test]
fn who_is_turned_away_after_the_handshake_is_paced_too() {
    let mut door = Door::<u32>::new();
    let home = address(1);
    let mut begun = 0;
    for now in 0..2000 {
        if let (_, Some(place)) = enter(&mut door, home, now) {
            door.ended(place, End::Admitted, now);
            door.turned_away(home, now);
            begun += 1;
        }
    }
    assert!(begun <= 16 + 2 + 1, "{begun}");
}

#[test]
fn sources_take_turns() {
    let mut door = Door::new();
    let mut held = Vec::new();
    for who in 0..600 {
        match door.arrived(who, network(who % 2), true, 0) {
            Verdict::Accept(_, place) => held.push(place),
            other => assert_eq!(other, Verdict::Wait),
        }
    }
    for who in 600..603 {
        assert_eq!(door.arrived(who, network(2), true, 0), Verdict::Wait);
    }
    let mut order = Vec::new();
    for place in held {
        door.ended(place, End::Admitted, 1);
        // They have become members, and there is room for all of them.
        order.extend(std::iter::from_fn(|| door.next(1)));
    }
    let late = order.iter().position(|called| matches!(called, Called::Begin(602, _)));
    assert!(late.is_some_and(|late| late < 30), "{late:?}");
}

#[test]
fn nobody_waits_for_longer_than_it_dials() {
    let mut door = Door::new();
    for _ in 0..STRANGER_AT_ONCE {
        assert_eq!(knock(&mut door, address(1), true, 0).0, "accept");
    }
    assert_eq!(knock(&mut door, address(1), true, 0).0, "wait");
    assert_eq!(door.next(PATIENCE_MS - 1), None);
    assert_eq!(door.next(PATIENCE_MS), Some(Called::Forget(7)));
    assert!(!door.has_line());
}

#[test]
fn a_line_has_an_end() {
    let mut door = Door::new();
    let mut answers = Vec::new();
    for number in 0..4 {
        for _ in 0..1200 {
            answers.push(knock(&mut door, network(number), true, 0).0);
        }
    }
    let count = |answer| answers.iter().filter(|found| **found == answer).count();
    assert_eq!((count("accept"), count("wait")), (48, LINE));
    assert!(count("ignore") > 0 && count("refuse") > 0);
}

#[test]
fn an_ipv6_network_is_one_source() {
    let parse = |text: &str| source_of(text.parse().unwrap());
    assert_eq!(parse("2001:db8:1:2:3:4:5:6"), parse("2001:db8:1:2::"));
    assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
    assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    assert_ne!(parse("192.0.2.1"), parse("192.0.2.2"));
}

#[derive(Debug, Clone)]
enum Event {
    Knock { from: u8, proven: bool },
    End { which: usize, end: End },
    Next,
    Later { ms: u64 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let end = prop_oneof![Just(End::Admitted), Just(End::Refused), Just(End::Failed)];
    let event = prop_oneof![
        6 => (0..6_u8, any::<bool>()).prop_map(|(from, proven)| Event::Knock { from, proven }),
        3 => (any::<usize>(), end).prop_map(|(which, end)| Event::End { which, end }),
        2 => Just(Event::Next),
        1 => (0..5000_u64).prop_map(|ms| Event::Later { ms }),
    ];
    proptest::collection::vec(event, 0..600)
}

proptest! {
    #[test]
    fn everybody_is_answered_once_and_every_place_comes_back(events in events()) {
        let mut door = Door::new();
        let (mut now, mut next, mut begun, mut answered) = (0, 0_u32, Vec::new(), HashSet::new());
        for event in events {
            match event {
                Event::Knock { from, proven } => {
                    let who = next;
                    next += 1;
                    match door.arrived(who, address(from), proven, now) {
                        Verdict::Accept(same, place) => {
                            prop_assert!(same == who && answered.insert(who));
                            begun.push(place);
                        }
                        Verdict::Retry(same) => prop_assert!(!proven && same == who && answered.insert(who)),
                        Verdict::Refuse(same) | Verdict::Ignore(same) => {
                            prop_assert!(proven && same == who && answered.insert(who));
                        }
                        Verdict::Wait => prop_assert!(proven),
                    }
                }
                Event::End { which, end } if !begun.is_empty() => {
                    let place = begun.swap_remove(which % begun.len());
                    door.ended(place, end, now);
                }
                Event::End { .. } => {}
                Event::Next => match door.next(now) {
                    Some(Called::Begin(who, place)) => {
                        prop_assert!(answered.insert(who));
                        begun.push(place);
                    }
                    Some(Called::Forget(who)) => prop_assert!(answered.insert(who)),
                    None => {}
                },
                Event::Later { ms } => now += ms,
            }
            prop_assert_eq!(door.begun, begun.len() as u64);
            prop_assert!(door.begun <= PLACES);
            prop_assert_eq!(door.strangers_begun, begun.iter().filter(|place| place.stranger).count() as u64);
            let lines: usize = door.sources.values().map(|source| source.line.len()).sum();
            prop_assert_eq!((door.waiting, answered.len() + lines), (lines, next as usize));
            let turns: HashSet<_> = door.turns.iter().copied().collect();
            prop_assert_eq!(turns.len(), door.turns.len());
            prop_assert!(door.sources.iter().all(|(key, source)| turns.contains(key) != source.line.is_empty()));
        }
        // When all have ended and time has passed, everybody in line is told something.
        for place in begun {
            door.ended(place, End::Failed, now);
        }
        now += 60_000;
        while let Some(called) = door.next(now) {
            if let Called::Begin(_, place) = called {
                door.ended(place, End::Admitted, now);
            }
        }
        prop_assert!(!door.has_line());
    }
}
