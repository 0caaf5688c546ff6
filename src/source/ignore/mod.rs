//! Rules that leave entries out of a walk.
//!
//! Rules come from policies and from ignore files; [`Pattern`] is one of them, [`IgnoreContext`] all that hold in a
//! directory. Both follow Kopia to the letter, oddities included: what Kopia saves is saved, what it leaves out is not.

mod cache_directory;
mod class;
mod compile;
mod context;
mod file;
mod pattern;

pub use cache_directory::is_cache_directory;
pub use context::{IgnoreContext, IgnorePolicy};
pub use pattern::Pattern;
