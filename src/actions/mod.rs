//! Commands around snapshots: the only layer that starts processes.
//!
//! 1. A command inherits the environment of this process and gets what Kopia gives; nothing but the policy's own words is
//!    on its command line.
//! 2. It leads a process group of its own, which is ended as a whole when its time is up.
//! 3. Where a *before* command was begun, the *after* command runs whatever happened in between.
//!
//! Source: kopia `snapshot/upload/upload_actions.go`.

mod error;
mod process;
mod scope;
mod stream;

pub use error::{Error, Result};
pub use process::Group;
pub use scope::{Actions, Around, Scope};
pub use stream::OutputOf;
