//! Calls that do not come back: a volume whose server is away lets them wait, for as long as that takes.
//!
//! That is right, and no time-out of ours could do better; but whoever looks on must learn what is waited for. One
//! thread looks at the calls in flight. It is started by the first call and ends when it has found none for a while.

use crate::base::Stopwatch;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a call may take before it is mentioned.
const PATIENCE: Duration = Duration::from_secs(30);

/// Receives the path waited for, and for how long by now.
type Tell = Box<dyn Fn(&Path, Duration) + Send + Sync>;

/// The calls in flight.
pub(super) struct Waiting(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
    patience: Duration,
    tell: Tell,
}

#[derive(Default)]
struct State {
    next: u64,
    calls: BTreeMap<u64, Call>,
    is_watched: bool,
    is_over: bool,
}

struct Call {
    path: PathBuf,
    since: Stopwatch,
    is_told: bool,
}

impl Waiting {
    /// Mentions long calls in the log.
    pub(super) fn new() -> Self {
        Self::with(PATIENCE, |path, waited| {
            tracing::warn!(path = %path.display(), seconds = waited.as_secs(), "still waiting for the file system");
        })
    }

    fn with(patience: Duration, tell: impl Fn(&Path, Duration) + Send + Sync + 'static) -> Self {
        let (state, ended) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { state, ended, patience, tell: Box::new(tell) }))
    }

    /// Does what may wait for `path`.
    pub(super) fn watch<T>(&self, path: &Path, call: impl FnOnce() -> T) -> T {
        let _flight = self.begin(path);
        call()
    }

    fn begin(&self, path: &Path) -> Flight<'_> {
        let mut state = self.0.state.lock();
        let number = state.next;
        state.next += 1;
        let call = Call { path: path.to_owned(), since: Stopwatch::start(), is_told: false };
        state.calls.insert(number, call);
        if !state.is_watched {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("blob-waiting".to_owned());
            // Without the thread there is only no warning.
            state.is_watched = thread.spawn(move || shared.look()).is_ok();
        }
        Flight { shared: &self.0, number }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.ended.notify_all();
    }
}

/// A call in flight until it is dropped.
struct Flight<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().calls.remove(&self.number);
    }
}

impl Shared {
    /// What the thread does.
    fn look(&self) {
        let mut state = self.state.lock();
        loop {
            let is_idle = state.calls.is_empty();
            self.ended.wait_for(&mut state, self.patience / 3);
            if state.is_over || (is_idle && state.calls.is_empty()) {
                state.is_watched = false;
                return;
            }
            for (path, waited) in late(&mut state, self.patience) {
                // Never under the lock: the log may wait, too.
                parking_lot::MutexGuard::unlocked(&mut state, || (self.tell)(&path, waited));
            }
        }
    }
}

/// Calls that have become late since the last look.
fn late(state: &mut State, patience: Duration) -> Vec<(PathBuf, Duration)> {
    let calls = state.calls.values_mut().filter(|call| !call.is_told && call.since.elapsed() >= patience);
    calls
        .map(|call| {
            call.is_told = true;
            (call.path.clone(), call.since.elapsed())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_call_is_told_once_and_others_never() {
        let (sender, told) = crossbeam_channel::unbounded();
        let waiting = Waiting::with(Duration::from_millis(30), move |path, _| {
            sender.send(path.to_owned()).ok();
        });
        for _ in 0..100 {
            waiting.watch(Path::new("/quick"), || ());
        }
        let answer = waiting.watch(Path::new("/slow"), || {
            let path = told.recv_timeout(Duration::from_secs(20)).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            path
        });
        assert_eq!(answer, Path::new("/slow"));
        assert!(told.is_empty());
    }

    #[test]
    fn the_thread_ends_when_nothing_is_asked_for() {
        let waiting = Waiting::with(Duration::from_millis(3), |_, _| ());
        for _ in 0..2 {
            waiting.watch(Path::new("/a"), || assert!(waiting.0.state.lock().is_watched));
            let since = Stopwatch::start();
            while waiting.0.state.lock().is_watched {
                assert!(since.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
