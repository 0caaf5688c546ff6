//! Thousands of repositories that nobody has thought of: parameters, trees, edits, writers and chores are drawn from a
//! seed, both programs work on the repository in turn, and after every step each must find what the other left.
//!
//! A failure is one line, `seed N step K: difference`, and the seed plays it again: all but keys, names of blobs and the
//! time of the day follows from it. docs/testing.md says how to run many.

mod checks;
mod draw;
mod edits;
mod model;
mod play;
mod tree;
mod writers;

use crate::support::programs::{kopia_executable, named};
use crate::support::trees::write;
pub(crate) use draw::COMPRESSORS;
use draw::Plan;
use play::{Done, Failure, play};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use writers::Executables;

/// Seeds that have failed once.
const REGRESSIONS: &[u64] = &[1378, 2161, 2374];
/// What an ordinary run of the tests plays.
const FEW: u64 = 6;
/// Seeds played at once.
const PLAYERS: u64 = 2;
/// More than all players need at once.
const ROOM_BYTES: u64 = 1 << 30;
/// After so many failures no new seed is begun.
const FAILURES_MAX: usize = 20;

#[test]
fn both_programs_on_random_repositories() {
    let Some(kopia) = kopia_executable() else { return };
    let executables = Executables { kopia: Some(kopia), older: named("PACKHORSE_TEST_KOPIA_OLD") };
    Campaign::of_environment(executables, FEW).run();
}

#[test]
fn this_package_alone_on_random_repositories() {
    Campaign::of_environment(Executables::default(), FEW).run();
}

/// Seeds to play.
struct Campaign {
    executables: Executables,
    seeds: Vec<u64>,
    /// Where the folders of failed seeds are kept.
    keep: Option<PathBuf>,
    next: AtomicU64,
    done: Mutex<(u64, Done)>,
    failures: Mutex<Vec<String>>,
}

impl Campaign {
    /// Those that have failed once, then as many as `PACKHORSE_CAMPAIGN` says; or, from `PACKHORSE_CAMPAIGN_SEED` on,
    /// only these.
    fn of_environment(executables: Executables, few: u64) -> Self {
        let number = |variable| {
            named(variable).map(|text| text.to_str().and_then(|text| text.parse().ok()).expect(variable))
        };
        let (count, first) = (number("PACKHORSE_CAMPAIGN"), number("PACKHORSE_CAMPAIGN_SEED"));
        let seeds = first.unwrap_or(1)..first.unwrap_or(1) + count.unwrap_or(few);
        let regressions: &[u64] = if first.is_none() { REGRESSIONS } else { &[] };
        Self {
            executables,
            seeds: regressions.iter().copied().chain(seeds).collect(),
            keep: named("PACKHORSE_CAMPAIGN_KEEP"),
            next: AtomicU64::new(0),
            done: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Plays all seeds, and fails with those that failed.
    fn run(&self) {
        std::thread::scope(|scope| {
            for _ in 0..PLAYERS {
                scope.spawn(|| while self.play_next() {});
            }
        });
        let (seeds, done) = *self.done.lock().unwrap();
        eprintln!("{seeds} seeds without a difference, {done:?}, {}", cpu_seconds());
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    }

    fn play_next(&self) -> bool {
        let next = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        let Some(seed) = self.seeds.get(next) else { return false };
        match self.seed(*seed) {
            Ok(done) => self.count(done),
            Err(Failure { step, difference }) => {
                let line = format!("seed {seed} step {step}: {difference}");
                eprintln!("{line}");
                self.failures.lock().unwrap().push(line);
            }
        }
        self.failures.lock().unwrap().len() < FAILURES_MAX
    }

    fn count(&self, done: Done) {
        let mut total = self.done.lock().unwrap();
        total.0 += 1;
        total.1.steps += done.steps;
        total.1.snapshots += done.snapshots;
        total.1.checks += done.checks;
        if total.0.is_multiple_of(50) {
            eprintln!("{} seeds, {:?}, {}", total.0, total.1, cpu_seconds());
        }
    }

    fn seed(&self, seed: u64) -> Result<Done, Failure> {
        let plan = Plan::draw(seed);
        let folder = tempfile::Builder::new().prefix("packhorse-").tempdir_in(scratch()).unwrap();
        let result = play(&plan, &self.executables, folder.path());
        if let (Err(_), Some(keep)) = (&result, &self.keep) {
            write(&folder.path().join("plan"), format!("{plan:#?}\n").as_bytes());
            keep_folder(folder.path(), &keep.join(format!("seed-{seed}")));
        }
        result
    }
}

/// Memory where there is a file system in it with room enough, which containers seldom have: every blob is synced.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let free_bytes = rustix::fs::statvfs(&memory).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
    if free_bytes >= ROOM_BYTES { memory } else { std::env::temp_dir() }
}

fn keep_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg("--").args([from, to]).status().unwrap();
    eprintln!("kept as {} ({copied})", to.display());
}

/// What this process and those it has started have used, where the system says so.
fn cpu_seconds() -> String {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |at: usize| stat.split(' ').nth(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let seconds = |at: usize| (ticks(at) + ticks(at + 1)) / 100;
    format!("{} + {} s of processor time", seconds(13), seconds(15))
}
