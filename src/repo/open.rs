//! Opening a repository.

use super::documents::{Documents, OpenOptions};
use super::guard::Guarded;
use super::mirror;
use super::retention::retention;
use super::{ClientIdentity, Error, RepositoryWriter, Result, WriteOptions};
use crate::base::{Clock, Entropy, Secret, error_chain};
use crate::blob::{Locking, Mirrored, Storage};
use crate::cache::Cached;
use crate::content::{ContentFormat, ContentReader, Warn};
use crate::format::{self, BlobConfig, RepositoryFormat};
use crate::index::IndexBlobs;
use crate::manifest::ManifestStore;
use crate::object::ObjectReader;
use crate::splitter::{self, Splitter};
use std::sync::Arc;

/// Splitter of a format blob that names none.
const UNNAMED_SPLITTER: &str = "FIXED";

/// What a repository needs of the world around it.
#[derive(Clone)]
pub struct Environment {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for names, nonces and keys.
    pub entropy: Arc<dyn Entropy>,
    /// Who hears warnings.
    pub warn: Warn,
}

/// An open repository.
pub struct Repository {
    contents: Arc<ContentReader>,
    objects: ObjectReader,
    splitter: Arc<dyn Splitter>,
    format: RepositoryFormat,
    unique_id: Vec<u8>,
    config: BlobConfig,
    identity: ClientIdentity,
    environment: Environment,
    mirrored: Option<Arc<Mirrored>>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("contents", &self.contents)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Opens the repository in `storage`.
    ///
    /// # Errors
    /// [`Error::NoRepository`]; [`Error::Format`], whose class tells a wrong password from damage and from a format that
    /// is too new; [`Error::Content`] when the index cannot be read.
    pub fn open(
        storage: Arc<dyn Storage>,
        password: &Secret,
        identity: ClientIdentity,
        environment: Environment,
    ) -> Result<Self> {
        Self::open_with(storage, password, identity, environment, &OpenOptions::default())
    }

    /// The same for a client that takes part in upgrades, or waits for the end of them.
    ///
    /// # Errors
    /// Those of [`Repository::open`].
    pub fn open_with(
        storage: Arc<dyn Storage>,
        password: &Secret,
        identity: ClientIdentity,
        environment: Environment,
        options: &OpenOptions,
    ) -> Result<Self> {
        let documents = Documents::open(storage.as_ref(), password, &environment, options)?;
        let config = documents.config()?;
        let splitter = find_splitter(&documents.format)?;
        let content_format = content_format(&documents)?;
        let (format, unique_id) = (documents.format.clone(), documents.blob.unique_id.clone());
        let storage = with_cache(storage, options, &documents, &environment);
        let storage = Locking::around(storage, retention(&config)?);
        let guarded = Guarded::new(storage, environment.clone(), options.clone(), documents);
        let epochs = guarded.epochs().clone();
        let storage: Arc<dyn Storage> = Arc::new(guarded);
        let index_blobs = IndexBlobs::new(
            Arc::clone(&storage),
            content_format.crypto.clone(),
            epochs,
            Arc::clone(&environment.clock),
            Arc::clone(&environment.entropy),
        );
        let (clock, warn) = (Arc::clone(&environment.clock), Arc::clone(&environment.warn));
        let contents = Arc::new(ContentReader::open(storage, content_format, index_blobs, clock, warn)?);
        let objects = ObjectReader::new(Arc::clone(&contents));
        let mirrored = options.mirrored.clone();
        let repository =
            Self { contents, objects, splitter, format, unique_id, config, identity, environment, mirrored };
        repository.join_mirror();
        Ok(repository)
    }

    /// From now on packs go to the mirror, too, if there is one, and it is one of this repository.
    fn join_mirror(&self) {
        let Some(mirrored) = self.mirrored.as_ref().filter(|_| !self.storage().is_read_only()) else {
            return;
        };
        if let Err(error) = mirror::join(self, mirrored) {
            let name = mirrored.mirror().display_name();
            self.warn(&format!("nothing goes to the mirror {name} in this run: {}", error_chain(&error)));
        }
    }

    /// The store with its mirror, if there is one.
    pub fn mirrored(&self) -> Option<&Arc<Mirrored>> {
        self.mirrored.as_ref()
    }

    /// Tells what went wrong without failing anything.
    pub(super) fn warn(&self, message: &str) {
        (self.environment.warn)(message);
    }

    /// The store underneath.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        self.contents.storage()
    }

    /// Reads contents.
    pub fn contents(&self) -> &Arc<ContentReader> {
        &self.contents
    }

    /// Reads objects.
    pub fn objects(&self) -> &ObjectReader {
        &self.objects
    }

    /// The splitter of the format blob.
    pub fn splitter(&self) -> &Arc<dyn Splitter> {
        &self.splitter
    }

    /// The format as stored.
    pub fn format(&self) -> &RepositoryFormat {
        &self.format
    }

    /// What names the repository for its whole life.
    pub fn unique_id(&self) -> &[u8] {
        &self.unique_id
    }

    /// Object-lock settings.
    pub fn config(&self) -> &BlobConfig {
        &self.config
    }

    /// Who this client is.
    pub fn identity(&self) -> &ClientIdentity {
        &self.identity
    }

    /// The world around.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Reads all manifests.
    ///
    /// # Errors
    /// [`Error::Manifest`].
    pub fn load_manifests(&self) -> Result<ManifestStore> {
        Ok(ManifestStore::load(&self.contents)?)
    }

    /// Begins to write.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::DamagedIndex`]; [`Error::Manifest`] when the manifests cannot be read.
    pub fn begin(&self, options: &WriteOptions) -> Result<RepositoryWriter<'_>> {
        if self.storage().is_read_only() {
            return Err(Error::ReadOnly);
        }
        // Never an index, an empty blob takes nothing away from what is written. A damaged one does: a listing of
        // manifests that lacks some would be taken for the truth.
        let damaged = self.contents.damaged_index_blobs();
        let broken = damaged.iter().find_map(|index| Some((&index.blob, index.error.as_ref()?)));
        if let Some((blob, source)) = broken {
            return Err(Error::DamagedIndex { blob: blob.clone(), source: Arc::clone(source) });
        }
        RepositoryWriter::new(self, options)
    }
}

fn with_cache(
    storage: Arc<dyn Storage>,
    options: &OpenOptions,
    documents: &Documents,
    environment: &Environment,
) -> Arc<dyn Storage> {
    let Some(cache) = &options.cache else { return storage };
    let key = documents.format.disk_cache_key(&documents.key, &documents.blob.unique_id);
    let (clock, warn) = (Arc::clone(&environment.clock), Arc::clone(&environment.warn));
    Arc::new(Cached::new(storage, cache, &key, clock, warn))
}

fn find_splitter(format: &RepositoryFormat) -> Result<Arc<dyn Splitter>> {
    let name = if format.splitter.is_empty() { UNNAMED_SPLITTER } else { &format.splitter };
    splitter::by_name(name).ok_or_else(|| Error::UnknownSplitter { name: name.to_owned() })
}

fn content_format(documents: &Documents) -> Result<ContentFormat> {
    let Documents { format, blob, bytes, key, .. } = documents;
    let recovery_block = if format.enable_password_change {
        None
    } else {
        Some(format::recovery_block(bytes).map_err(Error::Format)?.into())
    };
    Ok(ContentFormat {
        crypto: documents.crypto()?,
        max_pack_bytes: format.max_pack_size as usize,
        index_version: format.index_version,
        format_version: format.version,
        recovery_block,
        maintenance_key: format.maintenance_key(key, &blob.unique_id),
    })
}
