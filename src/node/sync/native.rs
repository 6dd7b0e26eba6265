//! `NativeSync`.

use super::super::errors::Code;
use super::super::keyring::NativeKeyring;
use super::super::swarm::outbox::{Outbox, RecordType};
use super::super::swarm::{NativeAgent, environment, identity, thrown};
use super::database::{Handle, Texts};
use super::engine::{Engine, Notice};
use super::headers::{Notices, StatusHeader};
use super::lock::Lock;
use crate::calls::arguments::natural;
use crate::swarm::SwarmCode;
use crate::swarm::sync::{KeyringSeal, Links, Mailbox};
use crate::sync::database::{DatabaseError, Value};
use crate::sync::replica::{Event, OpenOptions, Replica, uninstall};
use crate::sync::seal::Seal;
use crate::sync::store::StoreError;
use napi::bindgen_prelude::{BufferSlice, Either, Function, Object, Uint8Array, Unknown};
use napi::{Env, Error};
use napi_derive::napi;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// How a slice ended. The facade knows the same numbers (js/agentdb/slices.js).
#[derive(Clone, Copy)]
enum State {
    Idle = 0,
    More = 1,
    Busy = 2,
    InUse = 3,
}

/// An embedding that has changed.
#[napi(object, object_from_js = false)]
pub struct NativeVector {
    pub table: String,
    /// A number where it is one exactly, else its digits.
    pub id: Either<f64, String>,
    /// Raw little-endian f32; none when it is gone.
    pub vector: Option<Uint8Array>,
}

/// What a slice did.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct NativeSlice {
    pub state: u32,
    /// Why the handle was not to be had.
    pub reason: String,
    pub committed: bool,
    pub rows: f64,
    pub captured: f64,
    /// Some of what was written is not captured yet.
    pub behind: bool,
    /// A JSON array; none where nothing is to be told.
    pub notices: Option<String>,
    pub vectors: Vec<NativeVector>,
}

/// Where a flush stands.
#[napi(object, object_from_js = false)]
pub struct NativeReach {
    pub links: u32,
    /// Those on which both sides have said who they are.
    pub ready: u32,
    pub reached: u32,
    pub done: bool,
}

struct Inner {
    texts: Texts,
    engine: Option<Engine>,
    lock: Option<Lock>,
}

/// A database that is replicated.
#[napi]
pub struct NativeSync {
    outbox: Arc<Outbox>,
    mailbox: Arc<Mailbox>,
    links: Links,
    inner: Mutex<Inner>,
    /// What the environment ends; it does not hold it itself.
    _open: Arc<Open>,
    ticket: u64,
}

/// The end of the environment ends the links.
struct Open {
    outbox: Arc<Outbox>,
    links: Links,
}

impl environment::Ends for Open {
    fn end(&self, done: Box<dyn FnOnce() + Send>) {
        self.outbox.shut();
        self.links.close(done);
    }
}

#[napi]
impl NativeSync {
    /// `wake` is called when there is something to take. `lock` is the path of the file that is locked while this lives.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: &Env,
        wake: Function<'_, (), Unknown<'static>>,
        database: String,
        lock: Option<String>,
    ) -> Result<Self, Error<Code>> {
        let lock = lock.map(|path| Lock::take(PathBuf::from(path))).transpose()?;
        let outbox = Outbox::new(&wake).map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))?;
        let woken = outbox.clone();
        let mailbox = Mailbox::new(move || woken.push(RecordType::Links, 0.0, &(), &[]));
        let links = Links::new(mailbox.clone(), database).map_err(|error| thrown(&error))?;
        let open = Arc::new(Open { outbox: outbox.clone(), links: links.clone() });
        let weak: std::sync::Weak<dyn environment::Ends> = Arc::<Open>::downgrade(&open);
        let ticket = environment::enter(env, weak)?;
        let inner = Mutex::new(Inner { texts: Texts::default(), engine: None, lock });
        Ok(Self { outbox, mailbox, links, inner, _open: open, ticket })
    }

    /// Installs what is missing in the database and opens the replica. Returns why it has to be tried again later, if so.
    #[napi(catch_unwind)]
    pub fn open(
        &self,
        calls: Object<'_>,
        tables: Option<Vec<String>>,
        now_ms: f64,
        keyring: Option<&NativeKeyring>,
    ) -> Result<Option<String>, Error<Code>> {
        let mut inner = self.lock()?;
        let Inner { texts, engine, .. } = &mut *inner;
        let now_ms = natural("nowMs", now_ms)? as u64;
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| Error::new(Code::INTERNAL, "no randomness"))?;
        let seal = keyring.map(|keyring| Arc::new(KeyringSeal(keyring.0.clone())) as Arc<dyn Seal>);
        let options = OpenOptions {
            database: self.links.database().to_owned(),
            tables,
            now_ms,
            seed,
            seal: seal.clone(),
            declared: Vec::new(),
        };
        let opened = Replica::open(&mut handle(calls, texts)?, options);
        match opened {
            Ok(replica) => {
                *engine = Some(Engine::new(replica, seal, self.links.clone(), self.mailbox.clone()));
                Ok(None)
            }
            Err(StoreError::Database(DatabaseError::Busy | DatabaseError::InUse)) => {
                Ok(Some(std::mem::take(&mut texts.reason)))
            }
            Err(error) => Err(store(&error)),
        }
    }

    /// One slice of at most so many rows.
    #[napi(catch_unwind)]
    pub fn slice(&self, calls: Object<'_>, now_ms: f64, rows: u32) -> Result<NativeSlice, Error<Code>> {
        let mut inner = self.lock()?;
        let Inner { texts, engine, .. } = &mut *inner;
        let engine = engine.as_mut().ok_or_else(closed)?;
        let now_ms = natural("nowMs", now_ms)? as u64;
        let outcome = engine.slice(&mut handle(calls, texts)?, now_ms, rows.max(1) as usize);
        let mut report = NativeSlice::default();
        match outcome {
            Ok(slice) => {
                report.state = if slice.more { State::More } else { State::Idle } as u32;
                report.committed = slice.committed;
                report.rows = slice.rows as f64;
                report.captured = slice.captured as f64;
                report.behind = slice.behind;
            }
            Err(StoreError::Database(error @ (DatabaseError::Busy | DatabaseError::InUse))) => {
                report.state = if error == DatabaseError::Busy { State::Busy } else { State::InUse } as u32;
                report.reason = std::mem::take(&mut texts.reason);
            }
            Err(error) => return Err(store(&error)),
        }
        let mut notices = Vec::new();
        for notice in engine.take_notices() {
            match notice {
                Notice::Replica(_, Event::Vectors { table, rid, vector }) => {
                    report.vectors.push(NativeVector {
                        table,
                        id: id(rid),
                        vector: vector.map(Uint8Array::from),
                    });
                }
                notice => notices.push(notice),
            }
        }
        if !notices.is_empty() {
            report.notices = Some(Notices::json(notices));
        }
        Ok(report)
    }

    /// Lets out what may leave, now that the commit is durable.
    #[napi(catch_unwind)]
    pub fn send(&self) -> Result<(), Error<Code>> {
        if let Some(engine) = self.lock()?.engine.as_mut() {
            engine.send();
        }
        Ok(())
    }

    /// The last version that this node has published.
    #[napi(catch_unwind)]
    pub fn head(&self, calls: Object<'_>) -> Result<f64, Error<Code>> {
        let mut inner = self.lock()?;
        let Inner { texts, engine, .. } = &mut *inner;
        let engine = engine.as_mut().ok_or_else(closed)?;
        Ok(engine.head(&mut handle(calls, texts)?).map_err(|error| store(&error))? as f64)
    }

    /// Who has this version.
    #[napi(catch_unwind)]
    pub fn reached(&self, version: f64, members: bool) -> Result<NativeReach, Error<Code>> {
        let inner = self.lock()?;
        let engine = inner.engine.as_ref().ok_or_else(closed)?;
        let reached = engine.reached(natural("version", version)? as u64, members);
        Ok(NativeReach {
            links: reached.links,
            ready: engine.ready(),
            reached: reached.reached,
            done: reached.done,
        })
    }

    /// JSON.
    #[napi(catch_unwind)]
    pub fn status(&self) -> Result<String, Error<Code>> {
        let inner = self.lock()?;
        Ok(StatusHeader::json(inner.engine.as_ref().ok_or_else(closed)?))
    }

    #[napi(catch_unwind)]
    pub fn attach(&self, agent: &NativeAgent) -> Result<(), Error<Code>> {
        self.links.attach(&agent.agent()?).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn listen(
        &self,
        request: f64,
        address: String,
        certificate: String,
        private_key: String,
        ca: String,
    ) -> Result<(), Error<Code>> {
        let identity = identity(&certificate, &private_key, &ca)?;
        self.links.listen(&address, &identity, self.outbox.answer(request, |address: String| address));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn connect(
        &self,
        request: f64,
        address: String,
        certificate: String,
        private_key: String,
        ca: String,
        timeout_ms: f64,
    ) -> Result<(), Error<Code>> {
        let identity = identity(&certificate, &private_key, &ca)?;
        let timeout_ms = natural("timeoutMs", timeout_ms)? as u64;
        self.links.connect(&address, &identity, timeout_ms, self.outbox.done(request));
        Ok(())
    }

    /// Removes everything that was added to the database. Returns why it has to be tried again later, if so.
    #[napi(js_name = "uninstall", catch_unwind)]
    pub fn remove(&self, calls: Object<'_>) -> Result<Option<String>, Error<Code>> {
        let mut inner = self.lock()?;
        let texts = &mut inner.texts;
        match uninstall(&mut handle(calls, texts)?) {
            Ok(()) => {
                inner.engine = None;
                Ok(None)
            }
            Err(StoreError::Database(DatabaseError::Busy | DatabaseError::InUse)) => {
                Ok(Some(std::mem::take(&mut texts.reason)))
            }
            Err(error) => Err(store(&error)),
        }
    }

    /// Everything that has happened since the last call, up to a batch.
    #[napi(catch_unwind)]
    pub fn take<'env>(&self, env: &'env Env) -> Result<Option<BufferSlice<'env>>, Error<Code>> {
        self.outbox.take(env).map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))
    }

    /// Ends the links; the answer comes when the sockets are gone.
    #[napi(catch_unwind)]
    pub fn close(&self, request: f64) -> Result<(), Error<Code>> {
        if let Some(engine) = self.lock()?.engine.as_mut() {
            engine.leave();
        }
        let outbox = self.outbox.clone();
        self.links.close(move || outbox.settle(request, &()));
        Ok(())
    }

    /// After the last answer: JavaScript is not called any more, and another one may open the file.
    #[napi(catch_unwind)]
    pub fn release(&self) -> Result<(), Error<Code>> {
        self.outbox.shut();
        self.links.close(|| ());
        let mut inner = self.lock()?;
        inner.engine = None;
        inner.lock = None;
        environment::leave(self.ticket);
        Ok(())
    }
}

impl NativeSync {
    /// All calls come from one thread: it is locked only where a statement of ours runs a function of the user's, which calls us.
    fn lock(&self) -> Result<MutexGuard<'_, Inner>, Error<Code>> {
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let words = "a statement of this AgentDbSync is running: it cannot be called from a function of the database";
                Err(Error::new(Code::STORE, words))
            }
        }
    }
}

fn closed() -> Error<Code> {
    Error::new(Code::Swarm(SwarmCode::Closed), "it is not open")
}

fn handle<'a>(calls: Object<'a>, texts: &'a mut Texts) -> Result<Handle<'a>, Error<Code>> {
    Handle::new(calls, texts).map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))
}

/// A number where JavaScript has it exactly.
fn id(rid: Value) -> Either<f64, String> {
    const MOST: i64 = 1 << 53;
    match rid {
        Value::Integer(id) if id.abs() < MOST => Either::A(id as f64),
        Value::Integer(id) => Either::B(id.to_string()),
        Value::Text(text) => Either::B(text),
        other => Either::B(format!("{other:?}")),
    }
}

/// What the user's database says.
pub(super) fn store(error: &StoreError) -> Error<Code> {
    let code = match error {
        StoreError::Corrupt(_) => Code::CORRUPT,
        StoreError::NewerFormat(_) | StoreError::UnsupportedTable { .. } => Code::SCHEMA,
        StoreError::OtherName(_) => Code::INVALID_ARGUMENT,
        StoreError::OtherSeal(_) => Code::DECRYPT,
        StoreError::Database(DatabaseError::Failed(message)) if message.contains("malformed") => {
            Code::CORRUPT
        }
        _ => Code::STORE,
    };
    Error::new(code, error.to_string())
}
