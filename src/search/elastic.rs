//! One query against many candidates, by an elastic distance.

use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::elastic::{self, Measure};
use crate::kernels::simd::Level;
use crate::series::Series;
use rayon::prelude::*;

/// Values of candidates that a task gets at least: enough to fill vectors and to make the hand-over to a thread
/// cheap beside them.
const TASK_VALUES: usize = 1 << 12;

/// The distance of `query` to every candidate, in order. Progress counts candidates.
///
/// Cancelled: `Interrupted`. One channel and at least [`Measure::min_steps`] steps on either side.
pub fn elastic_batch(
    measure: Measure,
    query: Series<'_>,
    candidates: &Candidates,
    window: Option<usize>,
    job: &Job,
) -> Result<Vec<f64>, KernelError> {
    // Lengths in order, so that a task's candidates fill its vectors.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&at| candidates.get(at).steps());
    let found: Vec<Vec<f64>> = tasks(&order, candidates)
        .into_par_iter()
        .map(|task| {
            let list: Vec<Series<'_>> = task.iter().map(|&at| candidates.get(at)).collect();
            let mut distances = vec![0.0; list.len()];
            elastic::batch(Level::best(), measure, query, &list, window, &mut distances, job.interrupt())?;
            job.advance(list.len());
            Ok(distances)
        })
        .collect::<Result<_, KernelError>>()?;
    let mut distances = vec![0.0; candidates.len()];
    for (at, distance) in order.into_iter().zip(found.into_iter().flatten()) {
        distances[at] = distance;
    }
    Ok(distances)
}

/// Cuts `order` into tasks of whole vectors and at least [`TASK_VALUES`] values, the last one excepted.
fn tasks<'a>(order: &'a [usize], candidates: &Candidates) -> Vec<&'a [usize]> {
    let mut tasks = Vec::new();
    let mut rest = order;
    while !rest.is_empty() {
        let mut values = 0;
        let enough = rest.chunks(Level::best().lanes()).position(|vector| {
            values += vector.iter().map(|&at| candidates.get(at).steps()).sum::<usize>();
            values >= TASK_VALUES
        });
        let count = enough.map_or(rest.len(), |vectors| (vectors + 1) * Level::best().lanes());
        let (task, others) = rest.split_at(count.min(rest.len()));
        tasks.push(task);
        rest = others;
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cover_the_order_without_overlap() {
        let lengths = (0..400).map(|k| vec![0.0; 1 + k % 90]).collect::<Vec<_>>();
        let candidates = Candidates::from_list("list", lengths.iter().map(Vec::as_slice), 1).unwrap();
        let order: Vec<usize> = (0..400).rev().collect();
        let tasks = tasks(&order, &candidates);
        assert!(tasks.len() > 1, "the candidates hold several times the values of a task");
        assert_eq!(tasks.concat(), order);
    }
}
