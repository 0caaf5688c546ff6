//! What is shown while work goes on: a line that changes on a terminal, a new line now and then elsewhere, or lines of
//! JSON for other programs; always on stderr.
//!
//! Workers only add to counters; a thread of its own looks at them and draws.

use super::Result;
use super::context::Context;
use super::exit::Explain;
use super::output::Talk;
use super::units::Sizes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use packhorse::base::{Counter, Counters, Monitor, Stopwatch};
use packhorse::content::ContentWriter;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two lines where lines cannot be drawn over.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// Shortest time between two updates of any other kind.
const INTERVAL_MIN: Duration = Duration::from_millis(20);

/// Before this, and before this share is done, nobody can tell how long the rest takes.
const ESTIMATE_AFTER: Duration = Duration::from_secs(2);
const ESTIMATE_FROM: f64 = 0.02;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// One line of a terminal, drawn over.
    Drawn,
    /// A line now and then.
    Lines,
    /// A line of JSON at every interval and at the end.
    Json,
}

/// A line of JSON; what does not apply is left out.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "event")]
    kind: &'static str,
    work: Work,
    elapsed_seconds: f64,
    #[serde(flatten)]
    counts: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// A snapshot is made.
    Upload,
    /// A snapshot is restored.
    Restore,
    /// Snapshots are checked.
    Verify,
    /// Blobs are copied to another store.
    Copy,
}

impl Work {
    /// What is told of it, by name.
    fn counters(self) -> &'static [(&'static str, Counter)] {
        match self {
            Self::Upload => &[
                ("hashedFiles", Counter::HashedFiles),
                ("hashedBytes", Counter::HashedBytes),
                ("cachedFiles", Counter::CachedFiles),
                ("cachedBytes", Counter::CachedBytes),
                ("expectedFiles", Counter::ExpectedFiles),
                ("expectedBytes", Counter::ExpectedBytes),
                ("excludedFiles", Counter::ExcludedFiles),
                ("excludedDirs", Counter::ExcludedDirs),
                ("directories", Counter::Directories),
                ("errors", Counter::FatalErrors),
                ("ignoredErrors", Counter::IgnoredErrors),
            ],
            Self::Restore => &[
                ("restoredFiles", Counter::RestoredFiles),
                ("restoredBytes", Counter::RestoredBytes),
                ("expectedFiles", Counter::ExpectedFiles),
                ("expectedBytes", Counter::ExpectedBytes),
                ("errors", Counter::FatalErrors),
                ("ignoredErrors", Counter::IgnoredErrors),
            ],
            Self::Verify => {
                &[("verifiedObjects", Counter::VerifiedObjects), ("verifiedBytes", Counter::VerifiedBytes)]
            }
            Self::Copy => &[
                ("copiedBlobs", Counter::CopiedBlobs),
                ("copiedBytes", Counter::CopiedBytes),
                ("expectedBlobs", Counter::ExpectedFiles),
                ("expectedBytes", Counter::ExpectedBytes),
            ],
        }
    }
}

/// A monitor that counts, says on stderr what failed, and shows how far the work is.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    drawing: Option<Drawing>,
}

struct Drawing {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

struct Shared {
    work: Work,
    counters: Counters,
    writer: Option<Arc<ContentWriter>>,
    watch: Stopwatch,
    /// Set when the next path is wanted, so that workers seldom meet at the lock.
    wants_path: AtomicBool,
    path: Mutex<String>,
    talk: Arc<Talk>,
    sizes: Sizes,
}

impl Progress {
    /// Starts to count, and to show if the user wants that. `writer` is asked how much has reached the store.
    pub(crate) fn start(ctx: &Context, work: Work, writer: Option<Arc<ContentWriter>>) -> Result<Self> {
        let shared = Arc::new(Shared {
            work,
            counters: Counters::default(),
            writer,
            watch: Stopwatch::start(),
            wants_path: AtomicBool::new(true),
            path: Mutex::default(),
            talk: Arc::clone(ctx.talk()),
            sizes: ctx.sizes(),
        });
        let (globals, is_terminal) = (ctx.globals(), std::io::stderr().is_terminal());
        let style = match (globals.progress_json, ctx.shows_progress()) {
            (true, _) => Some(Style::Json),
            (false, true) if is_terminal => Some(Style::Drawn),
            (false, true) => Some(Style::Lines),
            (false, false) => None,
        };
        let interval = globals.progress_update_interval.max(INTERVAL_MIN);
        let drawing = style.map(|style| Drawing::start(&shared, style, interval)).transpose()?;
        Ok(Self { shared, drawing })
    }

    /// A total so far.
    pub(crate) fn get(&self, counter: Counter) -> u64 {
        self.shared.counters.get(counter)
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.watch.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Drawing { stop, thread }) = self.drawing.take() {
            drop(stop);
            if thread.join().is_err() {
                self.shared.talk.line("the progress display broke off");
            }
        }
    }
}

impl Drawing {
    fn start(shared: &Arc<Shared>, style: Style, interval: Duration) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || match style {
                Style::Drawn => shared.draw_line(&stopped, interval),
                Style::Lines => shared.print_lines(&stopped),
                Style::Json => shared.print_json(&stopped, interval),
            })
            .explain("cannot start the progress display")?;
        Ok(Self { stop, thread })
    }
}

impl Shared {
    fn draw_line(&self, stopped: &Receiver<()>, interval: Duration) {
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well formed"),
        );
        self.talk.set_progress(Some(bar.clone()));
        while is_running(stopped, interval) {
            bar.set_message(self.describe());
            bar.tick();
        }
        self.talk.set_progress(None);
        bar.finish_and_clear();
    }

    fn print_lines(&self, stopped: &Receiver<()>) {
        while is_running(stopped, LINE_INTERVAL) {
            self.talk.line(self.describe());
        }
    }

    /// The last line says that it is the last, and has the totals.
    fn print_json(&self, stopped: &Receiver<()>, interval: Duration) {
        while is_running(stopped, interval) {
            self.print_event("progress");
        }
        self.print_event("end");
    }

    fn print_event(&self, kind: &'static str) {
        let counters =
            self.work.counters().iter().map(|(name, counter)| (*name, self.counters.get(*counter)));
        let mut counts: BTreeMap<_, _> = counters.collect();
        if let Some(writer) = &self.writer {
            counts.insert("uploadedBytes", writer.uploaded_bytes());
        }
        let path = self.path.lock().clone();
        self.wants_path.store(true, Ordering::Relaxed);
        let (work, elapsed_seconds) = (self.work, self.watch.elapsed().as_secs_f64());
        let event = Event { kind, work, elapsed_seconds, counts, path: &path };
        let json = serde_json::to_string(&event).expect("an event is texts and numbers");
        self.talk.always(json);
    }

    fn describe(&self) -> String {
        let uploaded = self.writer.as_ref().map_or(0, |writer| writer.uploaded_bytes());
        let mut text = describe(self.work, &self.counters, uploaded, self.watch.elapsed(), self.sizes);
        let path = self.path.lock();
        if !path.is_empty() {
            text.push_str("  ");
            text.push_str(&path);
        }
        drop(path);
        self.wants_path.store(true, Ordering::Relaxed);
        text
    }
}

/// Waits; `false` once the work is done.
fn is_running(stopped: &Receiver<()>, interval: Duration) -> bool {
    stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
}

fn describe(work: Work, counters: &Counters, uploaded: u64, elapsed: Duration, sizes: Sizes) -> String {
    let get = |counter| counters.get(counter);
    let size = |counter| sizes.format(counters.get(counter));
    let rate = |counter| rate(sizes, get(counter), elapsed);
    let mut text = match work {
        Work::Upload => format!(
            "{} files read ({}), {} unchanged ({}), {} uploaded, {}",
            get(Counter::HashedFiles),
            size(Counter::HashedBytes),
            get(Counter::CachedFiles),
            size(Counter::CachedBytes),
            sizes.format(uploaded),
            rate(Counter::HashedBytes),
        ),
        Work::Restore => format!(
            "{} of {} files, {} of {}, {}",
            get(Counter::RestoredFiles),
            get(Counter::ExpectedFiles),
            size(Counter::RestoredBytes),
            size(Counter::ExpectedBytes),
            rate(Counter::RestoredBytes),
        ),
        Work::Verify => format!(
            "{} objects, {} read, {}",
            get(Counter::VerifiedObjects),
            size(Counter::VerifiedBytes),
            rate(Counter::VerifiedBytes),
        ),
        Work::Copy => format!(
            "{} of {} blobs, {} of {}, {}",
            get(Counter::CopiedBlobs),
            get(Counter::ExpectedFiles),
            size(Counter::CopiedBytes),
            size(Counter::ExpectedBytes),
            rate(Counter::CopiedBytes),
        ),
    };
    if let Some(estimate) = estimate(work, counters, elapsed) {
        write!(text, ", {estimate}").expect("writing to a string cannot fail");
    }
    for (counter, name) in [(Counter::FatalErrors, "errors"), (Counter::IgnoredErrors, "ignored errors")] {
        if get(counter) > 0 {
            write!(text, ", {} {name}", get(counter)).expect("writing to a string cannot fail");
        }
    }
    text
}

/// How far the work is, and how long the rest takes at the pace so far. An upload is estimated as if the source were as
/// big as it was.
fn estimate(work: Work, counters: &Counters, elapsed: Duration) -> Option<String> {
    let sum = |a, b| counters.get(a).saturating_add(counters.get(b)) as f64;
    let (bytes, files) = match work {
        Work::Upload => {
            (sum(Counter::HashedBytes, Counter::CachedBytes), sum(Counter::HashedFiles, Counter::CachedFiles))
        }
        Work::Restore => {
            (counters.get(Counter::RestoredBytes) as f64, counters.get(Counter::RestoredFiles) as f64)
        }
        Work::Verify => return None,
        Work::Copy => {
            // Small blobs come last and count for little.
            let bytes = counters.get(Counter::CopiedBytes) as f64;
            (bytes, counters.get(Counter::ExpectedFiles) as f64)
        }
    };
    let shares = [(bytes, Counter::ExpectedBytes), (files, Counter::ExpectedFiles)];
    // Big files and many files both take their time: what is further behind tells.
    let known = shares.into_iter().filter(|(_, expected)| counters.get(*expected) > 0);
    let share = known.map(|(done, expected)| done / counters.get(expected) as f64).reduce(f64::min)?;
    if elapsed < ESTIMATE_AFTER || share < ESTIMATE_FROM {
        return None;
    }
    if share >= 1.0 {
        return (work == Work::Upload).then(|| "more than last time".to_owned());
    }
    let left = elapsed.mul_f64((1.0 - share) / share).as_secs();
    Some(format!("about {:.0} %, {}:{:02} left", share * 100.0, left / 60, left % 60))
}

/// Bytes in a second, as text.
pub(crate) fn rate(sizes: Sizes, bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-6);
    format!("{}/s", sizes.format((bytes as f64 / seconds) as u64))
}

impl Monitor for Progress {
    fn add(&self, counter: Counter, n: u64) {
        self.shared.counters.add(counter, n);
    }

    fn current(&self, path: &str) {
        if self.drawing.is_some() && self.shared.wants_path.swap(false, Ordering::Relaxed) {
            path.clone_into(&mut self.shared.path.lock());
        }
    }

    fn source_error(&self, path: &str, message: &str, ignored: bool) {
        let what = if ignored { "ignored, as the policy says" } else { "error" };
        let path = if path.is_empty() { "." } else { path };
        self.shared.talk.line(format_args!("{what}: {path}: {message}"));
    }

    fn warn(&self, message: &str) {
        self.shared.talk.line(format_args!("warning: {message}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_was_counted() {
        let counters = Counters::default();
        counters.add(Counter::HashedFiles, 3);
        counters.add(Counter::HashedBytes, 20_000_000);
        counters.add(Counter::FatalErrors, 1);
        let text = describe(Work::Upload, &counters, 5_000, Duration::from_secs(2), Sizes::default());
        assert_eq!(text, "3 files read (20 MB), 0 unchanged (0 B), 5 KB uploaded, 10 MB/s, 1 errors");
        assert_eq!(rate(Sizes::default(), 10, Duration::ZERO), "10 MB/s");
    }

    #[test]
    fn the_estimate_follows_what_is_further_behind() {
        let at =
            |counters: &Counters, seconds| estimate(Work::Upload, counters, Duration::from_secs(seconds));
        let counters = Counters::default();
        counters.add(Counter::HashedFiles, 10);
        counters.add(Counter::HashedBytes, 500);
        assert_eq!(at(&counters, 60), None, "nothing is known of earlier snapshots");
        counters.add(Counter::ExpectedFiles, 40);
        counters.add(Counter::ExpectedBytes, 1000);
        assert_eq!(at(&counters, 1), None, "too early");
        assert_eq!(at(&counters, 30).unwrap(), "about 25 %, 1:30 left");
        counters.add(Counter::CachedFiles, 30);
        counters.add(Counter::CachedBytes, 500);
        assert_eq!(at(&counters, 30).unwrap(), "more than last time");
    }

    #[test]
    fn a_restore_tells_how_long_it_still_takes() {
        let counters = Counters::default();
        for (counter, n) in [
            (Counter::ExpectedFiles, 4),
            (Counter::ExpectedBytes, 4_000_000),
            (Counter::RestoredFiles, 2),
            (Counter::RestoredBytes, 1_000_000),
        ] {
            counters.add(counter, n);
        }
        let text = describe(Work::Restore, &counters, 0, Duration::from_secs(10), Sizes::default());
        assert_eq!(text, "2 of 4 files, 1 MB of 4 MB, 100 KB/s, about 25 %, 0:30 left");
        counters.add(Counter::RestoredFiles, 2);
        counters.add(Counter::RestoredBytes, 3_000_000);
        let text = describe(Work::Restore, &counters, 0, Duration::from_secs(10), Sizes::default());
        assert_eq!(text, "4 of 4 files, 4 MB of 4 MB, 400 KB/s");
    }
}
