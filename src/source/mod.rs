//! The live tree: entries with their metadata, read relative to open directories, and the rules that leave some out.
//!
//! Nothing here knows of snapshots. Invariants that upper layers cite:
//! - **S1** no symbolic link is followed below the root, even if an entry changes its kind while it is being read; links
//!   named like ignore files are the exception;
//! - **S2** a listing is complete or an error: an entry is left out only if it vanished between listing and stat;
//! - **S3** names are the raw bytes the file system holds, and listings are sorted by them.

mod directory;
mod entry;
mod error;
mod ignore;
mod list;

pub use directory::{Directory, open_block_device, open_single};
pub use entry::{Entry, EntryKind, Listed};
pub use error::{Error, Result};
pub use ignore::{IgnoreContext, IgnorePolicy, Pattern, is_cache_directory};
pub use list::Names;
