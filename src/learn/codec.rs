//! Events as bytes: what is in a file, and what travels.
//!
//! Every node keeps a log: its n-th event has the place (node, n), which for an experience is its id. The place is not part
//! of the bytes. Integers and f64 are little-endian.
//!
//! | byte | of an experience (kind 1) | of an outcome (kind 2) |
//! | --- | --- | --- |
//! | 0 | 1 | 2 |
//! | 1 | bits: 1 taken, 2 has a horizon, 4 has a volatility | 0 |
//! | 2 | similarity, confidence, predicted, at, horizon or 0, volatility or 0: six f64 | node of the experience (16), its number (8), outcome, instant |
//! | 50 | bytes of the family (u16), of the context (u32), values (u32); then the three | |
//!
//! Bytes that are read are checked as events are ([`Experience::check`]), and the lengths before anything is reserved.

use super::answer::Event;
use super::event::{EventError, Experience, ExperienceId, Resolution};
use std::sync::Arc;

/// Of an experience without its family, context and values.
const FIXED: usize = 60;

/// Of an outcome.
const OUTCOME: usize = 42;

const TAKEN: u8 = 1;
const HORIZON: u8 = 2;
const VOLATILITY: u8 = 4;

/// What is no event.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Cut off, too long, or of an unknown kind.
    #[error("{0}")]
    Malformed(&'static str),
    /// It could be read, and cannot be.
    #[error(transparent)]
    Event(#[from] EventError),
}

/// The bytes of an event. For an experience the place is its id.
pub fn encode(event: &Event) -> Vec<u8> {
    match event {
        Event::Experience(experience) => encode_experience(experience),
        Event::Resolution(Resolution { id, actual, at }) => {
            let mut bytes = Vec::with_capacity(OUTCOME);
            bytes.extend([2, 0]);
            bytes.extend(id.node.to_le_bytes());
            bytes.extend(id.seq.to_le_bytes());
            bytes.extend(actual.to_le_bytes());
            bytes.extend(at.to_le_bytes());
            bytes
        }
    }
}

fn encode_experience(experience: &Experience) -> Vec<u8> {
    let Experience { similarity, confidence, predicted, at, horizon_ends_at, volatility, .. } = experience;
    let (family, context, values) = (&experience.family, &experience.context, &experience.values);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let mut bytes = Vec::with_capacity(FIXED + family.len() + context.len() + values.len() * 8);
    let flags = flag(experience.taken, TAKEN)
        | flag(horizon_ends_at.is_some(), HORIZON)
        | flag(volatility.is_some(), VOLATILITY);
    bytes.extend([1, flags]);
    let (horizon, volatility) = (horizon_ends_at.unwrap_or(0.0), volatility.unwrap_or(0.0));
    for number in [similarity, confidence, predicted, at, &horizon, &volatility] {
        bytes.extend(number.to_le_bytes());
    }
    // Checked experiences have lengths that fit.
    bytes.extend((family.len() as u16).to_le_bytes());
    bytes.extend((context.len() as u32).to_le_bytes());
    bytes.extend((values.len() as u32).to_le_bytes());
    bytes.extend(family.as_bytes());
    bytes.extend(context.as_bytes());
    for value in values.iter() {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(CodecError::Malformed("it is cut off"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    fn number(&mut self) -> Result<f64, CodecError> {
        self.array().map(f64::from_le_bytes)
    }

    fn text(&mut self, count: usize) -> Result<Arc<str>, CodecError> {
        let text = std::str::from_utf8(self.take(count)?);
        text.map(Arc::from).map_err(|_| CodecError::Malformed("its text is no UTF-8"))
    }
}

/// The event at a place of a log.
pub fn decode(place: ExperienceId, bytes: &[u8]) -> Result<Event, CodecError> {
    let mut reader = Reader(bytes);
    let [kind, flags] = reader.array()?;
    let event = match kind {
        1 => Event::Experience(Arc::new(decode_experience(place, flags, &mut reader)?)),
        2 if flags != 0 => return Err(CodecError::Malformed("it has a flag that is not known")),
        2 => {
            let node = u128::from_le_bytes(reader.array()?);
            let id = ExperienceId { node, seq: u64::from_le_bytes(reader.array()?) };
            let resolution = Resolution { id, actual: reader.number()?, at: reader.number()? };
            resolution.check()?;
            Event::Resolution(resolution)
        }
        _ => return Err(CodecError::Malformed("it is of an unknown kind")),
    };
    if reader.0.is_empty() { Ok(event) } else { Err(CodecError::Malformed("it is longer than it says")) }
}

fn decode_experience(id: ExperienceId, flags: u8, reader: &mut Reader<'_>) -> Result<Experience, CodecError> {
    if flags & !(TAKEN | HORIZON | VOLATILITY) != 0 {
        return Err(CodecError::Malformed("it has a flag that is not known"));
    }
    let [similarity, confidence, predicted, at, horizon, volatility] = [
        reader.number()?,
        reader.number()?,
        reader.number()?,
        reader.number()?,
        reader.number()?,
        reader.number()?,
    ];
    // One event, one encoding: what is not there is 0.
    let absent = |flag: u8, number: f64| flags & flag == 0 && number.to_bits() != 0;
    if absent(HORIZON, horizon) || absent(VOLATILITY, volatility) {
        return Err(CodecError::Malformed("it has a number without its flag"));
    }
    let family = usize::from(u16::from_le_bytes(reader.array()?));
    let context = u32::from_le_bytes(reader.array()?) as usize;
    let values = u32::from_le_bytes(reader.array()?) as usize;
    let (family, context) = (reader.text(family)?, reader.text(context)?);
    let bytes = values.checked_mul(8).ok_or(CodecError::Malformed("it is cut off"))?;
    let values = reader.take(bytes)?.chunks_exact(8);
    let value =
        |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("chunks of eight have eight bytes"));
    let experience = Experience {
        id,
        family,
        similarity,
        confidence,
        predicted,
        at,
        horizon_ends_at: (flags & HORIZON != 0).then_some(horizon),
        taken: flags & TAKEN != 0,
        volatility: (flags & VOLATILITY != 0).then_some(volatility),
        context,
        values: values.map(value).collect(),
    };
    experience.check()?;
    Ok(experience)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> [Event; 2] {
        let id = ExperienceId { node: 7, seq: 3 };
        let experience = Experience {
            id,
            family: "flag".into(),
            similarity: 0.9,
            confidence: 0.6,
            predicted: -0.01,
            at: 5.0,
            horizon_ends_at: Some(9.0),
            taken: true,
            volatility: None,
            context: "{\"symbol\":\"SPX\"}".into(),
            values: Arc::new([1.0, -2.5]),
        };
        [Event::Experience(Arc::new(experience)), Event::Resolution(Resolution { id, actual: 0.02, at: 9.0 })]
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        for event in events() {
            assert_eq!(decode(ExperienceId { node: 7, seq: 3 }, &encode(&event)), Ok(event));
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_refused_or_another_event() {
        for event in events() {
            let bytes = encode(&event);
            let place = ExperienceId { node: 7, seq: 3 };
            for length in 0..bytes.len() {
                assert!(decode(place, &bytes[..length]).is_err(), "{length}");
            }
            assert!(decode(place, &[bytes.clone(), vec![0]].concat()).is_err());
            for index in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[index] ^= 0xFF;
                assert_ne!(decode(place, &changed), Ok(event.clone()), "{index}");
            }
        }
    }
}
