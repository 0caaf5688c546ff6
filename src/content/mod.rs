//! Contents: byte strings named by their keyed hash, stored once, packed, encrypted.
//!
//! [`ContentWriter`] hashes, looks up, compresses, encrypts, fills packs and uploads them, and writes the index last;
//! [`ContentReader`] finds, fetches, decrypts, decompresses and checks.

mod blocks;
mod claims;
mod error;
mod format;
mod pack;
mod read_plan;
mod reader;
mod recover;
mod session;
mod upload;
mod writer;
mod zero_runs;

pub use error::{Error, Result};
pub use format::ContentFormat;
pub use pack::{PackKind, read_local_index};
pub use read_plan::{PackRead, Piece, ReadPlan};
pub use reader::{ContentReader, Warn};
pub use session::{ClientIdentity, SessionInfo, list_sessions, session_of};
pub use writer::{ContentWriter, NewContent, Scratch, WriteStats};
