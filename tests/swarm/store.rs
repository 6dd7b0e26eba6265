//! Task stores: what was committed is there, whatever happens to the process or the disk.

mod crash;
mod damage;
mod disk;
mod files;
mod model;
