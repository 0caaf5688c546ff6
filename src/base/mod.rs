//! What every layer needs and no layer owns: time, randomness, error classes, secrets, progress, memory, Go's JSON.
//!
//! Nothing in here knows a word of backup. Time and randomness enter the program only here, so that tests can give
//! their own.

mod byte_gate;
mod clock;
mod entropy;
mod error_class;
mod extra_fields;
pub mod file;
pub mod gojson;
mod memory;
mod monitor;
mod secret;
mod timestamp;

pub use byte_gate::{ByteGate, Pass};
pub use clock::{Clock, FixedClock, Stopwatch, SystemClock};
pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use error_class::{ErrorClass, error_chain};
pub use extra_fields::ExtraFields;
pub(crate) use extra_fields::{Collector, keeps_extra_fields};
pub use memory::{MIB, MemoryBudget};
pub use monitor::{Counter, Counters, Monitor, Quiet};
pub use secret::Secret;
pub use timestamp::{ParseTimestampError, Timestamp};
