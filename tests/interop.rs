//! Real Kopia and this program on the same repositories. Runs where `PACKHORSE_TEST_KOPIA` names a kopia executable.

mod identity;
mod metadata;
mod repository;
mod shallow;

use crate::support::programs::Program;
use crate::support::trees::{self, Dice, Times, differences};
use std::path::Path;

#[track_caller]
fn assert_equal(left: &Path, right: &Path, times: Times) {
    let found = differences(left, right, times);
    assert!(
        found.is_empty(),
        "{} differences, such as\n{}",
        found.len(),
        found[..found.len().min(10)].join("\n")
    );
}

fn paths(base: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    (base.join("repository"), base.join("source"))
}

#[test]
fn ours_creates_and_kopia_agrees() {
    for (number, flags) in [
        &[][..],
        &["--format-version=1"],
        &["--format-version=2", "--block-hash=BLAKE3-256", "--encryption=CHACHA20-POLY1305-HMAC-SHA256"],
        &["--object-splitter=DYNAMIC-128K-BUZHASH", "--block-hash=HMAC-SHA256-128"],
        &["--object-splitter=FIXED-1M", "--block-hash=BLAKE3-256-128"],
    ]
    .into_iter()
    .enumerate()
    {
        // A home for each: Kopia takes one cache folder for one repository, whichever it is connected to.
        let Some(kopia) = Program::kopia() else { return };
        let base = tempfile::tempdir().unwrap();
        let (repository, source) = paths(base.path());
        let ours = Program::packhorse().plain();
        trees::make(&source, &mut Dice::new(number as u64));
        ours.create(&repository, flags);
        ours.ok(["policy", "set", "--global", "--compression=zstd-fastest"]);
        let snapshot = ours.snapshot(&source);
        kopia.connect(&repository);
        kopia.verify();
        kopia.ok(["content", "verify"]);
        let target = base.path().join("restored");
        kopia.restore(&snapshot, &target);
        assert_equal(&source, &target, Times::Kopia);
        // Nothing has changed: Kopia must find our tree to be its own, to the byte.
        let again = kopia.snapshot(&source);
        assert_eq!(again["rootEntry"]["obj"], snapshot["rootEntry"]["obj"], "{flags:?}");
    }
}

#[test]
fn kopia_creates_and_ours_agrees() {
    for (number, flags) in
        [&[][..], &["--format-version=1"], &["--object-splitter=DYNAMIC-1M-BUZHASH"]].into_iter().enumerate()
    {
        let Some(kopia) = Program::kopia() else { return };
        let base = tempfile::tempdir().unwrap();
        let (repository, source) = paths(base.path());
        let ours = Program::packhorse().plain();
        trees::make(&source, &mut Dice::new(100 + number as u64));
        kopia.create(&repository, flags);
        kopia.ok(["policy", "set", "--global", "--compression=s2-default"]);
        let snapshot = kopia.snapshot(&source);
        ours.connect(&repository);
        ours.verify();
        let target = base.path().join("restored");
        ours.restore(&snapshot, &target);
        assert_equal(&source, &target, Times::Exact);
        let again = ours.snapshot(&source);
        assert_eq!(again["rootEntry"]["obj"], snapshot["rootEntry"]["obj"], "{flags:?}");
    }
}

#[test]
fn both_alternate_on_one_repository() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = paths(base.path());
    let mut dice = Dice::new(7);
    trees::make(&source, &mut dice);
    ours.create(&repository, &[]);
    kopia.connect(&repository);
    for round in 0..10 {
        let (writer, reader) = if round % 2 == 0 { (&kopia, &ours) } else { (&ours, &kopia) };
        let times = if round % 2 == 0 { Times::Exact } else { Times::Kopia };
        let snapshot = writer.snapshot(&source);
        let target = base.path().join(format!("restored-{round}"));
        reader.restore(&snapshot, &target);
        assert_equal(&source, &target, times);
        trees::edit(&source, &mut dice);
    }
    ours.verify();
    kopia.verify();
    kopia.ok(["content", "verify"]);
    let count = |program: &Program| {
        let json = program.ok(["snapshot", "list", "--all", "--json"]);
        serde_json::from_str::<Vec<serde_json::Value>>(&json).unwrap().len()
    };
    assert_eq!((count(&ours), count(&kopia)), (10, 10));
}

#[test]
fn a_connection_made_by_either_serves_the_other() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = paths(base.path());
    trees::make(&source, &mut Dice::new(9));
    ours.create(&repository, &[]);
    let through = |user: &Program, file: &Program| {
        let output = user
            .command(["snapshot", "list", "--json"])
            .env("KOPIA_CONFIG_PATH", file.config())
            .env_remove("KOPIA_PASSWORD")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", crate::support::programs::text(&output.stderr));
    };
    through(&kopia, &ours);
    kopia.connect(&repository);
    through(&ours, &kopia);
}
