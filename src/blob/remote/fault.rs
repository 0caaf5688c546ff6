//! A failed request, before it is known what that means for a blob.

use super::Cause;

/// Why a request failed; what is no failure of the store stands apart.
#[derive(Debug)]
pub(in crate::blob) enum Fault {
    /// There is no such blob.
    Missing,
    /// The blob does not have the range.
    Range,
    /// Anything else.
    Cause(Cause),
}

impl From<Cause> for Fault {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}
