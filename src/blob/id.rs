//! The name of a blob.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A blob's name: printable ASCII without separators. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(Arc<str>);

impl BlobId {
    /// Longest name that fits every index format (one length byte).
    pub const MAX_LEN: usize = 255;

    /// Takes any text as a name; stores refuse what they cannot hold.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name can exist in a store: 1 to 255 bytes of `0-9 A-Z a-z . _ - @ = +`, not starting with
    /// a dot.
    ///
    /// Names also come out of index files, which are untrusted; with this check a name never becomes a path that
    /// leads elsewhere.
    pub fn is_valid(&self) -> bool {
        let bytes = self.0.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= Self::MAX_LEN
            && bytes[0] != b'.'
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'=' | b'+'))
    }
}

impl serde::Serialize for BlobId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl From<&str> for BlobId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for BlobId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for BlobId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for BlobId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({})", self.0)
    }
}
