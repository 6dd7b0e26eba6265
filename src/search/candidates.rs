//! The candidates of a batch: one block of equal lengths, or a list of any lengths. Checked when they are made.

use crate::kernels::KernelError;
use crate::kernels::normalize::Normalize;
use crate::series::{InputError, Series, check_finite};
use rayon::prelude::*;
use std::borrow::Cow;

/// Checked series that a query is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    values: Vec<f64>,
    /// Where each candidate ends in `values`; for a block these are multiples of the row length.
    ends: Vec<usize>,
    channels: usize,
}

impl Candidates {
    /// Equal-length candidates, row after row of `steps * channels` values. No values at all: no candidates.
    pub fn from_block(
        argument: &str,
        values: Vec<f64>,
        steps: usize,
        channels: usize,
    ) -> Result<Self, InputError> {
        let row = steps.saturating_mul(channels);
        if row == 0 || !values.len().is_multiple_of(row) {
            return Err(InputError::Ragged {
                argument: argument.to_owned(),
                values: values.len(),
                unit: "length x channels",
                divisor: row,
            });
        }
        check_finite(argument, &values)?;
        let ends = (1..=values.len() / row).map(|k| k * row).collect();
        Ok(Self { values, ends, channels })
    }

    /// Candidates of any lengths; errors name them `argument[3]`.
    pub fn from_list<'a>(
        argument: &str,
        list: impl IntoIterator<Item = &'a [f64]>,
        channels: usize,
    ) -> Result<Self, InputError> {
        let list: Vec<&[f64]> = list.into_iter().collect();
        let total = list.iter().map(|values| values.len()).sum();
        let mut candidates =
            Self { values: Vec::with_capacity(total), ends: Vec::with_capacity(list.len()), channels };
        for (index, values) in list.into_iter().enumerate() {
            // The name is made for an error only: there may be a hundred thousand candidates.
            if Series::new(argument, values, channels).is_err() {
                Series::new(&format!("{argument}[{index}]"), values, channels)?;
            }
            candidates.values.extend_from_slice(values);
            candidates.ends.push(candidates.values.len());
        }
        Ok(candidates)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Values per time step.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Candidate `index`.
    pub fn get(&self, index: usize) -> Series<'_> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Series::trusted(&self.values[start..self.ends[index]], self.channels)
    }

    /// The time steps of every candidate; none when they differ, or there is no candidate.
    pub(super) fn equal_steps(&self) -> Option<usize> {
        let steps = (!self.is_empty()).then(|| self.get(0).steps())?;
        (1..self.len()).all(|index| self.get(index).steps() == steps).then_some(steps)
    }

    /// Whether no candidate is shorter than the one before it.
    pub(super) fn lengths_ascend(&self) -> bool {
        (1..self.len()).all(|index| self.get(index - 1).steps() <= self.get(index).steps())
    }

    /// Each candidate normalised by itself; borrowed where there is nothing to do.
    pub(super) fn normalized(&self, how: Normalize) -> Result<Cow<'_, Self>, KernelError> {
        if how == Normalize::None {
            return Ok(Cow::Borrowed(self));
        }
        let (mut values, bytes) = (Vec::new(), self.values.len() * size_of::<f64>());
        values.try_reserve_exact(self.values.len()).map_err(|_| KernelError::OutOfMemory { bytes })?;
        values.extend_from_slice(&self.values);
        let mut copy = Self { values, ends: self.ends.clone(), channels: self.channels };
        let channels = self.channels;
        copy.values_mut().into_par_iter().for_each(|values| how.apply_in_place(values, channels));
        Ok(Cow::Owned(copy))
    }

    /// The values of each candidate, to be changed in place; they must stay finite.
    fn values_mut(&mut self) -> Vec<&mut [f64]> {
        let mut rest = &mut self.values[..];
        let mut start = 0;
        let mut rows = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            let (row, later) = rest.split_at_mut(end - start);
            rows.push(row);
            (rest, start) = (later, end);
        }
        rows
    }
}
