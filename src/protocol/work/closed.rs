//! What must not run any more.

use crate::protocol::{Fence, TaskId};
use std::collections::{HashMap, VecDeque};

/// Attempts that were cancelled or are over, for one session. Lanes overtake each other, so a Cancel may arrive
/// before its task, and what has been acknowledged must not start again if it is sent twice.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The latest attempt that is closed; earlier ones are too.
    latest: HashMap<TaskId, Fence>,
    /// In the order of closing, to forget the oldest.
    order: VecDeque<(TaskId, Fence)>,
}

impl Closed {
    /// Closes an attempt. At most `limit` are remembered: more than can be on their way at once.
    pub(super) fn insert(&mut self, task: TaskId, fence: Fence, limit: usize) {
        if self.covers(task, fence) {
            return;
        }
        self.latest.insert(task, fence);
        self.order.push_back((task, fence));
        while self.order.len() > limit {
            let Some((task, fence)) = self.order.pop_front() else { return };
            if self.latest.get(&task) == Some(&fence) {
                self.latest.remove(&task);
            }
        }
    }

    /// Whether this attempt is closed.
    pub(super) fn covers(&self, task: TaskId, fence: Fence) -> bool {
        self.latest.get(&task).is_some_and(|latest| fence <= *latest)
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Another session begins: nothing of the one before is on its way.
    pub(super) fn clear(&mut self) {
        self.latest.clear();
        self.order.clear();
    }
}
