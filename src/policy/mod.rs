//! Policies: what is to be saved, how, and for how long; defined on the whole repository, hosts, users and paths.
//!
//! All but [`PolicyStore`] is pure: policies come in as JSON and go out as JSON. Invariants that upper layers cite:
//! - **P1** a policy read and written again is the same bytes, unless it held keys Kopia does not know;
//! - **P2** merging and retention give exactly what Kopia gives, quirks included: another result would delete
//!   snapshots that Kopia keeps.

mod actions;
mod compression;
mod cron;
mod definition;
mod error;
mod field;
mod json;
mod labels;
mod merge;
mod path;
mod retention;
mod scheduling;
mod sections;
mod source_info;
mod store;
mod tree;
mod validate;

pub use actions::{ActionCommand, ActionsDefinition, ActionsPolicy};
pub use compression::{CompressionDefinition, CompressionPolicy, compressor_for};
pub use definition::{Definition, Policy};
pub use error::{Error, Result};
pub use labels::{POLICY_TYPE, labels_of, target_of};
pub use merge::{Effective, effective};
pub use path::{clean_path, hierarchy, is_root, nested_relative_path, parent_path};
pub use retention::{RetentionCandidate, compact_reasons, expired, reasons};
pub use scheduling::{SchedulingDefinition, SchedulingPolicy, TimeOfDay};
pub use sections::{
    DirectoryLoggingDefinition, DirectoryLoggingPolicy, EntryLoggingDefinition, EntryLoggingPolicy,
    ErrorHandlingDefinition, ErrorHandlingPolicy, FilesDefinition, FilesPolicy, LoggingDefinition,
    LoggingPolicy, MetadataCompressionDefinition, MetadataCompressionPolicy, OsSnapshotDefinition,
    OsSnapshotPolicy, RetentionDefinition, RetentionPolicy, SplitterDefinition, SplitterPolicy,
    UploadDefinition, UploadPolicy, VolumeShadowCopyDefinition, VolumeShadowCopyPolicy,
};
pub use source_info::SourceInfo;
pub use store::{PolicyStore, StoredPolicy, remove_policy};
pub use tree::PolicyTree;
