//! How a machine without an identity gets one: one question, one answer, on a connection of its own.
//!
//! The machine opens one bidirectional stream, writes one [`Enrol`] frame and ends its half; the coordinator answers with
//! one [`Enrolled`] or [`Refuse`] frame and ends the other. Nothing else is ever sent, so each side reads a stream to
//! its end, up to a limit, and then it is decoded here.
//!
//! Who holds the token's authority is decided before, by TLS; whether the token is good and the id free, after, by the
//! authority. Here are the bytes and their limits.

use super::frame::{Decoder, Frame, FrameError, encode_message};
use super::messages::{Code, Enrol, Enrolled, FrameKind, Refuse};
use super::session::check_name;
use bytes::{Bytes, BytesMut};

/// As TLS negotiates it (ALPN, RFC 7301).
pub const ALPN: &[u8] = b"nt-swarm-enroll/1";

/// The longest frame that asks, without its length field.
pub const QUESTION_BYTES: usize = 8 << 10;

/// The longest frame that answers, without its length field: the certificates of a root that is being replaced, and a
/// chain.
pub const ANSWER_BYTES: usize = 1 << 16;

/// All of a stream: a frame and its length field.
pub const fn stream_bytes(frame_bytes: usize) -> usize {
    frame_bytes + 4
}

/// The longest certificate request.
const LONGEST_REQUEST: usize = 4096;

/// Characters of a refusal that are passed on. They come from somebody who may be anybody.
const LONGEST_MESSAGE: usize = 300;

/// Why there is no question or no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// What was sent is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Nothing was sent, or nothing that this version knows.
    #[error("the stream ended without a frame")]
    Nothing,
    /// A frame that has no place here.
    #[error("a {kind} frame where {expected} was expected")]
    Unexpected {
        /// What it is.
        kind: FrameKind,
        /// What should be there.
        expected: &'static str,
    },
    /// A message claims what it must not.
    #[error("{what}")]
    Invalid {
        /// Field, value and limit, in words.
        what: String,
    },
    /// The coordinator refused.
    #[error("refused: {message}")]
    Refused {
        /// Why.
        code: Code,
        /// In words.
        message: String,
    },
}

impl EnrolmentError {
    /// What the other side is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            _ => Code::Protocol,
        }
    }
}

fn invalid(what: impl Into<String>) -> EnrolmentError {
    EnrolmentError::Invalid { what: what.into() }
}

/// The frame that asks.
///
/// # Errors
/// `Invalid` for what the coordinator would refuse as PROTOCOL.
pub fn ask(
    token: &[u8; 8],
    secret: &[u8; 16],
    agent_id: &str,
    certificate_request: &[u8],
    out: &mut BytesMut,
) -> Result<(), EnrolmentError> {
    let question = Enrol {
        token: Bytes::copy_from_slice(token),
        secret: Bytes::copy_from_slice(secret),
        agent_id: agent_id.to_owned(),
        certificate_request: Bytes::copy_from_slice(certificate_request),
    };
    check(&question)?;
    Ok(encode_message(FrameKind::Enrol, 0, &question, &[], out)?)
}

/// The question in a stream that was read to its end; its fields have the right lengths.
///
/// # Errors
/// What the other side is refused with as PROTOCOL.
pub fn question(stream: Bytes) -> Result<Enrol, EnrolmentError> {
    let frame = alone(stream, QUESTION_BYTES)?;
    if frame.kind != FrameKind::Enrol {
        return Err(EnrolmentError::Unexpected { kind: frame.kind, expected: "Enrol" });
    }
    let question: Enrol = frame.message()?;
    check(&question)?;
    Ok(question)
}

fn check(question: &Enrol) -> Result<(), EnrolmentError> {
    let Enrol { token, secret, agent_id, certificate_request } = question;
    if token.len() != 8 {
        return Err(invalid(format!("the id of a token has {} bytes, not 8", token.len())));
    }
    if secret.len() != 16 {
        return Err(invalid(format!("the secret of a token has {} bytes, not 16", secret.len())));
    }
    check_name("agent id", agent_id).map_err(|error| invalid(error.to_string()))?;
    if !(1..=LONGEST_REQUEST).contains(&certificate_request.len()) {
        let bytes = certificate_request.len();
        return Err(invalid(format!("a certificate request of {bytes} bytes, not 1 to {LONGEST_REQUEST}")));
    }
    Ok(())
}

/// The frame that answers with a certificate.
///
/// # Errors
/// A frame that would be too long for the other side.
pub fn grant(certificate: &str, ca: &str, out: &mut BytesMut) -> Result<(), EnrolmentError> {
    let answer = Enrolled { certificate: certificate.to_owned(), ca: ca.to_owned() };
    let from = out.len();
    encode_message(FrameKind::Enrolled, 0, &answer, &[], out)?;
    let length = out.len() - from;
    if length > stream_bytes(ANSWER_BYTES) {
        out.truncate(from);
        return Err(FrameError::TooLong { length, limit: ANSWER_BYTES }.into());
    }
    Ok(())
}

/// The frame that answers with a refusal.
///
/// # Errors
/// None in practice: the message is cut to what fits.
pub fn refuse(code: Code, message: &str, out: &mut BytesMut) -> Result<(), EnrolmentError> {
    let answer = Refuse { code: code.into(), message: message.chars().take(LONGEST_MESSAGE).collect() };
    Ok(encode_message(FrameKind::Refuse, 0, &answer, &[], out)?)
}

/// The answer in a stream that was read to its end. What is in it is not verified.
///
/// # Errors
/// [`EnrolmentError::Refused`] is what the coordinator said; everything else is not the protocol.
pub fn answer(stream: Bytes) -> Result<Enrolled, EnrolmentError> {
    let frame = alone(stream, ANSWER_BYTES)?;
    match frame.kind {
        FrameKind::Enrolled => Ok(frame.message()?),
        FrameKind::Refuse => {
            let refuse: Refuse = frame.message()?;
            let code = Code::try_from(refuse.code).unwrap_or(Code::Unspecified);
            // For a terminal or a log, whoever wrote it.
            let plain = refuse.message.chars().filter(|c| !c.is_control());
            Err(EnrolmentError::Refused { code, message: plain.take(LONGEST_MESSAGE).collect() })
        }
        kind => Err(EnrolmentError::Unexpected { kind, expected: "Enrolled" }),
    }
}

fn alone(stream: Bytes, limit: usize) -> Result<Frame, EnrolmentError> {
    if stream.is_empty() {
        return Err(EnrolmentError::Nothing);
    }
    Decoder::new(limit).decode_alone(stream)?.ok_or(EnrolmentError::Nothing)
}

#[cfg(test)]
mod tests;
