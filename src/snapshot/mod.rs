//! Snapshots: a tree of directory manifests under a small manifest that says whose it is and when.

mod byte_name;
mod catalog;
mod check;
mod diff;
mod dir_entry;
mod directory;
mod directory_stream;
mod error;
mod estimate;
mod expire;
mod find;
mod history;
mod judges;
mod listing;
mod manifest;
mod migrate;
mod mode;
mod name_pattern;
mod packed;
mod placeholder;
mod rewrite;
mod special;
mod supplement;
mod supplement_json;
mod tree;
pub mod upload;
mod usage;
mod verify;
mod wide_lookup;

pub use crate::policy::SourceInfo;
pub use catalog::{Catalog, SourceFilter, SourceGroup};
pub use check::ObjectCheck;
pub use diff::{DiffStats, Difference, EntryDiffStats, MetadataDiff, diff};
pub use dir_entry::{DirEntry, DirSummary, EntryError, EntryType};
pub use directory::{DirectoryManifest, read_directory};
pub use directory_stream::{read_members, stream_directory};
pub use error::{Error, Result};
pub use estimate::{Estimate, FileSizes, SizeClass, estimate};
pub use expire::{apply_retention, expired_snapshots};
pub use find::{Holder, Version, Wanted, find_versions};
pub use history::{HistoryStep, plan_history};
pub use judges::{InvalidFiles, UnwantedFiles};
pub use listing::{Listing, Member};
pub use manifest::{SnapshotManifest, SnapshotStats};
pub use migrate::Migrator;
pub use mode::Mode;
pub use name_pattern::NamePattern;
pub use packed::{PackedEntries, PackedFiles};
pub use placeholder::{PLACEHOLDER_SUFFIX, placeholder_target, read_placeholder, write_placeholder};
pub use rewrite::{Handling, Judge, Judgement, RewriteOptions, Rewriter};
pub use special::{DirectorySupplement, SpecialEntry};
pub use supplement::{HardLink, Supplement};
pub use tree::{resolve, resolve_path};
pub use upload::{Checkpoints, EntryForm, Stream, Upload, UploadOptions, UploadSource, Uploaded, upload};
pub use usage::{StorageStats, StorageUsage, UsageCounter};
pub use verify::{
    DamagedPart, RoundOptions, RoundReport, VerifyError, VerifyOptions, VerifyReport, VerifyStats, verify,
    verify_round,
};
pub use wide_lookup::find_in_wide_directory;
