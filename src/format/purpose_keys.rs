//! Keys for single purposes, drawn from the repository's master key.

use super::RepositoryFormat;
use crate::base::Secret;
use crate::crypto;

/// Associated data of the encrypted maintenance schedule.
pub const MAINTENANCE_AAD: &[u8] = b"maintenance";

impl RepositoryFormat {
    /// What keys for purposes are drawn from: the master key, or in old repositories the format key, which is why their
    /// password cannot change.
    pub fn derived_master<'a>(&'a self, format_key: &'a Secret) -> &'a Secret {
        if self.enable_password_change { &self.master_key } else { format_key }
    }

    /// The same for keys of local data.
    pub fn derived_secret<'a>(&'a self, format_key: &'a Secret) -> &'a Secret {
        if self.enable_password_change { &self.secret } else { format_key }
    }

    /// A key for one purpose.
    pub fn purpose_key(&self, format_key: &Secret, unique_id: &[u8], purpose: &str, len: usize) -> Secret {
        let master = self.derived_master(format_key).expose();
        crypto::hkdf_sha256(master, unique_id, purpose.as_bytes(), len)
    }

    /// The key of `kopia.maintenance`, for AES-256-GCM with [`MAINTENANCE_AAD`].
    pub fn maintenance_key(&self, format_key: &Secret, unique_id: &[u8]) -> Secret {
        self.purpose_key(format_key, unique_id, "maintenance schedule", 32)
    }

    /// The key under which the files of this program's cache are named and checked.
    pub fn disk_cache_key(&self, format_key: &Secret, unique_id: &[u8]) -> Secret {
        let secret = self.derived_secret(format_key).expose();
        crypto::hkdf_sha256(secret, unique_id, b"packhorse local cache", 32)
    }

    /// The key under which Kopia's local caches are checked.
    pub fn cache_key(&self, format_key: &Secret, unique_id: &[u8]) -> Secret {
        let secret = self.derived_secret(format_key).expose();
        crypto::hkdf_sha256(secret, unique_id, b"local-cache-integrity", 16)
    }
}
