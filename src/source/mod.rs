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
mod holes;
mod ignore;
mod list;
mod special;
mod xattr_reader;
mod xattrs;

pub use directory::{Directory, open_block_device, open_single};
pub use entry::{Entry, EntryKind, Listed};
pub use error::{Error, Result};
pub use holes::{Hole, Holes, find_holes};
pub use ignore::{IgnoreContext, IgnorePolicy, Pattern, is_cache_directory};
pub use list::Names;
pub use special::SpecialKind;
pub use xattr_reader::{FoundXattrs, XattrPlace, XattrReader};
pub use xattrs::Xattrs;
