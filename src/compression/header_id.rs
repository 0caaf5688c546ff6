//! The id of a stream format.

use serde::{Deserialize, Serialize};

/// Identifies a [`Compressor`](super::Compressor) in a content's header and in the index; 0 means not compressed.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeaderId(pub u32);

impl HeaderId {
    /// Not compressed.
    pub const NONE: Self = Self(0);

    /// Length of the id in front of a stream, in bytes.
    pub const LEN: usize = 4;

    /// Whether this means "not compressed".
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for HeaderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}
