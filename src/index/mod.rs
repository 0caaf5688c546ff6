//! Where contents lie: content id → pack, offset, length.
//!
//! An index file ([`PackIndex`]) is a sorted table, written once and never changed. A repository has many of them, each
//! an encrypted blob ([`IndexBlobs`]); what a reader sees is their union ([`MergedIndex`]).
//!
//! Invariants that upper layers cite:
//! - **X1** the order in which index files are read is irrelevant: of all entries for a content the greater wins
//!   ([`IndexEntry::supersedes`]);
//! - **X2** an opened index file has been checked as a whole: no accessor fails or panics on what it holds;
//! - **X3** index blobs are written into an epoch only while the view of the epochs is fresh, and checked afterwards;
//!   a write that came too late reports failure, and its entries must be written again;
//! - **X4** nothing here deletes a blob but those of a write of its own that failed, and, on demand, the left-overs of
//!   an upgrade that was rolled back ([`IndexBlobs::remove_epochs`]).

mod blobs;
mod builder;
mod entry;
mod epoch;
mod error;
mod fetch;
mod merged;
mod migration;
mod pack_index;
#[cfg(test)]
mod testing;
mod v0;
mod v1;
mod v2;

pub use blobs::{ActiveSet, DamagedIndex, IndexBlobs, OpenedIndex, ReadSet};
pub use builder::{ENTRIES_PER_SHARD_MAX, append_random_suffix, build, encode};
pub use entry::IndexEntry;
pub use epoch::EpochSettings;
pub use error::{Error, Result};
pub use merged::{EntryRef, MergedBuilder, MergedIndex};
pub use migration::IndexDifferences;
pub use pack_index::PackIndex;
