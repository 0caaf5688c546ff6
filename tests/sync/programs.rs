//! The command, and Kopia beside it.

use crate::support::programs::{PASSWORD, Program, text};
use crate::support::trees::{self, Dice, Times, differences};
use packhorse::base::Stopwatch;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const KILLS: u64 = 20;

struct Stage {
    base: TempDir,
    ours: Program,
    snapshot: serde_json::Value,
}

impl Stage {
    /// A repository with a snapshot of some megabytes, made by one of the programs and connected to by ours.
    fn new(writer: &Program, flags: &[&str]) -> Self {
        let (base, ours) = (tempfile::tempdir().unwrap(), Program::packhorse());
        let source = base.path().join("source");
        let mut dice = Dice::new(71);
        trees::make(&source, &mut dice);
        trees::write(&source.join("bulk"), &dice.bytes(50 << 20));
        writer.create(&base.path().join("repository"), flags);
        let snapshot = writer.snapshot(&source);
        ours.connect(&base.path().join("repository"));
        Self { base, ours, snapshot }
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.base.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn sync(&self, to: &Path, more: &[&str]) -> Command {
        let path = format!("--path={}", to.display());
        self.ours.command(["repository", "sync-to", "filesystem", &path].iter().chain(more))
    }

    /// Runs to the end; what it said.
    #[track_caller]
    fn synced(&self, to: &Path, more: &[&str]) -> String {
        let output = self.sync(to, more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    }

    /// The copy must give back the source.
    fn check(&self, copy: &Path, reader: &Program) {
        reader.connect(copy);
        reader.verify();
        let target = tempfile::tempdir().unwrap();
        let target = target.path().join("restored");
        reader.restore(&self.snapshot, &target);
        assert_eq!(
            differences(&self.base.path().join("source"), &target, Times::Kopia),
            Vec::<String>::new()
        );
    }
}

#[test]
fn a_copy_killed_at_twenty_moments_is_completed_by_the_next() {
    let stage = Stage::new(&Program::packhorse(), &[]);
    let watch = Stopwatch::start();
    stage.synced(&stage.path("undisturbed"), &[]);
    let whole = watch.elapsed();
    let mut dice = Dice::new(72);
    let mut openable = 0;
    for number in 0..KILLS {
        let copy = stage.path(&format!("copy{number}"));
        let mut child = stage.sync(&copy, &[]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(whole.as_micros() as u64 + 1)));
        child.kill().unwrap();
        child.wait().unwrap();
        if copy.join("kopia.repository.f").exists() {
            openable += 1;
            stage.check(&copy, &Program::packhorse());
        }
        stage.synced(&copy, &[]);
        let said = stage.synced(&copy, &["--dry-run"]);
        assert!(said.contains(", 0 BLOBs (0 B) to copy"), "{said}");
        if number % 5 == 0 {
            stage.check(&copy, &Program::packhorse());
        }
        std::fs::remove_dir_all(copy).unwrap();
    }
    eprintln!("{openable} of {KILLS} killed copies could be opened as they were");
}

#[test]
fn a_signal_ends_it_soon_and_what_is_copied_stays() {
    let stage = Stage::new(&Program::packhorse(), &[]);
    let copy = stage.path("copy");
    let mut child = stage.sync(&copy, &["--parallel=1"]).stderr(Stdio::piped()).spawn().unwrap();
    // As soon as a pack is there.
    let packs = || walkdir::WalkDir::new(&copy).into_iter().filter_map(Result::ok).count() > 4;
    while !packs() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let watch = Stopwatch::start();
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(watch.elapsed() < Duration::from_secs(8));
    assert!(matches!(output.status.code(), Some(0 | 143)), "{}", text(&output.stderr));
    stage.synced(&copy, &[]);
    stage.check(&copy, &Program::packhorse());
}

#[test]
fn kopia_opens_the_copy_and_ours_copies_over_kopias() {
    let Some(kopia) = Program::kopia() else { return };
    let stage = Stage::new(&kopia, &[]);
    let (first, second) = (stage.path("first"), stage.path("second"));
    stage.synced(&first, &["--times"]);
    stage.check(&first, &Program::kopia().unwrap());
    // Kopia begins a copy, ours brings it up to date, and Kopia finds nothing left to do.
    let path = format!("--path={}", second.display());
    kopia.ok(["repository", "sync-to", "filesystem", &path]);
    kopia.snapshot(&stage.base.path().join("source"));
    stage.synced(&second, &[]);
    let output = kopia.run(["repository", "sync-to", "filesystem", &path, "--dry-run"]);
    assert!(text(&output.stderr).contains("0 to delete") || output.status.success());
    let reader = Program::kopia().unwrap();
    stage.check(&second, &reader);
    let list = reader.ok(["snapshot", "list", "--all", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&list).unwrap().len(), 2);
}

#[test]
fn layouts_may_differ_and_flags_are_obeyed() {
    let stage = Stage::new(&Program::packhorse(), &["--flat"]);
    let copy = stage.path("copy");
    let said = stage.synced(&copy, &["--dry-run"]);
    assert!(said.contains("to copy") && std::fs::read_dir(&copy).unwrap().next().is_none(), "{said}");
    let output = stage.sync(&copy, &["--must-exist"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let output = stage.sync(&copy.join("missing"), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    let output = stage.sync(&copy, &[]).env("KOPIA_PASSWORD", format!("not {PASSWORD}")).output().unwrap();
    assert_eq!(output.status.code(), Some(12), "{}", text(&output.stderr));
    let said = stage.synced(&copy, &["--parallel=2"]);
    assert!(said.contains("Copied ") && said.contains("NOTE: By default no BLOBs are deleted"), "{said}");
    assert!(copy.join("p").is_dir(), "sharded as a new repository");
    assert!(!stage.base.path().join("repository/p").exists(), "flat as the source");
    stage.check(&copy, &Program::packhorse());
    let extra = copy.join("zextra.f");
    trees::write(&extra, b"left behind");
    stage.synced(&copy, &[]);
    assert!(extra.exists());
    let said = stage.synced(&copy, &["--delete"]);
    assert!(!extra.exists() && said.contains("Deleted 1 blobs"), "{said}");
    // Another repository is not copied over.
    let other = Program::packhorse();
    other.create(&stage.base.path().join("other"), &[]);
    let output = stage.sync(&stage.base.path().join("other"), &["--delete"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("incompatible data"));
    other.ok(["snapshot", "list"]);
}
