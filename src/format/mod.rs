//! The repository's vocabulary on disk: identifiers, `kopia.repository`, `kopia.blobcfg`, parameters. No I/O.

mod content_id;

pub use content_id::{ContentId, IdPrefix, ParseContentIdError};
