//! The JavaScript surface: convert, call, convert. Nothing here computes.
