//! The user's database handle as a [`Database`]: every statement is one synchronous call into JavaScript (js/agentdb/handles),
//! on the JavaScript thread, within a call of JavaScript's into here.
//!
//! The text of a statement crosses once and has a number from then on. Values cross as bytes in a buffer that both sides see
//! ([`super::exchange`]): the parameters are in it when the statement is called, and the rows when it returns how many bytes
//! they take. What SQLite says comes back as a string whose first letter is the kind of the error
//! (js/agentdb/handles/outcome.js).

use super::exchange;
use crate::sync::database::{Database, DatabaseError, Rows, Value};
use napi::ValueType;
use napi::bindgen_prelude::{BufferSlice, FnArgs, FromNapiValue, Function, JsObjectValue, Object, Unknown};
use std::collections::HashMap;

/// Texts with a number. The engine has fewer; lists of parameters of many lengths could make more.
const MOST_TEXTS: usize = 1024;

/// The numbers of texts, and what a handle said when it was in the way. They live as long as the handle.
#[derive(Debug, Default)]
pub(super) struct Texts {
    numbers: HashMap<String, u32>,
    /// Why the handle could not be used, of the last statement that could not.
    pub(super) reason: String,
}

type Outcome<'env> = Unknown<'env>;

/// A handle, for one call.
pub(super) struct Handle<'env> {
    calls: Object<'env>,
    texts: &'env mut Texts,
    define: Function<'env, FnArgs<(u32, String)>, Outcome<'env>>,
    forget: Function<'env, (), Outcome<'env>>,
    room: Function<'env, f64, Outcome<'env>>,
    query: Function<'env, u32, Outcome<'env>>,
    batch: Function<'env, String, Outcome<'env>>,
    begin: Function<'env, (), Outcome<'env>>,
    commit: Function<'env, (), Outcome<'env>>,
    rollback: Function<'env, (), Outcome<'env>>,
}

impl<'env> Handle<'env> {
    /// Reads the functions of `calls`.
    pub(super) fn new(calls: Object<'env>, texts: &'env mut Texts) -> napi::Result<Self> {
        Ok(Self {
            calls,
            texts,
            define: calls.get_named_property("define")?,
            forget: calls.get_named_property("forget")?,
            room: calls.get_named_property("room")?,
            query: calls.get_named_property("query")?,
            batch: calls.get_named_property("batch")?,
            begin: calls.get_named_property("begin")?,
            commit: calls.get_named_property("commit")?,
            rollback: calls.get_named_property("rollback")?,
        })
    }

    /// The number of a text; JavaScript hears of a new one.
    fn number(&mut self, sql: &str) -> napi::Result<u32> {
        if let Some(&number) = self.texts.numbers.get(sql) {
            return Ok(number);
        }
        if self.texts.numbers.len() >= MOST_TEXTS {
            self.texts.numbers.clear();
            self.forget.call(())?;
        }
        let number = self.texts.numbers.len() as u32;
        self.define.call(FnArgs::from((number, sql.to_owned())))?;
        self.texts.numbers.insert(sql.to_owned(), number);
        Ok(number)
    }

    /// The buffer as it is now. It is asked for anew before each use: JavaScript writes into it, and may put a larger one there.
    fn buffer(&self) -> napi::Result<BufferSlice<'env>> {
        self.calls.get_named_property("exchange")
    }

    fn run(&mut self, sql: &str, parameters: &[Value]) -> napi::Result<Outcome<'env>> {
        let number = self.number(sql)?;
        let size = exchange::size(parameters)
            .ok_or_else(|| napi::Error::from_reason("a value of 4 GiB or more for the database"))?;
        let mut buffer = self.buffer()?;
        if buffer.len() < size {
            self.room.call(size as f64)?;
            buffer = self.buffer()?;
        }
        let place = buffer
            .get_mut(..size)
            .ok_or_else(|| napi::Error::from_reason("the handle made no room for a statement's values"))?;
        exchange::write(parameters, place);
        self.query.call(number)
    }

    /// The rows that JavaScript has written, by the bytes that they take.
    fn rows(&self, outcome: Outcome<'_>) -> napi::Result<Rows> {
        let length = f64::from_unknown(outcome)? as usize;
        let buffer = self.buffer()?;
        buffer
            .get(..length)
            .and_then(exchange::read)
            .ok_or_else(|| napi::Error::from_reason("what the handle answered is no rows"))
    }

    /// Nothing, or why not.
    fn done(&mut self, outcome: napi::Result<Outcome<'_>>) -> Result<(), DatabaseError> {
        let outcome = outcome.map_err(thrown)?;
        match outcome.get_type().map_err(thrown)? {
            ValueType::String => Err(self.refused(outcome)),
            _ => Ok(()),
        }
    }

    /// The error that a string tells.
    fn refused(&mut self, outcome: Outcome<'_>) -> DatabaseError {
        let mut message = match String::from_unknown(outcome) {
            Ok(message) if !message.is_empty() => message,
            Ok(_) => return DatabaseError::Failed("the handle failed without a word".to_owned()),
            Err(error) => return thrown(error),
        };
        let words = message.split_off(message.chars().next().map_or(0, char::len_utf8));
        match message.as_str() {
            "B" => {
                self.texts.reason = words;
                DatabaseError::Busy
            }
            "I" => {
                self.texts.reason = words;
                DatabaseError::InUse
            }
            "C" => DatabaseError::Constraint(words),
            _ => DatabaseError::Failed(words),
        }
    }
}

/// What the functions of a handle do not do: they return what goes wrong.
fn thrown(error: napi::Error) -> DatabaseError {
    DatabaseError::Failed(error.reason.clone())
}

impl Database for Handle<'_> {
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, DatabaseError> {
        let outcome = self.run(sql, parameters).map_err(thrown)?;
        match outcome.get_type().map_err(thrown)? {
            ValueType::String => Err(self.refused(outcome)),
            ValueType::Undefined => Ok(Rows::new()),
            _ => self.rows(outcome).map_err(thrown),
        }
    }

    fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        let outcome = self.batch.call(sql.to_owned());
        self.done(outcome)
    }

    fn begin(&mut self) -> Result<(), DatabaseError> {
        let outcome = self.begin.call(());
        self.done(outcome)
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        let outcome = self.commit.call(());
        self.done(outcome)
    }

    fn rollback(&mut self) {
        let outcome = self.rollback.call(());
        // There is nothing that could be done about it: the next transaction says so itself.
        let _: Result<(), DatabaseError> = self.done(outcome);
    }
}
