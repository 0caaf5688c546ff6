//! `repository validate-provider`.

use super::{files, stage};
use crate::support::programs::{Program, text};
use crate::support::trees;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;

const QUICK: &str = "--concurrency-test-duration=500ms";

#[test]
fn a_folder_passes_and_is_left_as_it_was() {
    let ours = Program::packhorse();
    let (_base, repository) = stage(&ours);
    let before = files(&repository);
    let output = ours.run(["repository", "validate-provider", QUICK, "--num-storage-connections=3"]);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("All good."), "{said}");
    assert!(said.contains("Validating atomic replacement: ok") && !said.contains("FAILED"), "{said}");
    assert_eq!(files(&repository), before);
    let checks: Vec<Value> =
        serde_json::from_str(&ours.ok(["repository", "validate-provider", QUICK, "--json"])).unwrap();
    assert!(checks.len() > 15 && checks.iter().all(|check| check["passed"] == true), "{checks:?}");
}

#[test]
fn a_folder_that_cannot_be_written_fails_with_status_1() {
    let ours = Program::packhorse();
    let (_base, repository) = stage(&ours);
    // A file where the folder of the test's blobs must be, whoever runs this.
    trees::write(&repository.join("z"), b"");
    let output = ours.run(["repository", "validate-provider", QUICK, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(checks.iter().any(|check| check["passed"] == false));
    let skipped = ours
        .command(["repository", "validate-provider", QUICK])
        .env("KOPIA_SKIP_PROVIDER_VALIDATION", "1")
        .output()
        .unwrap();
    assert!(skipped.status.success(), "{}", text(&skipped.stderr));
}

#[test]
fn a_signal_cleans_up() {
    let ours = Program::packhorse();
    let (_base, repository) = stage(&ours);
    let before = files(&repository);
    let child = ours
        .command(["repository", "validate-provider", "--concurrency-test-duration=60s"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert_eq!(files(&repository), before);
}
