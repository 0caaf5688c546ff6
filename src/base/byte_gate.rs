//! How many bytes may be in flight at once.

use parking_lot::{Condvar, Mutex};

/// Lets in what fits, and makes the rest wait. What is larger than everything goes alone.
#[derive(Debug)]
pub struct ByteGate {
    total: u64,
    free: Mutex<u64>,
    changed: Condvar,
}

/// Bytes that are in flight until this is dropped.
#[derive(Debug)]
pub struct Pass<'a> {
    gate: &'a ByteGate,
    bytes: u64,
}

impl ByteGate {
    /// For `total` bytes.
    pub fn new(total: u64) -> Self {
        Self { total, free: Mutex::new(total), changed: Condvar::new() }
    }

    /// Waits until `bytes` more may be in flight. Whoever waits must not hold a pass already.
    pub fn enter(&self, bytes: u64) -> Pass<'_> {
        let bytes = bytes.min(self.total);
        let mut free = self.free.lock();
        while *free < bytes {
            self.changed.wait(&mut free);
        }
        *free -= bytes;
        Pass { gate: self, bytes }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.gate.free.lock() += self.bytes;
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn no_more_than_allowed_is_in_flight_and_everybody_gets_in() {
        let (gate, inside, most) = (ByteGate::new(100), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [10, 40, 60, 100, 1000, 0, 33] {
                let (gate, inside, most) = (&gate, &inside, &most);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let _pass = gate.enter(bytes);
                        let now = inside.fetch_add(bytes.min(100), Ordering::SeqCst) + bytes.min(100);
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(bytes.min(100), Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 100);
        assert_eq!(*gate.free.lock(), 100);
    }
}
