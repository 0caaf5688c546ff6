//! Snapshots: a tree of directory manifests under a small manifest that says whose it is and when.

mod catalog;
mod dir_entry;
mod directory;
mod error;
mod expire;
mod history;
mod manifest;
mod mode;
mod tree;
pub mod upload;
mod usage;
mod verify;

pub use crate::policy::SourceInfo;
pub use catalog::{Catalog, SourceFilter};
pub use dir_entry::{DirEntry, DirSummary, EntryError, EntryType};
pub use directory::{DirectoryManifest, read_directory};
pub use error::{Error, Result};
pub use expire::{apply_retention, expired_snapshots};
pub use history::{HistoryStep, plan_history};
pub use manifest::{SnapshotManifest, SnapshotStats};
pub use mode::Mode;
pub use tree::{resolve, resolve_path};
pub use upload::{UploadOptions, Uploaded, upload};
pub use usage::{StorageStats, StorageUsage, UsageCounter};
pub use verify::{VerifyError, VerifyOptions, VerifyReport, verify};
