//! A cache on disk for what never changes: index blobs, directories' packs, and parts of files' packs.
//!
//! It is a store around the store. Kopia's folders beside it are neither read nor written. Invariants:
//! - **K1** what a file of the cache says is believed only under a keyed tag over the bytes, the blob and the place;
//!   anything else is a miss, and is removed;
//! - **K2** nothing that may change is kept: no `kopia.*`, no markers, no listings;
//! - **K3** what is in the cache is encrypted as in the store;
//! - **K4** whatever happens to the folder costs time and a warning, never a run.
//!
//! Files come by temporary name and rename and are not synced: after a crash they are whole, missing, or a miss (K1). Any
//! number of processes may share a folder.

mod folder;
mod options;
mod room;
mod store;

pub use options::{CacheLimits, CacheOptions, SUBFOLDER, TEMPORARY};
pub use store::Cached;
