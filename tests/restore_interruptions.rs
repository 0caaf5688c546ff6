//! Restores that are stopped or killed at random instants, and gone on with: the tree is the same in the end, nothing is
//! left beside it, and hardly anything was written twice.
//!
//! `PACKHORSE_TEST_RESTORE_INTERRUPTIONS` says how many; `PACKHORSE_TEST_RESTORED` names a folder to save and restore
//! instead of one made up.

use crate::support::programs::{Program, named, text};
use crate::support::trees::{self, Dice, Times, Tree};
use packhorse::base::Stopwatch;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Without a wish, so many.
const INTERRUPTIONS: u64 = 4;
/// The longest that a stop may take.
const STOP_MAX: Duration = Duration::from_secs(10);
/// What may be written twice, in thousandths of the tree.
const TWICE_MAX: u64 = 50;
/// Restores at work at once.
const WORKERS: u64 = 8;
/// The longest content that the repository's splitter makes: so much each worker may have written of a part or file that
/// is not complete.
const CONTENT_BYTES: u64 = 1 << 20;
const TEMPORARY_PREFIX: &str = ".packhorse-restore-";

struct Stage {
    base: TempDir,
    ours: Program,
    snapshot: Value,
    tree: Tree,
    bytes: u64,
    /// What a restore takes that nobody disturbs.
    whole: Duration,
}

/// What came of an interruption.
#[derive(Debug, Default, Clone, Copy)]
struct Written {
    first: u64,
    second: u64,
}

impl Stage {
    fn new(dice: &mut Dice) -> Self {
        let base = tempfile::tempdir().unwrap();
        let source = named("PACKHORSE_TEST_RESTORED").unwrap_or_else(|| make(base.path(), dice));
        let ours = Program::packhorse();
        ours.create(&base.path().join("repository"), &["--object-splitter=FIXED-1M"]);
        let snapshot = ours.snapshot(&source);
        let bytes = snapshot["rootEntry"]["summ"]["size"].as_u64().unwrap();
        let tree = Tree::look(&source);
        let mut stage = Self { base, ours, snapshot, tree, bytes, whole: Duration::ZERO };
        let watch = Stopwatch::start();
        let (status, written) = end(stage.start());
        assert!(status == Some(0) && written >= bytes, "{status:?}, {written} bytes");
        stage.whole = watch.elapsed();
        stage.check("undisturbed");
        stage
    }

    fn target(&self) -> PathBuf {
        self.base.path().join("restored")
    }

    fn start(&self) -> Child {
        let target = self.target().display().to_string();
        let id = self.snapshot["id"].as_str().unwrap();
        let args = ["restore", id, &target, &format!("--parallel={WORKERS}")];
        self.ours.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Compares what was restored with what was saved, and removes it.
    fn check(&self, what: &str) {
        let restored = Tree::look(&self.target());
        assert_eq!(self.tree.differences(&restored, Times::Exact), Vec::<String>::new(), "{what}");
        assert!(self.leftovers().is_empty(), "{what}: {:?}", self.leftovers());
        std::fs::remove_dir_all(self.target()).unwrap();
    }

    /// Whole files, and only such, bear their names. Directories are done last.
    fn check_shown(&self, what: &str) {
        let is_temporary = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(TEMPORARY_PREFIX);
        let shown = Tree::look(&self.target()).without(is_temporary);
        for wrong in self.tree.differences(&shown, Times::Kopia) {
            assert!(wrong.ends_with(" / nothing") || wrong.contains(" / 40"), "{what}: {wrong}");
        }
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let found = walkdir::WalkDir::new(self.target()).into_iter().filter_map(Result::ok);
        let is_temporary = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(TEMPORARY_PREFIX);
        found.filter(|found| is_temporary(found.file_name())).map(walkdir::DirEntry::into_path).collect()
    }

    fn interrupt(&self, instant: Duration, is_killed: bool) -> Written {
        let child = self.start();
        std::thread::sleep(instant);
        let watch = Stopwatch::start();
        let signal = if is_killed { "-KILL" } else { "-TERM" };
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let (status, first) = end(child);
        assert!(watch.elapsed() < STOP_MAX, "{:?} to stop", watch.elapsed());
        assert!(matches!(status, None | Some(0 | 143)), "{status:?}");
        if self.target().exists() {
            self.check_shown(&format!("{signal} after {instant:?}"));
        }
        let (status, second) = end(self.start());
        assert_eq!(status, Some(0), "gone on with after {instant:?}");
        self.check(&format!("{signal} after {instant:?}"));
        Written { first, second }
    }
}

fn make(base: &Path, dice: &mut Dice) -> PathBuf {
    let source = base.join("source");
    trees::make(&source, dice);
    trees::write(&source.join("huge"), &dice.bytes(96 << 20));
    for number in 0..600 {
        let path = source.join(format!("d{}/f{number}", number % 20));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        trees::write(&path, &dice.bytes(128 << 10));
    }
    source
}

/// Waits for the end; the status, and what was written. That is asked of a process that is over, but still known.
fn end(mut child: Child) -> (Option<i32>, u64) {
    let mut said = child.stderr.take().unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut said, &mut bytes).unwrap();
    let folder = PathBuf::from(format!("/proc/{}", child.id()));
    let is_over = || {
        let stat = std::fs::read_to_string(folder.join("stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('Z')
    };
    while !is_over() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let io = std::fs::read_to_string(folder.join("io")).unwrap();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap();
    let status = child.wait().unwrap().code();
    assert!(!text(&bytes).contains("panicked"), "{}", text(&bytes));
    (status, written)
}

#[test]
fn a_restore_is_gone_on_with_whenever_it_ends() {
    let wanted =
        named("PACKHORSE_TEST_RESTORE_INTERRUPTIONS").map(|number| number.to_str().unwrap().parse().unwrap());
    let mut dice = Dice::new(52);
    let stage = Stage::new(&mut dice);
    let slack = WORKERS * CONTENT_BYTES;
    let (mut most, mut total, mut broken) = (0, 0, 0);
    let count = wanted.unwrap_or(INTERRUPTIONS);
    for number in 0..count {
        let instant = stage.whole.mul_f64(dice.below(1000) as f64 / 1000.0);
        let is_killed = number.is_multiple_of(2);
        let Written { first, second } = stage.interrupt(instant, is_killed);
        let twice = (first + second).saturating_sub(stage.bytes);
        eprintln!("killed {is_killed} after {instant:?}: {first} + {second} bytes, {twice} twice");
        let limit = stage.bytes / 1000 * TWICE_MAX + slack;
        assert!(twice <= limit, "{first} + {second} bytes written for {}", stage.bytes);
        (most, total) = (most.max(twice), total + twice);
        broken += u64::from(first < stage.bytes);
    }
    eprintln!(
        "{count} restores of {} bytes in {:?}, {broken} not over: {most} bytes twice at most, {} on average",
        stage.bytes,
        stage.whole,
        total / count.max(1)
    );
    assert!(broken > 0, "none was interrupted");
}
