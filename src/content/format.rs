//! What a repository's format says about contents.

use super::{Error, Result};
use crate::base::{Entropy, Secret};
use crate::crypto::BlobCrypto;
use std::sync::Arc;

/// The parameters that reading and writing contents need, drawn from the format blob.
#[derive(Debug, Clone)]
pub struct ContentFormat {
    /// Hash, cipher and error correction with this repository's keys.
    pub crypto: BlobCrypto,
    /// A pack is closed once it holds this many bytes.
    pub max_pack_bytes: usize,
    /// Version of the index files written.
    pub index_version: u8,
    /// Recorded in index entries.
    pub format_version: u8,
    /// A copy of the format blob that every pack must begin with (repositories without password change only).
    pub recovery_block: Option<Arc<[u8]>>,
    /// Key of the schedule blob, for maintenance and for reading it.
    pub maintenance_key: Secret,
}

impl ContentFormat {
    /// Whether contents may be compressed: index files before version 2 cannot record it.
    pub fn compresses_contents(&self) -> bool {
        self.index_version >= 2
    }

    /// Longest plaintext or stored content that an index file of this repository can record, in bytes.
    pub fn max_content_bytes(&self) -> usize {
        if self.index_version >= 2 { (1 << 28) - 1 } else { u32::MAX as usize }
    }

    /// The capacity a pack buffer needs so that it never grows: a full pack, one content more, padding, trailer.
    pub fn pack_buffer_bytes(&self, max_content_bytes: usize) -> usize {
        self.max_pack_bytes + max_content_bytes + 64 * 1024
    }

    /// Encrypts `plaintext` under `iv` with a fresh nonce.
    pub(super) fn seal(&self, entropy: &dyn Entropy, iv: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        self.crypto
            .seal_item(entropy, iv, plaintext)
            .map_err(|source| Error::Crypto { action: "encrypt a content", source })
    }
}
