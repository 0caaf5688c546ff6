//! What every store behind a network shares: the runtime its client runs on, limits of time, a watch over bytes that no
//! longer move, and names for what goes wrong.
//!
//! The runtime is here and nowhere else: above [`Storage`](super::Storage) calls block, and whoever wants more in flight
//! calls from more threads (`docs/decisions/0007-a-runtime-below-the-trait.md`).
//!
//! Invariants:
//! - **N1** no request runs without end: each phase of it has a limit ([`Timeouts`]), and so has the whole;
//! - **N2** a message tells cause and remedy, and holds no key, token, signature or query string;
//! - **N3** what cannot get better by asking again is never of the class that is asked again.

mod body;
mod cause;
mod connecting;
mod fault;
mod http;
mod pace;
mod runtime;
mod timeouts;
mod trust;
mod watch;

pub(super) use body::Counted;
pub use cause::{Cause, Direction};
pub(super) use connecting::{find, of_connection, texts};
pub(super) use fault::Fault;
pub(super) use http::{Answer, Http};
pub(super) use pace::Pace;
pub(super) use runtime::block_on;
pub use timeouts::Timeouts;
pub(super) use trust::without_authorities;
pub(super) use watch::{Progress, watched};
