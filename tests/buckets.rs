//! Repositories in buckets, through the program: made, filled, verified, restored, shared with Kopia; and every way in which
//! a server or the line to it can fail.

mod failures;
mod tls;
mod versions;

use crate::support::programs::{IDENTITY, Program};
use crate::support::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};
use crate::support::trees::{self, Dice, Times, differences};
use std::path::Path;

fn with<'a>(verb: &'a str, flags: &'a [String], more: &'a [&'a str]) -> Vec<&'a str> {
    let mut all = vec!["repository", verb];
    all.extend(flags.iter().map(String::as_str));
    all.extend(IDENTITY);
    all.extend(more);
    all
}

#[track_caller]
fn assert_equal(left: &Path, right: &Path, times: Times) {
    let found = differences(left, right, times);
    assert!(found.is_empty(), "{} differences, such as {}", found.len(), found[0]);
}

#[test]
fn a_repository_in_a_bucket_is_made_filled_and_read() {
    let server = S3Server::start();
    let bucket = server.new_bucket();
    let mut flags = server.flags(&bucket);
    flags.push("--prefix=backups/one/".to_owned());
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    trees::make(&source, &mut Dice::new(7));
    let ours = Program::packhorse();
    ours.ok(with("create", &flags, &[]));
    let snapshot = ours.snapshot(&source);
    ours.verify();
    let target = base.path().join("restored");
    ours.restore(&snapshot, &target);
    assert_equal(&source, &target, Times::Exact);
    assert!(server.path_of(&bucket).join("backups/one/kopia.repository").is_file());
    assert!(!server.path_of(&bucket).join("kopia.repository").exists());

    let status = ours.ok(["repository", "status"]);
    assert!(status.contains("Storage type:        s3") && status.contains("unbounded"), "{status}");
    assert!(
        status.contains(&format!("Description:         Repository in S3: {} {bucket}", server.endpoint()))
    );
    assert!(status.contains(&"*".repeat(SECRET_KEY.len())) && status.contains(ACCESS_KEY), "{status}");
    for shown in [status, ours.ok(["repository", "status", "--json"])] {
        assert!(!shown.contains("HUSH"), "{shown}");
    }

    let other = Program::packhorse();
    let token = ours.ok(["repository", "status", "-t"]);
    let token = token.split_whitespace().skip_while(|word| *word != "--token").nth(1).unwrap();
    other.ok(["repository", "connect", "from-config", "--token", token]);
    assert!(other.ok(["snapshot", "list", "--all"]).contains("groom@stable"));
}

#[test]
fn a_wrong_call_says_what_is_wrong() {
    let server = S3Server::start();
    let bucket = server.new_bucket();
    let ours = Program::packhorse();
    let status_of = |args: &[&str]| {
        let output = ours.run(["repository", "connect", "s3"].iter().chain(args));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (args, part) in [
        (&["--bucket=b", "--access-key=k"][..], "given together"),
        (&["--bucket=b", "--account-id=a"], "--provider=r2"),
        (&["--bucket=b", "--provider=r2"], "--account-id"),
        (&["--bucket=b", "--root-ca-pem-base64=%"], "not base64"),
        (&["--bucket=b", "--point-in-time=yesterday"], "yesterday"),
        (&["--endpoint=h"], "--bucket"),
    ] {
        let (status, text) = status_of(args);
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains(part), "{text}");
    }
    let place = [
        format!("--endpoint={}", server.endpoint()),
        format!("--access-key={ACCESS_KEY}"),
        "--disable-tls".to_owned(),
    ];
    let call = |more: &[&str]| {
        let args: Vec<_> = place.iter().map(String::as_str).chain(more.iter().copied()).collect();
        status_of(&args)
    };
    let right = format!("--secret-access-key={SECRET_KEY}");
    let bucket = format!("--bucket={bucket}");
    let (status, text) = call(&[&right, "--bucket=nowhere"]);
    assert!(status == Some(10) && text.contains("there is no bucket nowhere"), "{text}");
    let (status, text) = call(&[&right, &bucket]);
    assert!(status == Some(10), "no repository in it: {text}");
    let (status, text) = call(&["--secret-access-key=HUSH", &bucket]);
    assert!(status == Some(1) && text.contains("--secret-access-key"), "{text}");
    assert!(!text.contains("HUSH"));
}

#[test]
fn kopia_and_ours_take_turns_in_a_bucket() {
    let Some(kopia) = Program::kopia() else { return };
    let server = S3Server::start();
    let bucket = server.new_bucket();
    let flags = server.flags(&bucket);
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    let ours = Program::packhorse().plain();
    trees::make(&source, &mut Dice::new(8));
    kopia.ok(with("create", &flags, &[]));
    ours.ok(with("connect", &flags, &[]));
    let first = kopia.snapshot(&source);
    ours.verify();
    let second = ours.snapshot(&source);
    assert_eq!(first["rootEntry"]["obj"], second["rootEntry"]["obj"]);
    trees::make(&source.join("more"), &mut Dice::new(9));
    let third = ours.snapshot(&source);
    kopia.verify();
    kopia.ok(["content", "verify", "--full"]);
    let target = base.path().join("by-kopia");
    kopia.restore(&third, &target);
    assert_equal(&source, &target, Times::Kopia);
    let fourth = kopia.snapshot(&source);
    assert_eq!(third["rootEntry"]["obj"], fourth["rootEntry"]["obj"]);
    let target = base.path().join("by-ours");
    ours.restore(&fourth, &target);
    assert_equal(&source, &target, Times::Exact);
}

/// Kopia's own proof that a store is good enough, on a server that ours works with.
#[test]
fn the_server_of_these_tests_satisfies_kopia() {
    let Some(kopia) = Program::kopia() else { return };
    let server = S3Server::start();
    let flags = server.flags(&server.new_bucket());
    kopia.ok(with("create", &flags, &[]));
    kopia.ok([
        "repository",
        "validate-provider",
        "--num-storage-connections=2",
        "--concurrency-test-duration=3s",
        "--put-blob-workers=2",
        "--get-blob-workers=2",
        "--get-metadata-workers=2",
    ]);
}

/// The connection file of either program opens the repository in the other.
#[test]
fn connection_files_are_each_other_s() {
    let Some(kopia) = Program::kopia() else { return };
    let server = S3Server::start();
    let bucket = server.new_bucket();
    let mut flags = server.flags(&bucket);
    flags.push("--region=eu-west-1".to_owned());
    flags.push("--max-upload-speed=1000000000".to_owned());
    kopia.ok(with("create", &flags, &[]));
    let ours = Program::packhorse();
    std::fs::copy(kopia.config(), ours.config()).unwrap();
    ours.ok(["repository", "status"]);
    ours.ok(with("connect", &flags, &[]));
    let storage = |program: &Program| {
        let text = std::fs::read_to_string(program.config()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["storage"].clone()
    };
    assert_eq!(storage(&kopia), storage(&ours));
    std::fs::copy(ours.config(), kopia.config()).unwrap();
    kopia.ok(["snapshot", "list", "--all"]);
    let shown = |program: &Program| {
        let text = program.ok(["repository", "status", "--json"]);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["storage"].clone()
    };
    assert_eq!(shown(&kopia), shown(&ours));
}
