//! Identifiers: who writes ([`Origin`]), which life of its database file ([`Incarnation`]), which row ([`Gid`]), which table
//! ([`TableId`]). All are compared as bytes.

use std::fmt;

/// Makes a type of so many bytes that prints as hexadecimal.
macro_rules! bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// From bytes of unknown origin: `None` unless there are exactly as many.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }
    };
}

bytes!(
    /// One replica of one database, as an author: minted when the database is first opened for replication, and anew when it
    /// turns out to be a copy (a clone, a restored backup).
    Origin, 16
);
bytes!(
    /// One life of an origin: minted at each open. Two databases that both go on from one life are copies of each other.
    Incarnation, 8
);
bytes!(
    /// A row, the same on all nodes. Minted ones start with their time, so that they are inserted in order; those of rows with
    /// a natural key are hashes of it.
    Gid, 16
);
bytes!(
    /// A table, as a hash of its name (keyed where contents are sealed): a relay needs no more.
    TableId, 8
);

impl Origin {
    /// Whose share in a counter is what was there before anybody replicated.
    pub const BASELINE: Self = Self([0; 16]);
}

impl Gid {
    /// Of the 256 buckets of a digest: the last byte, which is random or of a hash in every gid.
    #[must_use]
    pub const fn bucket(&self) -> u8 {
        self.0[15]
    }
}
