//! The surface for WebAssembly: the same calls as the addon's, without promises. A worker or the caller itself runs them where
//! they are; `js/web/` makes promises of them. Results of several parts cross as one array of numbers.
//!
//! A panic ends the call as a trap. Its message waits in [`last_panic`]; the instance may be used on, but what the call had
//! borrowed stays so.
//!
//! | module | what it exports |
//! | --- | --- |
//! | [`kernels`] | distances, alignments, batches, matrices, searches in series |
//! | [`library`] | pattern libraries |

// What a reader needs is documented in index.d.ts. Arguments are positional on purpose, as those of the addon.
#![allow(missing_docs, unreachable_pub, clippy::too_many_arguments)]

mod kernels;
mod library;

use crate::calls::Work;
use crate::calls::refusal::{Refusal, kernel};
use crate::kernels::simd::Level;
use crate::search::Job;
use js_sys::{Error, Function, Reflect};
use std::cell::RefCell;
use std::panic;
use wasm_bindgen::prelude::*;

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
    static PROGRESS: RefCell<Option<Function>> = const { RefCell::new(None) };
}

#[wasm_bindgen(start)]
fn start() {
    panic::set_hook(Box::new(|panic| LAST_PANIC.set(panic.to_string())));
}

/// What the last call that trapped had to say.
#[wasm_bindgen(js_name = lastPanic)]
pub fn last_panic() -> String {
    LAST_PANIC.take()
}

/// For the package's own tests, unreachable through the public entry points.
#[wasm_bindgen(js_name = panicForTest)]
pub fn panic_for_test() {
    panic!("injected panic");
}

/// The instruction set in use.
#[wasm_bindgen]
pub fn kernel_name() -> String {
    Level::best().name().to_owned()
}

/// `callback(done)` is called during the calls that follow, with units of work done: candidates of a batch, pairs of a matrix.
#[wasm_bindgen(js_name = onProgress)]
pub fn on_progress(callback: Option<Function>) {
    PROGRESS.set(callback);
}

fn tell(done: u64) {
    PROGRESS.with_borrow(|callback| {
        if let Some(callback) = callback {
            // What it throws is its own affair: a call of a kernel has no use for it.
            let _ = callback.call1(&JsValue::NULL, &JsValue::from_f64(done as f64));
        }
    });
}

fn run<T>(work: impl Work<T>) -> Result<T, JsValue> {
    Ok(work(&Job::told(tell)).map_err(kernel)?)
}

impl From<Refusal> for JsValue {
    fn from(Refusal { code, message }: Refusal) -> Self {
        let error = Error::new(&message);
        // An object that was made here takes any property.
        let _ = Reflect::set(&error, &"code".into(), &code.as_str().into());
        error.into()
    }
}
