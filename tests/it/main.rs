//! Integration tests: one binary, one module an area.
mod golden_symbols;
mod symbols;
