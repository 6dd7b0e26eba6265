//! Replication of AgentDB databases for the facade (js/agentdb).
//!
//! The replica and its sessions are owned by the JavaScript thread, like the user's handle: JavaScript calls one slice after
//! the other, and a slice runs statements on the handle. What the network has for it waits in a mailbox, which wakes
//! JavaScript.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`database`] | the user's handle |
//! | [`exchange`] | values between it and the engine |
//! | [`engine`] | a replica with its sessions, slice by slice |
//! | [`lock`] | one for a file |
//! | [`headers`] | what the facade is told |
//! | [`native`] | `NativeSync` |

mod database;
mod engine;
mod exchange;
mod headers;
mod lock;
mod native;
