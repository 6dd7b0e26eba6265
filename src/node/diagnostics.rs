//! What the addon says about itself, and the hooks by which tests make it fail.

use super::errors::Code;
use super::task::promise;
use crate::kernels::simd::Level;
use crate::search;
use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, Error};
use napi_derive::napi;

/// The instruction set in use: `scalar`, `sse2`, `avx2`, `avx512`, `neon` or `portable`.
#[napi(catch_unwind)]
pub fn kernel() -> String {
    Level::best().name().to_owned()
}

/// Threads that batches and matrices use.
#[napi(catch_unwind)]
pub fn threads() -> u32 {
    u32::try_from(search::threads()).unwrap_or(u32::MAX)
}

/// For the package's own tests, unreachable through the public entry points: panics in a synchronous call.
#[napi(catch_unwind)]
pub fn panic_for_test() {
    panic!("injected panic");
}

/// For the package's own tests, unreachable through the public entry points: panics on a worker thread.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn panic_for_test_async(env: &Env) -> Result<PromiseRaw<'_, ()>, Error<Code>> {
    promise(env, None, |_| panic!("injected panic"), |()| ())
}
