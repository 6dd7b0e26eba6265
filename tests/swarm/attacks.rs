//! The attacks of docs/security.md that are about connections, over real QUIC on loopback, where no other test has them.
//! The table there names the test of each attack, and [`table`] holds it to that.
//!
//! | module | what is tried |
//! | --- | --- |
//! | [`flood`] | many handshakes, many connections |
//! | [`downgrade`] | tickets, older protocols, weaker key exchange, key logs, compression |
//! | [`replay`] | what was said before, said again |
//! | [`stall`] | frames that begin and do not go on |
//! | [`table`] | that the guide and the tests agree |

mod downgrade;
mod flood;
mod replay;
mod stall;
mod table;
