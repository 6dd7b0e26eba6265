//! Integration tests: one binary, one module an area.

mod golden_elastic;

mod elastic;
