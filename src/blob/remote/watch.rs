//! A watch over one request: how far it is, and whether it still moves.

use super::{Cause, Direction, Timeouts};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the watch looks, at the least.
const LOOKS: u32 = 8;

/// What a request has done so far; whoever carries bytes counts them here.
#[derive(Debug, Default)]
pub(in crate::blob) struct Progress {
    /// Bytes of the request's body.
    to_send: AtomicU64,
    sent: AtomicU64,
    /// Bytes of the answer's body, and one for its head.
    received: AtomicU64,
    /// Bytes that the answer announced.
    to_receive: AtomicU64,
}

impl Progress {
    /// The request has a body of `bytes`.
    pub(in crate::blob) fn will_send(&self, bytes: u64) {
        self.to_send.store(bytes, Ordering::Relaxed);
    }

    /// So many more bytes went out.
    pub(in crate::blob) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The answer has begun, with a body of `bytes`.
    pub(in crate::blob) fn answered(&self, bytes: u64) {
        self.to_receive.store(bytes, Ordering::Relaxed);
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more bytes of the answer's body came in.
    pub(in crate::blob) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    fn look(&self) -> Look {
        Look {
            sent: self.sent.load(Ordering::Relaxed),
            to_send: self.to_send.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            to_receive: self.to_receive.load(Ordering::Relaxed),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Look {
    sent: u64,
    to_send: u64,
    received: u64,
    to_receive: u64,
}

impl Look {
    /// Which phase the request is in; another one is progress whatever the bytes say.
    fn phase(self) -> u8 {
        match self {
            Self { received: 1.., .. } => 2,
            Self { sent, to_send, .. } if sent >= to_send => 1,
            _ => 0,
        }
    }

    fn moved_since(self, earlier: Self, enough: u64) -> bool {
        let bytes = (self.sent - earlier.sent) + (self.received - earlier.received);
        self.phase() != earlier.phase() || bytes >= enough.max(1)
    }

    /// How long the request may stay as it is.
    fn patience(self, timeouts: &Timeouts) -> Duration {
        match self.phase() {
            1 => timeouts.of_first_byte(self.to_send) + timeouts.connect,
            _ => timeouts.stall,
        }
    }

    fn gave_up(self, after: Duration) -> Cause {
        let seconds = after.as_secs();
        match self.phase() {
            0 => Cause::Stalled { direction: Direction::Upload, bytes: self.sent, seconds },
            1 => Cause::NoAnswer { seconds },
            _ => Cause::Stalled { direction: Direction::Download, bytes: self.received - 1, seconds },
        }
    }
}

/// Runs a request; ends it when it does not move any more or takes too long as a whole.
pub(in crate::blob) async fn watched<F: Future>(
    request: F,
    progress: &Progress,
    timeouts: &Timeouts,
) -> Result<F::Output, Cause> {
    let mut request = pin!(request);
    let shortest = timeouts.stall.min(timeouts.first_byte).min(timeouts.attempt) / LOOKS;
    let mut ticks = interval(shortest.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = ticks.tick().await;
    let (mut last, mut last_at) = (progress.look(), begun);
    loop {
        tokio::select! {
            biased;
            output = &mut request => return Ok(output),
            now = ticks.tick() => {
                let look = progress.look();
                if look.moved_since(last, timeouts.stall_bytes) {
                    (last, last_at) = (look, now);
                }
                check(look, begun, last_at, now, timeouts)?;
            }
        }
    }
}

fn check(
    look: Look,
    begun: Instant,
    last_at: Instant,
    now: Instant,
    timeouts: &Timeouts,
) -> Result<(), Cause> {
    let patience = look.patience(timeouts);
    if now - last_at >= patience {
        return Err(look.gave_up(patience));
    }
    let whole = timeouts.of_attempt(look.to_send.saturating_add(look.to_receive));
    if now - begun >= whole { Err(Cause::TooSlow { seconds: whole.as_secs() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::block_on;
    use super::*;

    const SHORT: Timeouts = Timeouts {
        connect: Duration::from_millis(0),
        first_byte: Duration::from_millis(300),
        stall: Duration::from_millis(100),
        stall_bytes: 10,
        attempt: Duration::from_millis(800),
        slowest_bytes_per_second: 1 << 30,
        unsent_bytes: 0,
    };

    fn outcome(progress: &Progress, step: impl Fn(u32)) -> Result<(), Cause> {
        block_on(watched(
            async {
                for round in 0..200 {
                    step(round);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            progress,
            &SHORT,
        ))
    }

    #[test]
    fn what_does_not_move_is_ended() {
        let progress = Progress::default();
        progress.will_send(1000);
        let stalled = outcome(&progress, |round| progress.sent(if round < 5 { 100 } else { 0 })).unwrap_err();
        assert!(matches!(stalled, Cause::Stalled { direction: Direction::Upload, bytes: 500, .. }));

        let progress = Progress::default();
        assert!(matches!(outcome(&progress, |_| ()).unwrap_err(), Cause::NoAnswer { .. }));

        let progress = Progress::default();
        progress.answered(1 << 20);
        let crawling = outcome(&progress, |round| progress.received(u64::from(round % 9 == 0))).unwrap_err();
        assert!(matches!(crawling, Cause::Stalled { direction: Direction::Download, .. }), "{crawling}");
    }

    #[test]
    fn what_moves_has_its_time_and_no_more() {
        let progress = Progress::default();
        progress.answered(1000);
        let slow = outcome(&progress, |_| progress.received(10)).unwrap_err();
        assert!(matches!(slow, Cause::TooSlow { .. }), "{slow}");
        assert!(block_on(watched(async { 7 }, &Progress::default(), &SHORT)).is_ok_and(|seven| seven == 7));
    }

    #[test]
    fn bodies_get_time_by_their_size() {
        let timeouts = Timeouts::DEFAULT;
        assert_eq!(timeouts.of_attempt(0).as_secs(), 180);
        assert_eq!(timeouts.of_attempt(20 << 20).as_secs(), 180 + 2560);
        assert_eq!(timeouts.of_first_byte(20 << 20).as_secs(), 60 + 512);
    }
}
