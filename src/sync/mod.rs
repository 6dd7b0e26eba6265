//! Replication of AgentDB databases: what is captured, said and merged. No socket, clock, file, thread or dice: time and
//! random bytes are arguments, the database is a trait, so that a test can run many nodes and years in a second.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`identity`] | who writes, which row, which table |
//! | [`clock`] | hybrid logical clocks |
//! | [`component`] | what is replicated: a row's parts, and which of two states wins |
//! | [`database`] | the user's SQLite, behind statements |
//! | [`lineage`] | the lives of an origin: whether a database is a copy |
//! | [`row`] | the content of a row on its way |
//! | [`table`] | what is known of a table that is replicated |
//! | [`tables`] | which tables are replicated: AgentDB's, agentic-flow's, the user's |
//! | [`store`] | what a session needs of a replica or a relay |
//! | [`seal`] | contents that a relay cannot read |
//! | [`replica`] | one database: capture, merge, repair |
//! | [`wire`] | messages as bytes |
//! | [`session`] | one link, as a state machine |
//! | [`relay`] | the store in the middle, which forwards |

pub mod clock;
pub mod component;
pub mod database;
pub mod identity;
pub mod lineage;
pub mod relay;
pub mod replica;
pub mod row;
pub mod seal;
pub mod session;
pub mod store;
pub mod table;
pub mod tables;
pub mod wire;
