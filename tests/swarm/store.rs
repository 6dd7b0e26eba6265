//! Task stores and the file of a learner: what was committed is there, whatever happens to the process or the disk.

mod crash;
mod damage;
pub(crate) mod disk;
mod experiences;
mod files;
mod model;
