//! What the swarm is measured against: bare TCP, and bare fsync.

use crate::PAYLOAD;
use crate::peer::Peer;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// An echo over TCP in another process.
pub(crate) struct Echo {
    stream: TcpStream,
    // Killed when it is dropped.
    _peer: Peer,
}

impl Echo {
    pub(crate) fn start() -> io::Result<Self> {
        let (peer, address) = Peer::tcp_echo()?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, _peer: peer })
    }

    pub(crate) fn round_trip(&mut self) -> io::Result<Duration> {
        let mut buffer = [7; PAYLOAD];
        let begun = Instant::now();
        self.stream.write_all(&buffer)?;
        self.stream.read_exact(&mut buffer)?;
        Ok(begun.elapsed())
    }
}

/// 4 KiB written over and over, each time down to the disk.
pub(crate) struct Fsyncs(File);

impl Fsyncs {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).map(Self)
    }

    pub(crate) fn one(&mut self) -> io::Result<Duration> {
        let begun = Instant::now();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&[7; 4096])?;
        self.0.sync_data()?;
        Ok(begun.elapsed())
    }
}
