//! What JavaScript calls of the kernels and searches, without a word of JavaScript: arguments are checked and made into work.
//!
//! Each function takes the positional primitives of the facade, refuses what no kernel may see, and returns the work as a
//! closure that owns its inputs: the addon sends it to a thread, WebAssembly runs it where it is. Nothing here computes.
//!
//! | module | what it makes |
//! | --- | --- |
//! | [`arguments`] | numbers and views into options, series and candidates |
//! | [`refusal`] | why a call was refused, under the codes of `MidstreamerError` |
//! | [`dtw`] | distances, alignments, batches and matrices of series |
//! | [`subsequence`] | the best places of a query in a long series |
//! | [`symbols`] | LCS, Levenshtein and LCSS |
//! | [`elastic`] | the other elastic distances |
//! | [`cluster`] | neighbours, centres and representatives of many series |
//! | [`library`] | pattern libraries |
//! | `compat` | what the drop-ins for other packages need beyond these |

// Arguments are positional on purpose: an option object costs more to cross with than a small comparison takes.
#![allow(clippy::too_many_arguments)]

pub(crate) mod arguments;
pub(crate) mod cluster;
#[cfg(feature = "node")]
pub(crate) mod compat;
pub(crate) mod dtw;
pub(crate) mod elastic;
pub(crate) mod library;
pub(crate) mod refusal;
pub(crate) mod subsequence;
pub(crate) mod symbols;

use crate::kernels::KernelError;
use crate::search::Job;

/// What is left to do once a call was accepted.
pub(crate) trait Work<T>: FnOnce(&Job) -> Result<T, KernelError> + Send + 'static {}

impl<T, F: FnOnce(&Job) -> Result<T, KernelError> + Send + 'static> Work<T> for F {}
