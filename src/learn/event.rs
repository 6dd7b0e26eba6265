//! What happened: experiences (matches, taken or skipped) and resolutions (their outcomes).
//!
//! Instants are milliseconds (since the epoch, though only their order and differences matter), returns are fractions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a family, in bytes.
pub const MAX_FAMILY_BYTES: usize = 256;

/// The longest context of an experience, in bytes.
pub const MAX_CONTEXT_BYTES: usize = 16 << 10;

/// The largest return that is believed, in either direction: a factor of a million.
pub const MAX_RETURN: f64 = 1e6;

/// The most values of one match.
pub const MAX_VALUES: usize = 1 << 20;

/// What cannot be an event.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A number that has no meaning here.
    #[error("{field} is {value}; it has to be {expected}")]
    Value {
        /// The name of the field.
        field: &'static str,
        /// What it holds.
        value: f64,
        /// What it may hold.
        expected: &'static str,
    },
    /// More context than an experience may carry.
    #[error("the context has {0} bytes as JSON; it may have {MAX_CONTEXT_BYTES}")]
    Context(usize),
    /// An empty or overlong name.
    #[error("the family's name has {0} bytes; it has to have 1 to {MAX_FAMILY_BYTES}")]
    Family(usize),
    /// An outcome of the past.
    #[error("the outcome of {id} is dated {outcome_at}, not after its match at {at}")]
    Premature {
        /// Of the experience.
        id: ExperienceId,
        /// When it matched, in milliseconds.
        at: f64,
        /// When the outcome is said to have been known, in milliseconds.
        outcome_at: f64,
    },
    /// An id that no experience has, so that there is nothing to judge.
    #[error("no experience has the id {0}")]
    Unknown(ExperienceId),
    /// An id that is not one.
    #[error("an experience's id is 32 hexadecimal digits, a hyphen and a number")]
    Id,
}

/// A point in time, in milliseconds; finite, so that instants have an order.
#[derive(Debug, Clone, Copy)]
pub struct Instant(f64);

impl Instant {
    /// Refuses what is not finite.
    pub fn new(field: &'static str, value: f64) -> Result<Self, EventError> {
        if value.is_finite() {
            // Adding zero makes one zero of the two.
            Ok(Self(value + 0.0))
        } else {
            Err(EventError::Value { field, value, expected: "a finite number of milliseconds" })
        }
    }

    /// In milliseconds.
    pub fn millis(self) -> f64 {
        self.0
    }

    /// `millis` later; the end of time where that overflows.
    pub(super) fn plus(self, millis: f64) -> Self {
        Self((self.0 + millis).min(f64::MAX))
    }

    /// After everything.
    pub(super) const NEVER: Self = Self(f64::MAX);
}

impl PartialEq for Instant {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Instant {}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Instant {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Who saw it, and as which of what it saw. Unique over all nodes; a node never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExperienceId {
    /// The node.
    pub node: u128,
    /// The number that the node gave it.
    pub seq: u64,
}

impl fmt::Display for ExperienceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", self.node, self.seq)
    }
}

impl FromStr for ExperienceId {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, EventError> {
        let (node, seq) = text.split_once('-').ok_or(EventError::Id)?;
        let id = Self {
            node: u128::from_str_radix(node, 16).map_err(|_| EventError::Id)?,
            seq: seq.parse().map_err(|_| EventError::Id)?,
        };
        // One spelling only: what is read is what would be written.
        if id.to_string() == text { Ok(id) } else { Err(EventError::Id) }
    }
}

/// A match, taken or skipped, with an outcome to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Experience {
    /// Whose it is.
    pub id: ExperienceId,
    /// The family that it belongs to (`patternType`).
    pub family: Arc<str>,
    /// Of the match, in 0..=1.
    pub similarity: f64,
    /// Of the prediction before anything was learned, in 0..=1.
    pub confidence: f64,
    /// The return that the matches predict, a fraction. Its sign is the direction; 0 predicts nothing.
    pub predicted: f64,
    /// When it matched, in milliseconds.
    pub at: f64,
    /// When the outcome is to be known, in milliseconds; none: nobody knows, and it never expires.
    pub horizon_ends_at: Option<f64>,
    /// Whether it was traded. Nothing is computed from it: the market shows the outcome of what was skipped as well.
    pub taken: bool,
    /// The standard deviation of returns over the horizon, a fraction, as it was known at the match.
    pub volatility: Option<f64>,
    /// What the caller said of the market, as JSON text; may be empty. Nothing is computed from it.
    pub context: Arc<str>,
    /// What was matched, for distillation; may be empty.
    pub values: Arc<[f64]>,
}

impl Experience {
    /// Refuses what no match can be.
    pub fn check(&self) -> Result<(), EventError> {
        let within = |field, value: f64, range: std::ops::RangeInclusive<f64>, expected| {
            if range.contains(&value) { Ok(()) } else { Err(EventError::Value { field, value, expected }) }
        };
        let bytes = self.family.len();
        if bytes == 0 || bytes > MAX_FAMILY_BYTES {
            return Err(EventError::Family(bytes));
        }
        within("similarity", self.similarity, 0.0..=1.0, "within 0 to 1")?;
        within("confidence", self.confidence, 0.0..=1.0, "within 0 to 1")?;
        within("predicted", self.predicted, -MAX_RETURN..=MAX_RETURN, "a return of at most 1e6")?;
        let at = Instant::new("at", self.at)?;
        if let Some(end) = self.horizon_ends_at
            && Instant::new("horizonEndsAt", end)? <= at
        {
            return Err(EventError::Value { field: "horizonEndsAt", value: end, expected: "after `at`" });
        }
        if let Some(volatility) = self.volatility {
            within("volatility", volatility, f64::MIN_POSITIVE..=MAX_RETURN, "positive, at most 1e6")?;
        }
        if self.context.len() > MAX_CONTEXT_BYTES {
            return Err(EventError::Context(self.context.len()));
        }
        if self.values.len() > MAX_VALUES {
            let value = self.values.len() as f64;
            return Err(EventError::Value {
                field: "the number of values",
                value,
                expected: "at most 1048576",
            });
        }
        match self.values.iter().find(|x| !x.is_finite()) {
            Some(&value) => Err(EventError::Value { field: "values", value, expected: "finite" }),
            None => Ok(()),
        }
    }

    /// The instant of the match. Checked experiences only.
    pub(super) fn instant(&self) -> Instant {
        Instant(self.at + 0.0)
    }

    /// When it counts as expired.
    pub(super) fn deadline(&self, grace_ms: f64) -> Instant {
        self.horizon_ends_at.map_or(Instant::NEVER, |end| Instant(end + 0.0).plus(grace_ms))
    }

    /// An order over contents, for two experiences that claim the same id. No node makes such, but a merge has to end the
    /// same way everywhere.
    pub(super) fn canonical(&self) -> impl Ord + use<> {
        let bits = |x: f64| (x + 0.0).to_bits();
        let optional = |x: Option<f64>| x.map(bits);
        (
            self.instant(),
            self.family.clone(),
            [bits(self.similarity), bits(self.confidence), bits(self.predicted)],
            [optional(self.horizon_ends_at), optional(self.volatility)],
            self.taken,
            self.context.clone(),
            self.values.iter().copied().map(bits).collect::<Vec<u64>>(),
        )
    }
}

/// The outcome of an experience.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resolution {
    /// Of which.
    pub id: ExperienceId,
    /// The return over the horizon, a fraction, whatever was predicted or done.
    pub actual: f64,
    /// When it was known, in milliseconds.
    pub at: f64,
}

impl Resolution {
    /// Refuses what no outcome can be.
    pub fn check(&self) -> Result<(), EventError> {
        Instant::new("at", self.at)?;
        if (-MAX_RETURN..=MAX_RETURN).contains(&self.actual) {
            return Ok(());
        }
        let expected = "a return of at most 1e6";
        Err(EventError::Value { field: "actualReturn", value: self.actual, expected })
    }

    pub(super) fn instant(&self) -> Instant {
        Instant(self.at + 0.0)
    }

    pub(super) fn canonical(&self) -> (Instant, Instant) {
        // The order of numbers is that of instants.
        (self.instant(), Instant(self.actual + 0.0))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A match without anything special.
    pub(in crate::learn) fn experience(seq: u64, at: f64) -> Experience {
        Experience {
            id: ExperienceId { node: 7, seq },
            family: "flag".into(),
            similarity: 0.9,
            confidence: 0.6,
            predicted: 0.01,
            at,
            horizon_ends_at: Some(at + 10.0),
            taken: false,
            volatility: None,
            context: "".into(),
            values: Arc::new([]),
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = ExperienceId { node: 0xABC, seq: 17 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "abc-17", "00000000000000000000000000000abc-017", "x-1", "1"] {
            assert_eq!(wrong.parse::<ExperienceId>(), Err(EventError::Id), "{wrong}");
        }
    }

    #[test]
    fn what_no_match_can_be_is_refused() {
        let good = experience(1, 0.0);
        assert_eq!(good.check(), Ok(()));
        for (field, wrong) in [
            ("similarity", Experience { similarity: 1.5, ..good.clone() }),
            ("confidence", Experience { confidence: f64::NAN, ..good.clone() }),
            ("predicted", Experience { predicted: f64::INFINITY, ..good.clone() }),
            ("at", Experience { at: f64::NAN, ..good.clone() }),
            ("horizonEndsAt", Experience { horizon_ends_at: Some(0.0), ..good.clone() }),
            ("volatility", Experience { volatility: Some(0.0), ..good.clone() }),
            ("values", Experience { values: Arc::new([1.0, f64::NAN]), ..good.clone() }),
        ] {
            assert!(
                matches!(wrong.check(), Err(EventError::Value { field: f, .. }) if f == field),
                "{field}"
            );
        }
        assert_eq!(Experience { family: "".into(), ..good.clone() }.check(), Err(EventError::Family(0)));
        let outcome = Resolution { id: good.id, actual: f64::NAN, at: 1.0 };
        assert!(outcome.check().is_err());
    }
}
