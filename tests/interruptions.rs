//! Runs that are stopped or killed at random instants: whatever is there afterwards is whole, and a run that was asked to
//! stop loses nothing of what it had finished.
//!
//! `PACKHORSE_TEST_INTERRUPTIONS` says how many; `PACKHORSE_TEST_INTERRUPTED` names a folder to save instead of one made up.

use crate::support::programs::{Program, named, text};
use crate::support::trees::{self, Dice, Times, differences};
use packhorse::base::Stopwatch;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Without a wish, so many.
const INTERRUPTIONS: u64 = 6;
/// The longest that a stop may take.
const STOP_MAX: Duration = Duration::from_secs(10);
/// What a run after a stop may read again, in thousandths of what was finished.
const READ_AGAIN_MAX: u64 = 20;

struct Stage {
    base: TempDir,
    source: PathBuf,
    ours: Program,
    /// What a run takes that nobody disturbs.
    whole: Duration,
}

impl Stage {
    fn new(dice: &mut Dice) -> Self {
        let base = tempfile::tempdir().unwrap();
        let source = named("PACKHORSE_TEST_INTERRUPTED").unwrap_or_else(|| {
            let source = base.path().join("source");
            trees::make(&source, dice);
            for number in 0..600 {
                let path = source.join(format!("d{}/f{number}", number % 20));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                trees::write(&path, &dice.bytes(96 << 10));
            }
            source
        });
        let ours = Program::packhorse();
        ours.create(&base.path().join("undisturbed"), &[]);
        let watch = Stopwatch::start();
        ours.snapshot(&source);
        let whole = watch.elapsed();
        Self { base, source, ours, whole }
    }

    fn start(&self, more: &[&str]) -> Child {
        let source = self.source.display().to_string();
        let args =
            [&["snapshot", "create", "--json", "--json-verbose", "--progress-json", &source], more].concat();
        self.ours.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Bytes of the run's snapshot, and bytes that it read.
    fn finish(&self) -> (Value, u64) {
        let output = self.start(&[]).wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let end = said.lines().rev().find(|line| line.contains(r#""event":"end""#)).unwrap();
        let end: Value = serde_json::from_str(end).unwrap();
        (serde_json::from_slice(&output.stdout).unwrap(), end["hashedBytes"].as_u64().unwrap())
    }

    fn verify(&self, kopia: Option<&Program>) {
        self.ours.verify();
        if let Some(kopia) = kopia {
            kopia.verify();
        }
    }
}

fn size(snapshot: &Value) -> u64 {
    snapshot["rootEntry"]["summ"]["size"].as_u64().unwrap()
}

/// Asks the run to stop; what it had finished, if it was not over by then.
fn stop(child: Child) -> Option<Value> {
    let watch = Stopwatch::start();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(watch.elapsed() < STOP_MAX, "{:?} to stop", watch.elapsed());
    assert!(!sent.success() || matches!(output.status.code(), Some(0 | 143)), "{output:?}");
    let snapshot: Value = serde_json::from_slice(&output.stdout).ok()?;
    (snapshot["incomplete"] == "canceled").then_some(snapshot)
}

fn interrupt(stage: &Stage, number: u64, dice: &mut Dice) {
    let repository = stage.base.path().join(format!("repository{number}"));
    stage.ours.create(&repository, &[]);
    // Each repository needs a cache of its own.
    let kopia = Program::kopia();
    if let Some(kopia) = &kopia {
        kopia.connect(&repository);
    }
    let interval = dice.pick(&["--checkpoint-interval=45m", "--checkpoint-interval=100ms"]);
    let mut child = stage.start(&[interval]);
    std::thread::sleep(stage.whole.mul_f64(dice.below(1000) as f64 / 1000.0));
    let stopped = if number.is_multiple_of(2) {
        stop(child)
    } else {
        child.kill().unwrap();
        child.wait().unwrap();
        None
    };
    stage.verify(kopia.as_ref());
    let (next, read) = stage.finish();
    assert!(next["incomplete"].is_null(), "{next}");
    if let Some(stopped) = stopped {
        let finished = size(&stopped);
        let again = (read + finished).saturating_sub(size(&next));
        assert!(again <= finished / 1000 * READ_AGAIN_MAX, "{again} of {finished} bytes were read again");
        eprintln!("stopped after {finished} of {} bytes, {again} read again", size(&next));
    }
    stage.verify(kopia.as_ref());
    check_restored(stage, &next, number);
    std::fs::remove_dir_all(repository).unwrap();
}

/// A folder of somebody else's may change meanwhile, and be big.
fn check_restored(stage: &Stage, snapshot: &Value, number: u64) {
    if stage.source.starts_with(stage.base.path()) {
        let target: &Path = &stage.base.path().join(format!("restored{number}"));
        stage.ours.restore(snapshot, target);
        assert_eq!(differences(&stage.source, target, Times::Exact), Vec::<String>::new());
    }
}

#[test]
fn nothing_is_lost_whenever_a_run_ends() {
    let wanted =
        named("PACKHORSE_TEST_INTERRUPTIONS").map(|number| number.to_str().unwrap().parse().unwrap());
    let mut dice = Dice::new(51);
    let stage = Stage::new(&mut dice);
    for number in 0..wanted.unwrap_or(INTERRUPTIONS) {
        interrupt(&stage, number, &mut dice);
    }
}
