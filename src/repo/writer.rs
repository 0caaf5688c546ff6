//! A write session on a repository.

use super::{Repository, Result, mirror};
use crate::base::{MIB, MemoryBudget};
use crate::content::{ContentWriter, WriteStats};
use crate::manifest::{Labels, ManifestId, ManifestStore};
use crate::object::ObjectWriter;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Packs on their way at once, at most: a disk that is told to sync each of them is busy only with two.
const MAX_UPLOAD_THREADS: usize = 2;

/// How much a write session may use.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Threads that hash, compress and encrypt.
    pub threads: usize,
    /// Memory for buffers in flight.
    pub memory: MemoryBudget,
    /// How long what is stored may stay invisible.
    pub flush_interval: Duration,
}

impl WriteOptions {
    /// Kopia's own rule: what is uploaded becomes visible at least this often. Maintenance counts on it.
    pub const FLUSH_INTERVAL: Duration = Duration::from_mins(10);

    /// Options with Kopia's interval.
    pub fn new(threads: usize, memory: MemoryBudget) -> Self {
        Self { threads, memory, flush_interval: Self::FLUSH_INTERVAL }
    }

    /// Packs that may be on their way while another is being filled, within the memory.
    fn upload_threads(&self, pack_bytes: usize) -> usize {
        // Five eighths hold the packs being filled, one of each kind, and those on their way.
        let packs = self.memory.pack_bytes() / (pack_bytes as u64 + 8 * MIB);
        (packs as usize).saturating_sub(2).clamp(1, MAX_UPLOAD_THREADS)
    }
}

/// Writes contents, objects and manifests; nothing is visible before [`RepositoryWriter::flush`].
#[derive(Debug)]
pub struct RepositoryWriter<'a> {
    repository: &'a Repository,
    objects: ObjectWriter,
    manifests: ManifestStore,
    options: WriteOptions,
}

impl<'a> RepositoryWriter<'a> {
    pub(super) fn new(repository: &'a Repository, options: &WriteOptions) -> Result<Self> {
        let environment = repository.environment();
        let contents = Arc::new(ContentWriter::new(
            Arc::clone(repository.contents()),
            repository.identity().clone(),
            Arc::clone(&environment.entropy),
            options.upload_threads(repository.contents().format().max_pack_bytes),
            options.flush_interval,
        ));
        let objects = ObjectWriter::new(contents, Arc::clone(repository.splitter()));
        let manifests = repository.load_manifests()?;
        Ok(Self { repository, objects, manifests, options: *options })
    }

    /// The repository written to.
    pub fn repository(&self) -> &'a Repository {
        self.repository
    }

    /// Writes objects.
    pub fn objects(&self) -> &ObjectWriter {
        &self.objects
    }

    /// What this session may use.
    pub fn options(&self) -> &WriteOptions {
        &self.options
    }

    /// All manifests, this session's included.
    pub fn manifests(&self) -> &ManifestStore {
        &self.manifests
    }

    /// Adds a manifest.
    pub fn put_manifest<T: Serialize>(&mut self, labels: Labels, document: &T) -> ManifestId {
        let environment = self.repository.environment();
        self.manifests.put(labels, document, environment.clock.as_ref(), environment.entropy.as_ref())
    }

    /// Puts a manifest in place of all those with the same labels.
    pub fn replace_manifest<T: Serialize>(&mut self, labels: Labels, document: &T) -> ManifestId {
        let environment = self.repository.environment();
        self.manifests.replace(labels, document, environment.clock.as_ref(), environment.entropy.as_ref())
    }

    /// Deletes a manifest.
    pub fn delete_manifest(&mut self, id: &ManifestId) {
        self.manifests.delete(id, self.repository.environment().clock.as_ref());
    }

    /// Makes everything written so far durable and visible: packs, then their index, manifests among them.
    ///
    /// # Errors
    /// What could not be stored.
    pub fn flush(&mut self) -> Result<()> {
        self.manifests.flush(self.objects.contents())?;
        self.objects.contents().flush()?;
        if let Some(mirrored) = self.repository.mirrored() {
            mirror::keep_up(self.repository, mirrored);
        }
        Ok(())
    }

    /// What this session has written.
    pub fn stats(&self) -> WriteStats {
        self.objects.contents().stats()
    }
}
