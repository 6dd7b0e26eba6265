//! Checked inputs. A [`Series`] exists only for data that every kernel accepts, so nothing behind it checks again.

use std::fmt;

/// Why an input is not a series.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// There is no time step at all.
    #[error("{argument} is empty: a series needs at least one value")]
    Empty {
        /// The argument as the caller named it.
        argument: String,
    },
    /// NaN or an infinity, which no distance is defined for.
    #[error("{argument}[{index}] is {}", Shown(*value))]
    NonFinite {
        /// The argument as the caller named it.
        argument: String,
        /// Position in the values as they were passed.
        index: usize,
        /// The offending value.
        value: f64,
    },
    /// The number of values is not a multiple of the channels (or of the row length).
    #[error("{argument} holds {values} values, which is not a multiple of {unit} {divisor}")]
    Ragged {
        /// The argument as the caller named it.
        argument: String,
        /// How many values there are.
        values: usize,
        /// What they must divide into: `channels` or `length`.
        unit: &'static str,
        /// The number they must be a multiple of.
        divisor: usize,
    },
}

/// A number as JavaScript would print it.
struct Shown(f64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            f.write_str("NaN")
        } else if self.0.is_infinite() {
            f.write_str(if self.0 > 0.0 { "Infinity" } else { "-Infinity" })
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// A time series: one or more steps of `channels` finite values each, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Series<'a> {
    values: &'a [f64],
    channels: usize,
}

impl<'a> Series<'a> {
    /// Checks `values`; `argument` is the name used in errors.
    pub fn new(argument: &str, values: &'a [f64], channels: usize) -> Result<Self, InputError> {
        check_shape(argument, values.len(), channels)?;
        check_finite(argument, values)?;
        Ok(Self { values, channels })
    }

    /// For values that were checked before, such as a normalised copy or a row of checked candidates.
    pub(crate) fn trusted(values: &'a [f64], channels: usize) -> Self {
        debug_assert!(!values.is_empty() && channels > 0 && values.len().is_multiple_of(channels));
        debug_assert!(values.iter().all(|x| x.is_finite()));
        Self { values, channels }
    }

    /// All values, row-major: `steps() * channels()` of them.
    pub fn values(self) -> &'a [f64] {
        self.values
    }

    /// Values per time step.
    pub fn channels(self) -> usize {
        self.channels
    }

    /// Number of time steps, at least 1.
    pub fn steps(self) -> usize {
        self.values.len() / self.channels
    }
}

/// A checked series that owns its values, for work that outlives the caller's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesBuf {
    values: Vec<f64>,
    channels: usize,
}

impl SeriesBuf {
    /// Checks `values`; `argument` is the name used in errors.
    pub fn new(argument: &str, values: Vec<f64>, channels: usize) -> Result<Self, InputError> {
        Series::new(argument, &values, channels)?;
        Ok(Self { values, channels })
    }

    /// The same, borrowed.
    pub fn as_series(&self) -> Series<'_> {
        Series { values: &self.values, channels: self.channels }
    }
}

/// At least one step, and a whole number of them.
pub(crate) fn check_shape(argument: &str, values: usize, channels: usize) -> Result<(), InputError> {
    if values == 0 {
        return Err(InputError::Empty { argument: argument.to_owned() });
    }
    if channels == 0 || !values.is_multiple_of(channels) {
        return Err(InputError::Ragged {
            argument: argument.to_owned(),
            values,
            unit: "channels",
            divisor: channels,
        });
    }
    Ok(())
}

/// Every value finite, else the first that is not.
pub(crate) fn check_finite(argument: &str, values: &[f64]) -> Result<(), InputError> {
    // x * 0 is 0 for every finite x and NaN otherwise, and a sum of zeros cannot overflow: one pass that the
    // compiler turns into SIMD, where a search with an early exit would stay scalar.
    const BLOCK: usize = 1024;
    for (block_index, block) in values.chunks(BLOCK).enumerate() {
        let mut zeros = [0.0_f64; 8];
        let (eights, rest) = block.as_chunks::<8>();
        for eight in eights {
            for (zero, x) in zeros.iter_mut().zip(eight) {
                *zero += x * 0.0;
            }
        }
        let suspicious = zeros.iter().any(|z| *z != 0.0) || rest.iter().any(|x| !x.is_finite());
        if suspicious && let Some(offset) = block.iter().position(|x| !x.is_finite()) {
            return Err(InputError::NonFinite {
                argument: argument.to_owned(),
                index: block_index * BLOCK + offset,
                value: block[offset],
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_first_bad_value() {
        let mut values = vec![1.0; 5000];
        values[4999] = f64::NEG_INFINITY;
        let error = Series::new("query", &values, 1).unwrap_err();
        assert_eq!(error.to_string(), "query[4999] is -Infinity");
        values[3] = f64::NAN;
        assert_eq!(Series::new("query", &values, 1).unwrap_err().to_string(), "query[3] is NaN");
    }

    #[test]
    fn accepts_the_largest_finite_values() {
        let values = vec![f64::MAX; 100];
        assert_eq!(Series::new("a", &values, 4).unwrap().steps(), 25);
    }

    #[test]
    fn refuses_empty_and_ragged() {
        assert!(matches!(Series::new("a", &[], 1), Err(InputError::Empty { .. })));
        assert!(matches!(Series::new("a", &[1.0; 5], 2), Err(InputError::Ragged { .. })));
        assert!(matches!(Series::new("a", &[1.0; 5], 0), Err(InputError::Ragged { .. })));
    }
}
