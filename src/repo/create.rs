//! Making a new repository.

use super::retention::put_options;
use super::{Error, Result};
use crate::base::{Entropy, Secret};
use crate::blob::{BlobId, Storage, StorageExt};
use crate::crypto;
use crate::format::{BlobConfig, CONFIG_BLOB, FormatBlob, NewFormat, REPOSITORY_BLOB, RepositoryFormat};
use crate::splitter;

/// What can be chosen for a new repository.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// Algorithms and parameters.
    pub format: NewFormat,
    /// Stored name of the password's key derivation; empty for the default.
    pub key_derivation: String,
    /// Object-lock settings.
    pub retention: BlobConfig,
}

/// Writes `kopia.blobcfg` and then, as the commit, `kopia.repository`.
///
/// # Errors
/// [`Error::NotEmpty`] when the store holds any blob: nothing is written then. Unknown algorithms are refused before
/// anything is written, too.
pub fn create(
    storage: &dyn Storage,
    password: &Secret,
    options: &CreateOptions,
    entropy: &dyn Entropy,
) -> Result<()> {
    check_empty(storage)?;
    let format = RepositoryFormat::new(options.format.clone(), entropy).map_err(Error::Format)?;
    crypto::hasher(&format.hash, format.secret.expose()).map_err(Error::Crypto)?;
    crypto::encryptor(&format.encryption, format.master_key.expose()).map_err(Error::Crypto)?;
    // Splitters of our own are for policies: Kopia could not open a repository that names one.
    if !splitter::names().any(|name| name == format.splitter) {
        return Err(Error::UnknownSplitter { name: format.splitter });
    }
    options.retention.validate().map_err(Error::Format)?;
    let derivation = match options.key_derivation.as_str() {
        "" => crypto::DEFAULT_KEY_DERIVATION,
        name => name,
    };
    let unique_id = entropy.bytes::<32>();
    let (blob, key) =
        FormatBlob::create(entropy, &format, derivation, password, unique_id).map_err(Error::Format)?;
    let config = options.retention.seal(entropy, &key, &unique_id).map_err(Error::Format)?;
    let put_options = put_options(&options.retention)?;
    let put = |name: &str, data: Vec<u8>| {
        storage
            .put(&BlobId::from(name), data.into(), put_options)
            .map_err(|source| Error::Storage { action: "write the format of the new repository", source })
    };
    put(CONFIG_BLOB, config)?;
    put(REPOSITORY_BLOB, blob.to_bytes())
}

fn check_empty(storage: &dyn Storage) -> Result<()> {
    let reading = |source| Error::Storage { action: "look into the new repository's storage", source };
    let store = || storage.display_name();
    if storage.get_optional(&REPOSITORY_BLOB.into()).map_err(reading)?.is_some() {
        return Err(Error::NotEmpty { store: store() });
    }
    if storage.get_optional(&CONFIG_BLOB.into()).map_err(reading)?.is_some() {
        return Err(Error::HalfThere { store: store() });
    }
    let mut found = false;
    storage
        .list("", &mut |_| {
            found = true;
            Ok(())
        })
        .map_err(reading)?;
    if found { Err(Error::NotEmpty { store: store() }) } else { Ok(()) }
}
