//! A library of patterns: prepared once, searched many times, kept in a file.

pub mod file;
