//! Integration tests: one binary, one module an area.

mod elastic;
mod golden_elastic;
