//! The commands on blobs: what they print is what Kopia prints, and what they delete nobody needs.

mod collection;
mod provider;
mod shards;

use crate::support::programs::{Program, text};
use crate::support::trees::{self, Dice};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a repository and a source in it.
fn stage(writer: &Program) -> (TempDir, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = (base.path().join("repository"), base.path().join("source"));
    trees::make(&source, &mut Dice::new(81));
    writer.create(&repository, &[]);
    writer.snapshot(&source);
    (base, repository)
}

fn names(program: &Program, more: &[&str]) -> Vec<String> {
    let listed = program.ok(["blob", "list"].iter().chain(more));
    listed.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn lists_and_statistics_are_kopias_to_the_byte() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let (_base, repository) = stage(&kopia);
    ours.connect(&repository);
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
        lines.sort();
        lines
    };
    // Each run of Kopia's may write a log, so ours looks right after a run that writes none.
    for args in [
        &["blob", "list", "--json", "--exclude-prefix=_"][..],
        &["blob", "list", "--prefix=p"],
        &["blob", "list", "--data-only", "--exclude-prefix=s"],
        &["blob", "list", "--min-size=2000", "--max-size=1000000", "--exclude-prefix=_"],
        &["blob", "ls", "--prefix=zz", "--json"],
        &["blob", "stats", "--prefix=p"],
        &["blob", "stats", "--raw", "--prefix=x"],
        &["blob", "stats", "--prefix=zz"],
        &["blob", "show", "kopia.repository"],
    ] {
        assert_eq!(sorted(ours.ok(args)), sorted(kopia.ok(args)), "{args:?}");
    }
    let json = ["blob", "list", "--json", "--prefix=kopia."];
    assert_eq!(ours.ok(json), kopia.ok(json));
    let missing = ours.run(["blob", "show", "nosuch"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("error presenting blob"));
}

#[test]
fn index_blobs_are_decrypted_as_kopia_decrypts_them() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = (base.path().join("repository"), base.path().join("source"));
    trees::make(&source, &mut Dice::new(82));
    // Without epochs index blobs begin with `n`, and compaction logs with `m`.
    kopia.create(&repository, &["--format-version=1"]);
    for _ in 0..3 {
        kopia.snapshot(&source);
    }
    kopia.ok(["index", "optimize", "--all"]);
    ours.connect(&repository);
    let blobs: Vec<_> =
        ["--prefix=n", "--prefix=m"].iter().flat_map(|prefix| names(&ours, &[prefix])).collect();
    assert!(blobs.iter().any(|name| name.starts_with('m')), "{blobs:?}");
    for name in blobs {
        let shown = |program: &Program| program.run(["blob", "show", "--decrypt", &name]).stdout;
        assert_eq!(shown(&ours), shown(&kopia), "{name}");
    }
}

fn without_permission(program: &Program, args: &[&str]) -> std::process::Output {
    program.command(args).env_remove("KOPIA_DANGEROUS_COMMANDS").output().unwrap()
}

#[test]
fn dangerous_commands_want_to_be_allowed() {
    let ours = Program::packhorse();
    let (_base, repository) = stage(&ours);
    std::fs::copy(repository.join("kopia.repository.f"), repository.join("zextra.f")).unwrap();
    for args in [&["blob", "delete", "zextra"][..], &["blob", "gc", "--delete=yes"]] {
        let refused = without_permission(&ours, args);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("dangerous"), "{}", text(&refused.stderr));
    }
    assert_eq!(names(&ours, &["--prefix=zextra"]).len(), 1);
    let wrong = without_permission(&ours, &["blob", "rm", "zextra", "--dangerous-commands=yes"]);
    assert_eq!(wrong.status.code(), Some(1));
    let done = without_permission(&ours, &["blob", "rm", "zextra", "nosuch", "--dangerous-commands=enabled"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(names(&ours, &["--prefix=zextra"]).len(), 0);
}

/// The files of a repository, as paths below it.
fn files(repository: &Path) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(repository).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = all.filter(|entry| entry.file_type().is_file());
    files.map(|entry| entry.path().strip_prefix(repository).unwrap().to_owned()).collect()
}
