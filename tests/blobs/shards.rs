//! `blob shards modify`: the same blobs in other folders.

use super::{files, stage};
use crate::support::programs::{Program, text};
use packhorse::blob::{Error, LayoutChange, Reshard};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::AtomicBool;

const SURE: &str = "--i-am-sure-kopia-is-not-running";

fn modify(program: &Program, repository: &Path, more: &[&str]) -> Output {
    let path = format!("--path={}", repository.display());
    program.run(["blob", "shards", "modify", &path].iter().chain(more))
}

#[test]
fn every_layout_is_readable_afterwards() {
    let ours = Program::packhorse();
    let (_base, repository) = stage(&ours);
    let before = files(&repository);
    let kopia = Program::kopia();
    for (change, folder) in [
        (&["--default-shards=flat"][..], None),
        (&["--default-shards=2,2", "--override=p=3", "--override=q=flat"], Some("xn")),
        (&["--remove-override=p", "--unsharded-length=0"], Some("ko")),
        (&["--default-shards=1,3", "--unsharded-length=20", "--remove-override=q"], Some("x")),
    ] {
        let output = modify(&ours, &repository, &[&[SURE][..], change].concat());
        assert!(output.status.success(), "{change:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("mv "), "{change:?}");
        assert!(folder.is_none_or(|folder| repository.join(folder).is_dir()), "{change:?}");
        ours.verify();
        if let Some(kopia) = &kopia {
            kopia.connect(&repository);
            kopia.verify();
            // Its logs are not those of before.
            kopia.ok(["logs", "cleanup", "--max-count=1", "--max-age=1ns"]);
        }
    }
    let theirs =
        |path: &&std::path::PathBuf| path.starts_with("_") || path.to_string_lossy().starts_with("kopia.m");
    let after = files(&repository);
    let kept: Vec<_> = after.iter().filter(|path| !theirs(path) && before.contains(path)).collect();
    assert_eq!(kept, before.iter().filter(|path| !theirs(path)).collect::<Vec<_>>());
}

#[test]
fn a_dry_run_says_what_kopia_says_and_nothing_happens_without_the_flag() {
    let ours = Program::packhorse();
    let (_base, repository) = stage(&ours);
    let before = files(&repository);
    assert_eq!(modify(&ours, &repository, &["--default-shards=2"]).status.code(), Some(2));
    let nonsense = modify(&ours, &repository, &[SURE, "--default-shards=x"]);
    assert_eq!(nonsense.status.code(), Some(2), "{}", text(&nonsense.stderr));
    let args = [SURE, "--default-shards=2", "--dry-run"];
    let said = modify(&ours, &repository, &args);
    assert!(said.status.success() && text(&said.stderr).contains("Would move "));
    assert_eq!(files(&repository), before);
    if let Some(kopia) = Program::kopia() {
        let sorted = |output: &Output| {
            let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&said), sorted(&modify(&kopia, &repository, &args)));
    }
}

#[test]
fn an_interrupted_move_closes_the_store_and_is_completed_by_the_next() {
    let ours = Program::packhorse();
    let (_base, repository) = stage(&ours);
    let change = LayoutChange { default: Some(vec![2]), ..LayoutChange::default() };
    let plan = Reshard::plan(&repository, &change).unwrap();
    let (from, to) = plan.moves()[0].clone();
    // Stopped before the first blob; one moves as if that had happened before.
    let stopped = plan.run(&AtomicBool::new(true), &mut |_| {});
    assert!(matches!(stopped, Err(Error::Canceled)));
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(&from, &to).unwrap();
    let refused = ours.run(["snapshot", "list"]);
    assert!(!refused.status.success(), "half-way nobody may use the store");
    if let Some(kopia) = Program::kopia() {
        let path = format!("--path={}", repository.display());
        assert!(!kopia.run(["repository", "connect", "filesystem", &path]).status.success());
    }
    // No flag is needed: the layout to come is known.
    let output = modify(&ours, &repository, &[SURE]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    ours.verify();
    assert!(Reshard::plan(&repository, &LayoutChange::default()).unwrap().moves().is_empty());
    assert!(!repository.join(".shards.resharding").exists());
    // A file in the way is never overwritten.
    let back = Reshard::plan(&repository, &LayoutChange { default: Some(Vec::new()), ..change }).unwrap();
    let (from, to) = back.moves()[0].clone();
    std::fs::copy(&from, &to).unwrap();
    assert!(back.run(&AtomicBool::new(false), &mut |_| {}).is_err());
    std::fs::remove_file(&to).unwrap();
    assert!(modify(&ours, &repository, &[SURE]).status.success());
    ours.verify();
}
