//! Agents that are refused by name, kept in the data directory: one id a line.
//!
//! Certificates are revoked by the authority that issued them; this list is the coordinator's own, for those it was told
//! to drop, and works without the authority's key.

use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::network::create_private;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The list, with its file where there is one.
#[derive(Debug)]
pub(super) struct Refused {
    file: Option<PathBuf>,
    ids: BTreeSet<String>,
}

impl Refused {
    /// What the file says; empty without a directory, and where there is no file yet.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self, SwarmError> {
        let file = directory.map(|directory| directory.join("refused-agents"));
        let text = match file.as_ref().map(fs::read_to_string) {
            None => String::new(),
            Some(Ok(text)) => text,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Some(Err(error)) => {
                let message = format!("the list of refused agents: {error}");
                return Err(SwarmError::new(SwarmCode::Store, message));
            }
        };
        Ok(Self { file, ids: text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect() })
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }

    /// Adds one; kept when this returns, as long as the coordinator itself is.
    pub(super) fn add(&mut self, id: &str) -> Result<(), SwarmError> {
        let mut ids = self.ids.clone();
        ids.insert(id.to_owned());
        if let Some(file) = &self.file {
            let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
            create_private(file, text.as_bytes()).map_err(|error| {
                SwarmError::new(SwarmCode::Store, format!("the list of refused agents: {error}"))
            })?;
        }
        self.ids = ids;
        Ok(())
    }
}
