//! A run that is killed at any moment loses nothing that was committed, and what it uploaded is used by the next.

use crate::support::programs::Program;
use crate::support::trees::{self, Dice, Times, differences};
use packhorse::base::Stopwatch;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const KILLS: u64 = 20;

fn pack_bytes(repository: &Path) -> u64 {
    let files = walkdir::WalkDir::new(repository.join("p")).into_iter().filter_map(Result::ok);
    let packs = files.filter(|file| file.path().extension().is_some_and(|suffix| suffix == "f"));
    packs
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

#[test]
fn a_first_backup_killed_at_twenty_moments_is_finished_by_the_next() {
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = (base.path().join("repository"), base.path().join("source"));
    let ours = Program::packhorse();
    let mut dice = Dice::new(11);
    trees::make(&source, &mut dice);
    for number in 0..8 {
        trees::write(&source.join(format!("bulk{number}")), &dice.bytes(12 << 20));
    }
    ours.create(&repository, &[]);
    // A run that is not disturbed says how long one takes.
    let scratch = base.path().join("scratch");
    let watch = Program::packhorse();
    watch.create(&scratch, &[]);
    let stopwatch = Stopwatch::start();
    watch.snapshot(&source);
    let whole = stopwatch.elapsed();
    let clean_bytes = pack_bytes(&scratch);

    for _ in 0..KILLS {
        let mut run = ours
            .command(["snapshot", "create", &source.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(whole.as_micros() as u64 + 1)));
        run.kill().unwrap();
        run.wait().unwrap();
        ours.verify();
    }
    let snapshot = ours.snapshot(&source);
    ours.verify();
    let target = base.path().join("restored");
    ours.restore(&snapshot, &target);
    assert_eq!(differences(&source, &target, Times::Exact), Vec::<String>::new());
    // Each kill may lose what was in memory: at most the pack being filled and those on their way, never what is stored.
    let limit = clean_bytes + clean_bytes / 2;
    let stored = pack_bytes(&repository);
    assert!(stored <= limit, "{stored} bytes of packs where an undisturbed run needs {clean_bytes}");
    if let Some(kopia) = Program::kopia() {
        kopia.connect(&repository);
        kopia.verify();
        kopia.ok(["content", "verify"]);
    }
}

/// A small file system of its own, gone with the test.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let this = Self(at.to_owned());
        this.run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).then_some(this)
    }

    fn grow(&self, megabytes: u32) {
        assert!(self.run("mount", &["-o", &format!("remount,size={megabytes}m")]));
    }

    fn run(&self, program: &str, args: &[&str]) -> bool {
        let status =
            std::process::Command::new(program).args(args).arg(&self.0).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        self.run("umount", &[]);
    }
}

#[test]
fn a_full_disk_fails_the_run_and_harms_nothing() {
    let base = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(&base.path().join("disk"), 48) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let (repository, source) = (disk.0.join("repository"), base.path().join("source"));
    let ours = Program::packhorse();
    let mut dice = Dice::new(13);
    std::fs::create_dir(&source).unwrap();
    trees::write(&source.join("first"), &dice.bytes(1 << 20));
    ours.create(&repository, &[]);
    let before = ours.snapshot(&source);
    for number in 0..6 {
        trees::write(&source.join(format!("bulk{number}")), &dice.bytes(12 << 20));
    }
    let output = ours.run(["snapshot", "create", &source.display().to_string()]);
    let said = crate::support::programs::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    let leftovers = walkdir::WalkDir::new(&repository).into_iter().filter_map(Result::ok);
    let leftovers: Vec<_> =
        leftovers.filter(|file| file.path().to_string_lossy().contains(".tmp.")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    ours.verify();
    ours.restore(&before, &base.path().join("before"));

    disk.grow(256);
    let after = ours.snapshot(&source);
    ours.verify();
    let target = base.path().join("after");
    ours.restore(&after, &target);
    assert_eq!(differences(&source, &target, Times::Exact), Vec::<String>::new());
}
