//! Self-learning: which matches pay, and how sure that is. No clock, file, thread or dice: time is an argument.
//!
//! A [`Learner`] is told [events](event): matches, taken or skipped, and their outcomes. From the set of them follows, to
//! the last bit and whatever the order of arrival, what it says of the next match ([`policy`]), where the
//! thresholds of each family are and why ([`threshold`]), how a family has done ([`trajectory`]) and which shapes have
//! paid ([`distill`](mod@distill)). `docs/learning.md` says it in words for traders.
//!
//! | module | what it computes |
//! | --- | --- |
//! | [`event`], [`union`] | matches and outcomes, and the set of them |
//! | [`codec`] | events as bytes |
//! | [`verdict`] | one prediction against one outcome |
//! | [`stats`] | discounted means by similarity |
//! | [`window`] | which outcomes count where windows overlap, and in which scale |
//! | [`sequence`], [`bernstein`] | bounds of a mean that hold however often they are looked at |
//! | [`conformal`] | prediction intervals under drift |
//! | [`drift`] | whether the world has changed |
//! | [`threshold`] | when a threshold moves |
//! | [`policy`], [`config`] | when a match is a signal |
//! | `family`, `fold`, `learner`, `answer` | the state of one family, and how it follows from the events |
//! | [`trajectory`] | the figures of a family |
//! | [`distill`](mod@distill) | long-term memory |

mod answer;
pub mod bernstein;
pub mod codec;
pub mod config;
pub mod conformal;
pub mod distill;
pub mod drift;
pub mod event;
mod family;
mod fold;
mod learner;
pub mod policy;
pub mod sequence;
pub mod stats;
pub mod threshold;
pub mod trajectory;
pub mod union;
pub mod verdict;
pub mod window;

pub use answer::{Adaptation, Event, Query, Thresholds, Verdict};
pub use config::{Config, ConfigError};
pub use distill::{DistillError, DistillOptions, Distilled, Representative, distill};
pub use event::{EventError, Experience, ExperienceId, Instant, Resolution};
pub use learner::Learner;
pub use policy::{Decision, Direction, Policy, Proof, Reason, Signal};
pub use trajectory::{Calibration, Trajectory};
pub use union::{Entry, Events};
