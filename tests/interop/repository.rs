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
            // Kopia's copy of the format blob is valid for 15 minutes; a new connection drops it.
            program.run(["repository", "disconnect"]);
            assert!(!connects(program, &repository, crate::support::programs::PASSWORD));
            assert!(connects(program, &repository, NEW));
        }
        assert!(with_password(other, NEW, &["snapshot", "verify", "--verify-files-percent=100"]));
        assert!(with_password(changer, NEW, &["snapshot", "list"]));
    }
}
