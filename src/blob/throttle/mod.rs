//! Limits for what goes to and from a store, by requests, bytes and requests at once; changeable while work goes on.
//!
//! Whoever waits here holds no lock while waiting, and looks up twice a second whether the limits have changed.
//!
//! Source: kopia `repo/blob/throttling/`.

mod bucket;
mod gate;
mod handle;
mod limits;
mod store;

pub(super) use bucket::Bucket;
pub use handle::{Throttle, Watch};
pub use limits::Limits;
pub use store::Throttled;
