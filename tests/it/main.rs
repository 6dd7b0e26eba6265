//! Integration tests: one binary, one module an area.

#![allow(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, with its place")]

mod architecture;
mod cascade;
mod cluster;
mod elastic;
mod golden_dtw;
mod golden_elastic;
mod golden_symbols;
mod library;
mod library_file;
mod search;
mod subsequence;
mod symbols;
