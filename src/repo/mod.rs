//! A repository: create it, open it, write to it.
//!
//! Ties the storage, the format, contents, objects and manifests together; the layers above see only this.

mod connection_file;
mod create;
mod documents;
mod error;
mod format_editor;
mod guard;
mod maintenance_owner;
pub mod mirror;
mod open;
mod parameters;
mod retention;
mod sync;
mod upgrade;
mod verified_packs;
mod writer;

pub use crate::content::ClientIdentity;
pub use connection_file::{CachingOptions, ClientOptions, ConnectionFile};
pub use create::{CreateOptions, create};
pub use documents::OpenOptions;
pub use error::{Error, Result};
pub use format_editor::FormatEditor;
pub use guard::FORMAT_LIFETIME;
pub use maintenance_owner::MaintenanceParameters;
pub use open::{Environment, Repository};
pub use parameters::Parameters;
pub use sync::{SyncOptions, SyncPlan, SyncReport, Tally, sync_to};
pub use upgrade::LockOutcome;
pub use verified_packs::VerifiedPacks;
pub use writer::{RepositoryWriter, WriteOptions};
