//! Manifests: small JSON documents found by labels.
//!
//! They live in batches, each one content with prefix `m`: gzip of `{"entries":[…]}`. An entry is never changed, only
//! replaced by a new one and a tombstone. Source: kopia `repo/manifest/`.

mod batch;
mod entry;
mod error;
mod store;

pub use batch::{decode_batch, encode_batch};
pub use entry::{Labels, ManifestEntry, ManifestId};
pub use error::{Error, Result};
pub use store::ManifestStore;
