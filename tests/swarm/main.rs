//! The swarm from outside: its state machines under simulation, its parsers under fire, its parts over real sockets.

mod simulation;
