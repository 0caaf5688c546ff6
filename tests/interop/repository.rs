//! Changes of the format by either program, seen by the other.

use crate::support::programs::Program;
use crate::support::trees::{self, Dice};
use std::path::Path;

const NEW: &str = "another secret";

fn with_password(program: &Program, password: &str, args: &[&str]) -> bool {
    program.command(args).env("KOPIA_PASSWORD", password).output().unwrap().status.success()
}

fn connects(program: &Program, repository: &Path, password: &str) -> bool {
    let path = format!("--path={}", repository.display());
    with_password(program, password, &["repository", "connect", "filesystem", &path])
}

#[test]
fn a_password_changed_by_either_is_the_others() {
    for is_ours in [true, false] {
        let Some(kopia) = Program::kopia() else { return };
        let ours = Program::packhorse();
        let base = tempfile::tempdir().unwrap();
        let (repository, source) = super::paths(base.path());
        trees::make(&source, &mut Dice::new(21));
        ours.create(&repository, &[]);
        ours.snapshot(&source);
        kopia.connect(&repository);
        let (changer, other) = if is_ours { (&ours, &kopia) } else { (&kopia, &ours) };
        changer.ok(["repository", "change-password", "--new-password", NEW]);
        for program in [&ours, &kopia] {
            program.run(["repository", "disconnect"]);
            assert!(!connects(program, &repository, crate::support::programs::PASSWORD));
            assert!(connects(program, &repository, NEW));
        }
        assert!(with_password(other, NEW, &["snapshot", "verify", "--verify-files-percent=100"]));
        assert!(with_password(changer, NEW, &["snapshot", "list"]));
    }
}

#[test]
fn kopia_opens_what_a_killed_change_of_the_password_leaves() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, _) = super::paths(base.path());
    ours.create(&repository, &[]);
    // The blob that goes first and comes back last.
    let config = repository.join("kopia.blobcfg.f");
    std::fs::remove_file(&config).unwrap();
    assert!(connects(&kopia, &repository, crate::support::programs::PASSWORD));
    kopia.ok(["repository", "disconnect"]);
    ours.ok(["repository", "change-password", "--new-password", NEW]);
    assert!(config.exists());
    std::fs::remove_file(&config).unwrap();
    assert!(connects(&kopia, &repository, NEW));
    // Kopia's own order: the same change, asked for again, completes what it left.
    let path = |name: &str| repository.join(name);
    assert!(with_password(&kopia, NEW, &["repository", "change-password", "--new-password", "third"]));
    let before = std::fs::read(path("kopia.repository.f")).unwrap();
    assert!(with_password(&kopia, "third", &["repository", "change-password", "--new-password", "fourth"]));
    crate::cli::write(&path("kopia.repository.f"), &before);
    kopia.run(["repository", "disconnect"]);
    assert!(!connects(&kopia, &repository, "third") && !connects(&kopia, &repository, "fourth"));
    assert!(with_password(&ours, "third", &["repository", "change-password", "--new-password", "fourth"]));
    assert!(connects(&kopia, &repository, "fourth"));
}

/// Kopia's copy of the format blob is valid for 15 minutes; a new connection drops it.
fn reconnect(program: &Program, repository: &Path) {
    program.ok(["repository", "disconnect"]);
    program.connect(repository);
}

/// The format as Kopia describes it.
fn format(program: &Program) -> serde_json::Value {
    let status: serde_json::Value =
        serde_json::from_str(&program.ok(["repository", "status", "--json"])).unwrap();
    status["contentFormat"].clone()
}

#[test]
fn parameters_set_by_either_are_the_others() {
    for is_ours in [true, false] {
        let Some(kopia) = Program::kopia() else { return };
        let ours = Program::packhorse();
        let base = tempfile::tempdir().unwrap();
        let (repository, source) = super::paths(base.path());
        trees::make(&source, &mut Dice::new(22));
        ours.create(&repository, &["--format-version=1"]);
        ours.snapshot(&source);
        kopia.connect(&repository);
        let (changer, other) = if is_ours { (&ours, &kopia) } else { (&kopia, &ours) };
        changer.ok(["repository", "set-parameters", "--max-pack-size-mb=30", "--index-version=2"]);
        reconnect(other, &repository);
        assert_eq!(format(other)["maxPackSize"], 30 << 20);
        changer.ok(["repository", "set-parameters", "--upgrade", "--epoch-min-duration=12h"]);
        for program in [other, changer] {
            reconnect(program, &repository);
            assert_eq!(format(program)["epochParameters"]["MinEpochDuration"], 43_200_000_000_000_i64);
            program.verify();
            program.snapshot(&source);
        }
        assert_eq!(format(&ours), format(&kopia));
        kopia.ok(["content", "verify"]);
        kopia.ok(["maintenance", "run", "--full", "--safety=none"]);
        ours.verify();
    }
}

const ENABLED: (&str, &str) = ("KOPIA_UPGRADE_LOCK_ENABLED", "1");
const OWNER: &str = "--upgrade-owner-id=owner";
const BEGIN: [&str; 7] = [
    "repository",
    "upgrade",
    "begin",
    "--io-drain-timeout=1s",
    "--allow-unsafe-upgrade",
    "--status-poll-interval=1s",
    "--max-permitted-clock-drift=1s",
];

#[track_caller]
fn upgrade(program: &Program, args: &[&str]) {
    let output = program.command([args, &[OWNER]].concat()).env(ENABLED.0, ENABLED.1).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", crate::support::programs::text(&output.stderr));
}

/// Whether the program gets at the repository without waiting.
fn is_let_in(program: &Program) -> bool {
    let mut command = program.command(["snapshot", "list"]);
    command.env("KOPIA_REPO_UPGRADE_NO_BLOCK", "true").output().unwrap().status.success()
}

/// An upgrade that `first` begins and `second` finishes, in a repository of a format version.
fn upgrade_in_turns(version: &str, is_ours: (bool, bool)) {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse().plain();
    let of = |is_ours| if is_ours { &ours } else { &kopia };
    let (first, second) = (of(is_ours.0), of(is_ours.1));
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = super::paths(base.path());
    trees::make(&source, &mut Dice::new(23));
    ours.create(&repository, &[version]);
    let root = ours.snapshot(&source)["rootEntry"]["obj"].clone();
    let path = format!("--path={}", repository.display());
    let connect = ["repository", "connect", "filesystem", &path, "--disable-repository-format-cache"];
    kopia.ok([&connect[..], &crate::support::programs::IDENTITY].concat());

    upgrade(first, &[&BEGIN[..], &["--lock-only"]].concat());
    assert!(!is_let_in(&ours) && !is_let_in(&kopia), "{version} {is_ours:?}");
    upgrade(second, &["repository", "upgrade", "rollback", "--force"]);
    assert!(is_let_in(&ours) && is_let_in(&kopia), "{version} {is_ours:?}");
    upgrade(first, &[&BEGIN[..], &["--commit-mode=never"]].concat());
    assert!(!is_let_in(&ours) && !is_let_in(&kopia), "{version} {is_ours:?}");
    upgrade(second, &["repository", "upgrade", "validate"]);
    upgrade(second, &BEGIN);
    for program in [&kopia, &ours] {
        program.verify();
        assert_eq!(program.snapshot(&source)["rootEntry"]["obj"], root);
        assert_eq!(format(program)["version"], 3);
    }
    kopia.ok(["content", "verify"]);
    ours.verify();
}

#[test]
fn an_upgrade_by_either_keeps_all_others_out_and_can_be_finished_by_the_other() {
    for is_ours in [(true, true), (false, false), (true, false), (false, true)] {
        upgrade_in_turns("--format-version=1", is_ours);
    }
    upgrade_in_turns("--format-version=2", (true, false));
    upgrade_in_turns("--format-version=2", (false, true));
}

#[test]
fn a_token_of_either_connects_the_other() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, _) = super::paths(base.path());
    ours.create(&repository, &[]);
    kopia.connect(&repository);
    for (from, to) in [(&ours, &kopia), (&kopia, &ours)] {
        let status =
            from.ok(["repository", "status", "--reconnect-token", "--reconnect-token-with-password"]);
        let line = status.lines().find(|line| line.contains("--token")).unwrap();
        let token = line.rsplit(' ').next().unwrap();
        to.run(["repository", "disconnect"]);
        let mut connect = to.command(["repository", "connect", "from-config", "--token", token]);
        assert!(connect.env_remove("KOPIA_PASSWORD").output().unwrap().status.success());
        to.ok(["repository", "status"]);
    }
}
