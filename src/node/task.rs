//! From the thread pool to a promise.
//!
//! Work runs on the search layer's threads, and the one that ends it settles the promise. Not through libuv's
//! pool (napi's `AsyncTask`): that one holds up `process.exit()` until the work is done and ends the whole process
//! when the work panics.

use super::errors::Code;
use crate::calls::Work;
use crate::calls::refusal::kernel;
use crate::search;
use napi::bindgen_prelude::{PromiseRaw, ToNapiValue};
use napi::{Env, Error, JsDeferred, JsError, JsValue};
use napi_derive::napi;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Lets the facade cancel a call and ask how far it is. One per call, and only for calls with a signal or progress.
#[napi]
#[derive(Default)]
pub struct Job(Arc<search::Job>);

#[napi]
impl Job {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop; its promise then rejects with ABORTED.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Units of work done so far: candidates of a batch, pairs of a matrix.
    #[napi(getter, catch_unwind)]
    pub fn done(&self) -> f64 {
        self.0.done() as f64
    }
}

/// Runs `work`, a batch or a matrix, on the thread pool; the promise holds what `convert` makes of its result on the
/// JavaScript thread.
///
/// `work` owns its inputs, so they are freed before the promise settles. A panic in it rejects with INTERNAL.
pub(super) fn promise<'env, T, V>(
    env: &'env Env,
    job: Option<&Job>,
    work: impl Work<T>,
    convert: impl FnOnce(T) -> V + Send + 'static,
) -> Result<PromiseRaw<'env, V>, Error<Code>>
where
    T: Send + 'static,
    V: ToNapiValue + 'static,
{
    promise_on(search::spawn, env, job, |job| Ok(work(job).map_err(kernel)?), convert)
}

/// The same for `work` on one pair, on threads that no batch holds.
pub(super) fn pair_promise<'env, T, V>(
    env: &'env Env,
    job: Option<&Job>,
    work: impl Work<T>,
    convert: impl FnOnce(T) -> V + Send + 'static,
) -> Result<PromiseRaw<'env, V>, Error<Code>>
where
    T: Send + 'static,
    V: ToNapiValue + 'static,
{
    promise_on(search::spawn_pair, env, job, |job| Ok(work(job).map_err(kernel)?), convert)
}

/// The same as [`promise`] for `work` that nobody cancels and that fails in ways of its own: files.
pub(super) fn fallible_promise<'env, T, V>(
    env: &'env Env,
    work: impl FnOnce() -> Result<T, Error<Code>> + Send + 'static,
    convert: impl FnOnce(T) -> V + Send + 'static,
) -> Result<PromiseRaw<'env, V>, Error<Code>>
where
    T: Send + 'static,
    V: ToNapiValue + 'static,
{
    promise_on(search::spawn_waiting, env, None, |_| work(), convert)
}

/// A promise for what a thread that is not ours answers: `start` sets it going and is given where the answer goes.
pub(super) fn answered_promise<'env, T, V>(
    env: &'env Env,
    start: impl FnOnce(Box<dyn FnOnce(Result<T, Error<Code>>) + Send>) -> Result<(), Error<Code>>,
    convert: impl FnOnce(T) -> V + Send + 'static,
) -> Result<PromiseRaw<'env, V>, Error<Code>>
where
    T: Send + 'static,
    V: ToNapiValue + 'static,
{
    let (settler, promise) = Settler::new(env)?;
    // What cannot even start is an answer as well. The promise is there already, and a second way to fail would leave it
    // rejected with nobody who listens.
    let slot = Arc::new(Mutex::new(Some(settler)));
    let take = |slot: &Mutex<Option<Settler<V>>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let answers = slot.clone();
    let started = start(Box::new(move |answer| {
        if let Some(settler) = take(&answers) {
            settler.settle(move || answer.map(convert));
        }
    }));
    if let Err(error) = started
        && let Some(settler) = take(&slot)
    {
        settler.settle(|| Err(error));
    }
    Ok(promise)
}

/// Makes the value of a promise, or its error, on the thread of JavaScript.
type Finish<V> = Box<dyn FnOnce(Env) -> napi::Result<V> + Send>;

/// What settles a promise, from any thread: not through a future of napi's, which would take two tasks on threads of its
/// runtime for each call. One that is dropped rejects, since a promise that never settles would hold the process.
struct Settler<V: ToNapiValue + 'static>(Option<JsDeferred<V, Finish<V>>>);

impl<V: ToNapiValue + 'static> Settler<V> {
    fn new(env: &Env) -> Result<(Self, PromiseRaw<'_, V>), Error<Code>> {
        let failed = |error: Error| Error::new(Code::INTERNAL, error.reason.clone());
        let (deferred, promise) = env.create_deferred().map_err(failed)?;
        Ok((Self(Some(deferred)), PromiseRaw::new(env.raw(), promise.raw())))
    }

    /// `outcome` is called on the thread of JavaScript; not at all when its environment has ended meanwhile, and then nobody
    /// misses it.
    fn settle(mut self, outcome: impl FnOnce() -> Result<V, Error<Code>> + Send + 'static) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: impl FnOnce() -> Result<V, Error<Code>> + Send + 'static) {
        let Some(deferred) = self.0.take() else { return };
        deferred.resolve(Box::new(move |env| {
            outcome().map_err(|error| Error::from(JsError::from(error).into_unknown(env)))
        }));
    }
}

impl<V: ToNapiValue + 'static> Drop for Settler<V> {
    fn drop(&mut self) {
        self.finish(|| Err(Error::new(Code::INTERNAL, "the work ended without a result")));
    }
}

fn promise_on<'env, T, V>(
    spawn: fn(Box<dyn FnOnce() + Send>),
    env: &'env Env,
    job: Option<&Job>,
    work: impl FnOnce(&search::Job) -> Result<T, Error<Code>> + Send + 'static,
    convert: impl FnOnce(T) -> V + Send + 'static,
) -> Result<PromiseRaw<'env, V>, Error<Code>>
where
    T: Send + 'static,
    V: ToNapiValue + 'static,
{
    let job = job.map(|job| job.0.clone()).unwrap_or_default();
    let ticket = unsettled::enter(env, job.clone())?;
    let (settler, promise) = Settler::new(env)?;
    spawn(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // Cancelled while it waited for a thread: the inputs are dropped without a look at them.
            job.interrupt().check().map_err(kernel)?;
            work(&job)
        }));
        let outcome = match outcome {
            Ok(result) => result,
            Err(panic) => Err(Error::new(Code::INTERNAL, panic_message(panic.as_ref()))),
        };
        settler.settle(move || {
            unsettled::leave(ticket);
            outcome.map(convert)
        });
    }));
    Ok(promise)
}

/// The jobs of this thread's environment whose promises have not settled. When the environment ends (a worker thread
/// is terminated, the process exits) nobody waits for them any more, and they must not go on to hold the thread pool.
mod unsettled {
    use super::{Arc, Code, Env, Error, search};
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::mem;

    #[derive(Default)]
    struct Unsettled {
        jobs: HashMap<u64, Arc<search::Job>>,
        last_ticket: u64,
        hooked: bool,
    }

    thread_local! {
        static UNSETTLED: RefCell<Unsettled> = RefCell::default();
    }

    /// Until [`leave`] is called with the ticket, the end of the environment cancels the job.
    pub(super) fn enter(env: &Env, job: Arc<search::Job>) -> Result<u64, Error<Code>> {
        let (ticket, hooked) = UNSETTLED.with_borrow_mut(|unsettled| {
            unsettled.last_ticket += 1;
            unsettled.jobs.insert(unsettled.last_ticket, job);
            (unsettled.last_ticket, mem::replace(&mut unsettled.hooked, true))
        });
        if !hooked {
            // One for all jobs: napi does not free what belongs to a hook that is removed.
            env.add_env_cleanup_hook((), |()| cancel_all())
                .map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))?;
        }
        Ok(ticket)
    }

    pub(super) fn leave(ticket: u64) {
        UNSETTLED.with_borrow_mut(|unsettled| unsettled.jobs.remove(&ticket));
    }

    fn cancel_all() {
        for job in UNSETTLED.take().jobs.into_values() {
            job.cancel();
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("internal error: {}", text.as_deref().unwrap_or("a panic without a message"))
}
