//! Snapshots as a file system, read-only.
//!
//! ```text
//! kernel ──request──► fuse ──listing in memory: answered at once──────────────► reply
//!                      ├──► names (threads) ──► tree ──► listings ──► snapshot ──► reply
//!                      └──► reads (threads) ──► files ──► contents ──► object ───► reply
//! ```
//!
//! 1. Nothing is read before it is asked for; mounting reads no directory.
//! 2. A number that was once given to a file stands for it as long as the file system is mounted.
//! 3. Listings are bounded by their number and their entries, contents by their bytes. The one used last always stays,
//!    however big it is. Beside them there are 24 to 60 bytes for each directory that was looked at.
//! 4. Whoever waits for data keeps nobody from names: there are threads for either.
//! 5. What cannot be read is an I/O error for who asked, a line for the operator, and nothing to anybody else.

mod contents;
mod early;
mod error;
mod files;
mod fuse;
mod listings;
mod numbers;
mod pool;
mod safe_names;
mod session;
mod top;
mod tree;

pub use error::{Error, Result};
pub use session::{MountOptions, Mounted, mount};
pub use top::Top;
