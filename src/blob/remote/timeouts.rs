//! How long a request may take.

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Limits of one request. Fields, so that tests can shrink them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To find the host, connect and shake hands.
    pub connect: Duration,
    /// Between the last byte of a request and the first of the answer: a load balancer may have lost it.
    pub first_byte: Duration,
    /// Without [`Timeouts::stall_bytes`] more in a body, in either direction: a dead connection, or one as good as dead.
    pub stall: Duration,
    /// What must move within [`Timeouts::stall`]; 1 byte a second.
    pub stall_bytes: u64,
    /// What a request without a body may take in all.
    pub attempt: Duration,
    /// Slowest line on which a body may still arrive, in bytes a second: a pack of 20 MiB may take 43 minutes.
    pub slowest_bytes_per_second: u64,
    /// Bytes that the system may have taken and not sent yet when a body seems to be on its way.
    pub unsent_bytes: u64,
}

impl Timeouts {
    /// For lines as they are.
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(15),
        first_byte: Duration::from_mins(1),
        stall: Duration::from_secs(30),
        stall_bytes: 30,
        attempt: Duration::from_mins(3),
        slowest_bytes_per_second: 8 << 10,
        unsent_bytes: 4 * MIB,
    };

    /// The whole attempt with bodies of `bytes` bytes.
    pub fn of_attempt(&self, bytes: u64) -> Duration {
        self.attempt + self.time_to_move(bytes)
    }

    /// For the answer to a request with a body of `sent` bytes.
    pub fn of_first_byte(&self, sent: u64) -> Duration {
        self.first_byte + self.time_to_move(sent.min(self.unsent_bytes))
    }

    fn time_to_move(&self, bytes: u64) -> Duration {
        Duration::from_secs(bytes / self.slowest_bytes_per_second.max(1))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}
