//! The JavaScript surface: convert, call, convert. Nothing here computes. What is called of the kernels and searches is in
//! [`calls`](crate::calls), which WebAssembly shares.
//!
//! The functions take positional primitives, because an option object costs more to cross with than a small
//! comparison takes; the facade in `js/` checks arguments, words the errors and is what users see. What a type
//! cannot say about a number is checked here again, so nothing that reaches this layer can end the process:
//!
//! - every synchronous function, getter and constructor carries `catch_unwind`: a panic becomes an exception;
//! - asynchronous work goes through [`task::promise`], which catches panics on the worker;
//! - JavaScript memory is read on the JavaScript thread only, and copied before anything outlives the call.
//!
//! | module | what it exports |
//! | --- | --- |
//! | [`errors`] | the codes of `MidstreamerError` |
//! | [`task`] | `Job` and the way from the thread pool to a promise |
//! | [`dtw`] | distances, alignments, batches and matrices of series |
//! | [`subsequence`] | the best places of a query in a long series |
//! | [`symbols`] | LCS, Levenshtein and LCSS |
//! | [`elastic`] | the other elastic distances |
//! | [`learn`] | learners |
//! | [`library`] | pattern libraries |
//! | [`library_file`] | pattern libraries in files |
//! | [`swarm`] | coordinators and agents |
//! | [`cluster`] | neighbours, centres and representatives of many series |
//! | [`authority`] | certificate authorities |
//! | [`audit`] | verification of audit logs |
//! | [`keyring`] | keyrings, and what is sealed with them |
//! | [`transport`] | messages between two addresses over QUIC |
//! | [`diagnostics`] | `version` and the test hooks |

// What a reader needs is documented in index.d.ts; the macro makes more items than are written here, and it needs
// them `pub`. Arguments are positional on purpose, see above.
#![allow(missing_docs, unreachable_pub, clippy::too_many_arguments)]
// In a test build the macro registers nothing, so nobody calls what is exported.
#![cfg_attr(test, allow(dead_code))]

mod audit;
mod authority;
mod cluster;
mod diagnostics;
mod dtw;
mod elastic;
mod errors;
mod keyring;
mod learn;
mod library;
mod library_file;
mod subsequence;
mod swarm;
mod symbols;
mod sync;
mod task;
mod transport;
