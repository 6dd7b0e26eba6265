//! One token, several coordinators; and processes that are killed.

use super::{Place, code, join_at, open, token};
use crate::live::close;
use midstreamer::security::{
    Grants, JoinToken, KeyRequest, RedeemError, RedeemRequest, TokenRefusal, TokenRequest,
};
use midstreamer::swarm::SwarmCode;
use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

#[test]
fn of_machines_that_come_to_two_coordinators_at_once_one_gets_in() {
    let place = Place::new("race");
    let coordinators = [open(&place.open()), open(&place.open())];
    let token = token(&coordinators[0], 1);
    let won = thread::scope(|scope| {
        let rivals: Vec<_> = (0..8)
            .map(|i| {
                let (coordinator, token) = (&coordinators[i % 2], &token);
                scope.spawn(move || {
                    let outcome = join_at(coordinator.enroll_address(), token, &format!("agent-{i}"));
                    if outcome.is_err() {
                        assert_eq!(code(outcome), SwarmCode::Unauthenticated);
                        return 0;
                    }
                    1
                })
            })
            .collect();
        rivals.into_iter().map(|rival| rival.join().unwrap()).sum::<usize>()
    });
    assert_eq!(won, 1);
    coordinators.iter().for_each(close);
    let agents = place.open().list().unwrap().iter().filter(|issued| issued.id.starts_with("agent-")).count();
    assert_eq!(agents, 1);
}

const DIRECTORY: &str = "MIDSTREAMER_TEST_ENROLMENT_DIRECTORY";
const TOKEN: &str = "MIDSTREAMER_TEST_ENROLMENT_TOKEN";
const NAME: &str = "MIDSTREAMER_TEST_ENROLMENT_NAME";

fn redeem(place: &Place, token: &JoinToken, id: &str) -> Result<(), RedeemError> {
    let key = KeyRequest::new().unwrap();
    let request = RedeemRequest {
        token: token.id(),
        secret: token.secret(),
        certificate_request: key.csr_der(),
        id,
        valid_ms: 3_600_000,
        reserved: false,
    };
    place.open().redeem(&request).map(drop)
}

/// The process that the next test kills: redeems one use after the other and says so after each.
#[test]
fn a_process_that_redeems_until_it_is_killed() {
    let Ok(directory) = env::var(DIRECTORY) else { return };
    let place = std::mem::ManuallyDrop::new(Place(directory.into()));
    let token: JoinToken = env::var(TOKEN).unwrap().parse().unwrap();
    let name = env::var(NAME).unwrap();
    for i in 0.. {
        match redeem(&place, &token, &format!("{name}-{i}")) {
            Ok(()) => eprintln!("redeemed {i}"),
            Err(RedeemError::Token(TokenRefusal::UsedUp)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn whenever_a_process_is_killed_there_are_no_more_certificates_than_uses() {
    const USES: u32 = 40;
    let place = Place::new("killed");
    let request = TokenRequest { address: "h:1", ttl_ms: 3_600_000, uses: USES, grants: &Grants::default() };
    let token = place.open().create_token(&request).unwrap();
    let mut told = 0;
    for life in 0..6 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "enrolment::races::a_process_that_redeems_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, &place.0)
            .env(TOKEN, token.to_text().as_str())
            .env(NAME, format!("life-{life}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // At another point of its work each time: it goes on while this is read.
        let redeemed = |line: &std::io::Result<String>| line.as_ref().unwrap().starts_with("redeemed");
        told += lines.by_ref().filter(redeemed).take(1 + life % 3).count();
        child.kill().unwrap();
        child.wait().unwrap();
        told += lines.filter(redeemed).count();
    }
    let registered = place.open().list().unwrap().len();
    let mut left = 0;
    while redeem(&place, &token, &format!("last-{left}")).is_ok() {
        left += 1;
    }
    // What was told is there; a use may be burnt by each kill, and none is there twice.
    assert!(registered >= told && told >= 6, "{registered} registered, {told} told");
    let all = registered + left;
    assert!(all <= USES as usize && all + 6 >= USES as usize, "{registered} and {left} of {USES}");
}
