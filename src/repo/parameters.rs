//! What may be changed of a repository that exists.

use crate::format::{BlobConfig, EpochParameters, RepositoryFormat, RequiredFeature};

/// Oldest format version with epochs.
const VERSION_WITH_EPOCHS: u8 = 2;
/// Version of index files in repositories with epochs.
const INDEX_VERSION_WITH_EPOCHS: u8 = 2;

/// The mutable parameters. Everything else of the format is fixed for the life of the repository.
///
/// Source: kopia `repo/format/content_format.go`, `MutableParameters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Format version.
    pub version: u8,
    /// Size at which a pack is closed, in bytes.
    pub max_pack_size: u64,
    /// Version of index files to write.
    pub index_version: u8,
    /// How index blobs are kept.
    pub epochs: EpochParameters,
    /// Features every client must understand.
    pub required_features: Vec<RequiredFeature>,
    /// Object-lock settings.
    pub config: BlobConfig,
}

impl Parameters {
    pub(super) fn of(format: &RepositoryFormat, config: BlobConfig) -> Self {
        Self {
            version: format.version,
            max_pack_size: format.max_pack_size,
            index_version: format.index_version,
            epochs: format.epoch_parameters.clone(),
            required_features: format.required_features.clone(),
            config,
        }
    }

    /// Asks for what today's repositories have: epochs, and version-2 indexes in them.
    pub fn upgrade(&mut self) {
        if !self.epochs.enabled {
            let extra = std::mem::take(&mut self.epochs.extra);
            self.epochs = EpochParameters { extra, ..EpochParameters::DEFAULT };
            self.index_version = INDEX_VERSION_WITH_EPOCHS;
        }
        self.version = self.version.max(VERSION_WITH_EPOCHS);
    }

    pub(super) fn applied_to(&self, format: &RepositoryFormat) -> RepositoryFormat {
        RepositoryFormat {
            version: self.version,
            max_pack_size: self.max_pack_size,
            index_version: self.index_version,
            epoch_parameters: self.epochs.clone(),
            required_features: self.required_features.clone(),
            ..format.clone()
        }
    }
}
