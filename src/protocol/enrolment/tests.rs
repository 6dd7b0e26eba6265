use super::*;
use proptest::prelude::*;
use prost::Message;

const TOKEN: [u8; 8] = [1; 8];
const SECRET: [u8; 16] = [0xab; 16];

fn asked(agent_id: &str, request: &[u8]) -> Result<Bytes, EnrolmentError> {
    let mut out = BytesMut::new();
    ask(&TOKEN, &SECRET, agent_id, request, &mut out).map(|()| out.freeze())
}

fn framed(kind: FrameKind, message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    encode_message(kind, 0, message, &[], &mut out).unwrap();
    out.freeze()
}

#[test]
fn a_question_and_its_answers_arrive() {
    let arrived = question(asked("agent-7", &[9; 300]).unwrap()).unwrap();
    assert_eq!((&arrived.token[..], &arrived.secret[..]), (&TOKEN[..], &SECRET[..]));
    assert_eq!((arrived.agent_id.as_str(), arrived.certificate_request.len()), ("agent-7", 300));

    let mut out = BytesMut::new();
    grant("certificate", "ca", &mut out).unwrap();
    let granted = answer(out.freeze()).unwrap();
    assert_eq!((granted.certificate.as_str(), granted.ca.as_str()), ("certificate", "ca"));

    let mut out = BytesMut::new();
    refuse(Code::Unauthenticated, "used\x1b[31m up", &mut out).unwrap();
    let refused = EnrolmentError::Refused { code: Code::Unauthenticated, message: "used[31m up".to_owned() };
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(answer(out.freeze()), Err(refused));
}

#[test]
fn the_secret_shows_nowhere() {
    let arrived = question(asked("agent-7", &[9; 300]).unwrap()).unwrap();
    let shown = format!("{arrived:?} {arrived:#?}");
    assert!(shown.contains("agent-7") && !shown.contains("xab") && !shown.contains("171"), "{shown}");
}

#[test]
fn what_is_too_long_is_said_on_either_side() {
    let longest = question(asked(&"x".repeat(128), &[9; LONGEST_REQUEST]).unwrap());
    assert!(longest.is_ok(), "the longest question fits its frame");
    for (id, request) in [("", 1), ("a\nb", 1), (&*"x".repeat(129), 1), ("a", 0), ("a", LONGEST_REQUEST + 1)]
    {
        let request = vec![9; request];
        assert!(matches!(asked(id, &request), Err(EnrolmentError::Invalid { .. })), "{id:?}");
        let message = Enrol {
            token: Bytes::copy_from_slice(&TOKEN),
            secret: Bytes::copy_from_slice(&SECRET),
            agent_id: id.to_owned(),
            certificate_request: request.into(),
        };
        let refused = question(framed(FrameKind::Enrol, &message)).unwrap_err();
        assert!(
            matches!(refused, EnrolmentError::Invalid { .. }) && refused.code() == Code::Protocol,
            "{refused}"
        );
    }
    for (token, secret) in [(7, 16), (9, 16), (8, 15), (8, 17), (0, 0)] {
        let message = Enrol {
            token: vec![1; token].into(),
            secret: vec![0xab; secret].into(),
            agent_id: "a".to_owned(),
            certificate_request: vec![9].into(),
        };
        let refused = question(framed(FrameKind::Enrol, &message)).unwrap_err().to_string();
        assert!(refused.contains("bytes, not") && !refused.contains("171"), "{refused}");
    }
    let mut out = BytesMut::new();
    assert!(grant(&"c".repeat(ANSWER_BYTES), "", &mut out).is_err() && out.is_empty());
    refuse(Code::Forbidden, &"\u{e9}".repeat(10_000), &mut out).unwrap();
    assert!(out.len() < 1000 && answer(out.freeze()).is_err());
}

#[test]
fn nothing_else_is_a_question_or_an_answer() {
    let wrong = |error: EnrolmentError| (error.code() == Code::Protocol).then_some(error).unwrap();
    assert_eq!(question(Bytes::new()), Err(EnrolmentError::Nothing));
    let goodbye = framed(FrameKind::GoodbyeAck, &crate::protocol::messages::GoodbyeAck {});
    assert!(matches!(wrong(question(goodbye.clone()).unwrap_err()), EnrolmentError::Unexpected { .. }));
    assert!(matches!(wrong(answer(goodbye).unwrap_err()), EnrolmentError::Unexpected { .. }));
    let whole = asked("a", &[9; 30]).unwrap();
    assert!(matches!(wrong(answer(whole.clone()).unwrap_err()), EnrolmentError::Unexpected { .. }));
    for cut in 1..whole.len() {
        wrong(question(whole.slice(..cut)).unwrap_err());
    }
    let twice = Bytes::from([&whole[..], &whole[..]].concat());
    assert!(matches!(question(twice), Err(EnrolmentError::Frame(FrameError::NotAlone { .. }))));
    // Skippable and unknown: nothing that anybody answers.
    let mut unknown = whole.to_vec();
    (unknown[4], unknown[5]) = (0xf0, 1);
    assert_eq!(question(unknown.into()), Err(EnrolmentError::Nothing));
    // A length that lies is refused before anything is reserved for it.
    let mut lie = whole.to_vec();
    lie[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(question(lie.into()), Err(EnrolmentError::Frame(FrameError::TooLong { .. }))));
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_within_the_limits(bytes in prop::collection::vec(any::<u8>(), 0..200), body in any::<bool>()) {
        // With the outside of a frame, so that the inside is looked at too.
        let bytes = if body {
            let mut inside = vec![0xc0];
            inside.extend([0; 9]);
            prost::encoding::encode_varint(bytes.len() as u64, &mut inside);
            inside.extend(&bytes);
            let length = u32::try_from(inside.len()).unwrap();
            [&length.to_le_bytes()[..], &inside[..]].concat()
        } else {
            bytes
        };
        if let Ok(question) = question(bytes.clone().into()) {
            prop_assert!(check(&question).is_ok());
        }
        drop(answer(bytes.into()));
    }
}
