//! What a repository needs from time to time: the removal of what nothing refers to.
//!
//! - **M1** nothing is deleted by an index that is damaged or incomplete, nor by one read before the blobs were listed;
//! - **M2** what is younger than its margin stays: it may belong to a client that is still at work.

mod error;
mod safety;
mod unreferenced;

pub use error::{Error, Result};
pub use safety::SafetyParameters;
pub use unreferenced::{BlobGc, BlobGcReport, Tally, collect_blobs};
