//! Logs for whoever wants them, and silence otherwise.
//!
//! The swarm reports through `tracing`. A program in Rust installs a subscriber of its own; JavaScript asks with
//! [`subscribe`], which installs one for the whole process the first time. What happens inside a coordinator's
//! [`span`] goes to that coordinator's listener, everything else of the swarm to all of them.

use crate::protocol::Millis;
use crate::swarm::clock::Clock;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Once, PoisonError, RwLock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// One entry.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// When.
    pub at: Millis,
    /// How grave: `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// The module that says it.
    pub target: &'static str,
    /// In words.
    pub message: String,
    /// What it is about.
    pub fields: Map<String, Value>,
}

/// Ends a subscription when it is dropped.
#[derive(Debug)]
pub struct Subscription(u64);

type Listener = Arc<dyn Fn(LogEntry) + Send + Sync>;

static LISTENERS: RwLock<Vec<(u64, Listener)>> = RwLock::new(Vec::new());
static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);

/// What we report: everything from this crate, and nothing from those below.
const OURS: &str = "midstreamer";
/// The field of a span that names its coordinator.
const INSTANCE: &str = "instance";

/// Whose span it is.
struct Instance(u64);

/// A number for a coordinator's span and subscription.
pub(crate) fn instance() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The span in which everything of one coordinator happens.
pub(super) fn span(instance: u64) -> Span {
    tracing::error_span!(target: "midstreamer", "coordinator", instance)
}

/// From now on `listener` gets the entries of this coordinator, and those of none. It is called on any thread and must not
/// block.
pub(crate) fn subscribe(instance: u64, listener: Listener) -> Subscription {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails where the program has a subscriber already: then that one has what we would tell.
        drop(tracing::subscriber::set_global_default(Registry::default().with(Forward)));
    });
    LISTENERS.write().unwrap_or_else(PoisonError::into_inner).push((instance, listener));
    Subscription(instance)
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut listeners = LISTENERS.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|(instance, _)| *instance != self.0);
    }
}

/// Hands events on to the listeners.
struct Forward;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with(OURS) && *metadata.level() <= Level::DEBUG
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(instance), Some(span)) =
            (fields.map.get(INSTANCE).and_then(Value::as_u64), context.span(id))
        {
            span.extensions_mut().insert(Instance(instance));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let of = context.event_scope(event).and_then(|scope| {
            scope.from_root().find_map(|span| span.extensions().get::<Instance>().map(|instance| instance.0))
        });
        let listeners: Vec<Listener> = {
            let listeners = LISTENERS.read().unwrap_or_else(PoisonError::into_inner);
            let wanted = |instance: u64| of.is_none_or(|of| of == instance);
            listeners
                .iter()
                .filter(|(instance, _)| wanted(*instance))
                .map(|(_, listener)| listener.clone())
                .collect()
        };
        if listeners.is_empty() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let entry = LogEntry {
            at: CLOCK.now(),
            level: match *metadata.level() {
                Level::ERROR => "error",
                Level::WARN => "warn",
                Level::INFO => "info",
                _ => "debug",
            },
            target: metadata.target(),
            message: fields.message,
            fields: fields.map,
        };
        for listener in listeners {
            listener(entry.clone());
        }
    }
}

/// Fields as JSON.
#[derive(Default)]
struct Fields {
    message: String,
    map: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => drop(self.map.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
