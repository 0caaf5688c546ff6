//! Entries that say which file they stood for, between both programs.

use super::{assert_equal, paths};
use crate::support::live_tree::write;
use crate::support::programs::Program;
use crate::support::trees::{self, Dice, Times};
use serde_json::Value;
use std::path::Path;

/// Makes a snapshot; its document, with how many files were read.
fn snapshot(program: &Program, source: &Path) -> (Value, u64) {
    let source = source.display().to_string();
    let json = program.ok(["snapshot", "create", "--json", "--json-verbose", &source]);
    let made: Value = serde_json::from_str(&json).unwrap();
    let read = made["stats"]["nonCachedFiles"].as_u64().unwrap();
    (made, read)
}

fn directory(program: &Program, snapshot: &Value) -> String {
    program.ok(["show", snapshot["rootEntry"]["obj"].as_str().unwrap()])
}

fn list(program: &Program) -> Vec<Value> {
    serde_json::from_str(&program.ok(["snapshot", "list", "--json"])).unwrap()
}

/// Files at the top, so that the root's document tells.
fn tree(source: &Path, seed: u64) {
    trees::make(source, &mut Dice::new(seed));
    write(&source.join("one"), b"one");
    write(&source.join("drop.tmp"), b"temporary");
    // Until nothing is so new that it might change without another time.
    std::thread::sleep(std::time::Duration::from_millis(60));
}

#[test]
fn kopia_reads_them_and_goes_on_from_them() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = paths(base.path());
    tree(&source, 31);
    ours.create(&repository, &[]);
    let (first, _) = snapshot(&ours, &source);
    assert!(directory(&ours, &first).contains(r#""ph":{"t":"#));
    kopia.connect(&repository);
    kopia.verify();
    kopia.ok(["content", "verify", "--full"]);
    let target = base.path().join("restored");
    kopia.restore(&first, &target);
    assert_equal(&source, &target, Times::Kopia);
    let (theirs, read) = snapshot(&kopia, &source);
    assert_eq!(read, 0, "Kopia finds every file unchanged");
    assert!(!directory(&kopia, &theirs).contains(r#""ph""#));
    let (again, read) = snapshot(&ours, &source);
    assert_eq!((read, &again["rootEntry"]["obj"]), (0, &first["rootEntry"]["obj"]));
    let with_flag =
        ours.ok(["snapshot", "create", "--json", "--plain-entries", &source.display().to_string()]);
    let plain: Value = serde_json::from_str(&with_flag).unwrap();
    assert_eq!(
        plain["rootEntry"]["obj"], theirs["rootEntry"]["obj"],
        "with the flag it is Kopia's, to the byte"
    );
    kopia.verify();
    ours.verify();
}

#[test]
fn what_kopia_rewrites_loses_them_and_is_taken_over_by_its_rule() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = paths(base.path());
    tree(&source, 32);
    ours.create(&repository, &[]);
    let (first, _) = snapshot(&ours, &source);
    kopia.connect(&repository);
    kopia.ok(["snapshot", "fix", "remove-files", "--filename=drop.tmp", "--commit"]);
    let fixed = list(&kopia).pop().unwrap();
    assert_ne!(fixed["rootEntry"]["obj"], first["rootEntry"]["obj"]);
    assert!(!directory(&kopia, &fixed).contains(r#""ph""#));
    std::fs::remove_file(source.join("drop.tmp")).unwrap();
    let (second, read) = snapshot(&ours, &source);
    assert_eq!(read, 0);
    assert!(directory(&ours, &second).contains(r#""ph":{"t":"#));
    // What we rewrite keeps them, and Kopia still reads it.
    ours.ok(["snapshot", "fix", "remove-files", "--filename=one", "--commit"]);
    let fixed = list(&ours).pop().unwrap();
    assert!(!directory(&ours, &fixed).contains(r#""one""#));
    kopia.verify();
    let target = base.path().join("restored");
    kopia.restore(&fixed, &target);
    std::fs::remove_file(source.join("one")).unwrap();
    // Kopia gives directories the newest time inside.
    assert_equal(&source, &target, Times::Kopia);
    let (third, read) = snapshot(&ours, &source);
    assert_eq!(read, 0);
    ours.verify();
    kopia.verify();
    assert_eq!(snapshot(&ours, &source).0["rootEntry"]["obj"], third["rootEntry"]["obj"]);
}
