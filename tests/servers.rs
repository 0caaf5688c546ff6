//! Repositories on WebDAV and SFTP servers and in clouds, through the program, and shared with Kopia.

use crate::support::cloud_server::CloudServer;
use crate::support::dav_server::DavServer;
use crate::support::programs::{IDENTITY, Program};
use crate::support::sftp_server::SftpServer;
use crate::support::trees::{self, Dice, Times, differences};
use std::path::Path;

fn with<'a>(verb: &'a str, flags: &'a [String], more: &'a [&'a str]) -> Vec<&'a str> {
    let mut all = vec!["repository", verb];
    all.extend(flags.iter().map(String::as_str));
    all.extend(IDENTITY);
    all.extend(more);
    all
}

fn flags(all: &[&str]) -> Vec<String> {
    all.iter().map(|&flag| flag.to_owned()).collect()
}

fn dav(server: &DavServer) -> Vec<String> {
    flags(&["webdav", "--url", &server.url, "--webdav-username=u", "--webdav-password=p"])
}

fn sftp(server: &SftpServer, path: &Path) -> Vec<String> {
    flags(&[
        "sftp",
        "--host=127.0.0.1",
        &format!("--port={}", server.port),
        "--username=u",
        "--sftp-password=p",
        "--known-hosts-data",
        &server.known_hosts,
        "--path",
        path.to_str().unwrap(),
    ])
}

/// Saved, verified and restored; nothing secret is shown.
fn is_made_filled_and_read(flags: &[String], kind: &str, secret: &str) {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    trees::make(&source, &mut Dice::new(7));
    let ours = Program::packhorse();
    ours.ok(with("create", flags, &[]));
    let snapshot = ours.snapshot(&source);
    ours.verify();
    let target = base.path().join("restored");
    ours.restore(&snapshot, &target);
    let found = differences(&source, &target, Times::Exact);
    assert!(found.is_empty(), "{} differences, such as {}", found.len(), found[0]);
    let status = ours.ok(["repository", "status"]);
    assert!(status.contains(&format!("Storage type:        {kind}")), "{status}");
    assert!(
        !status.contains(&format!("\"{secret}\"")) && status.contains(&"*".repeat(secret.len())),
        "{status}"
    );
}

#[test]
fn a_repository_on_a_server_is_made_filled_and_read() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    is_made_filled_and_read(&dav(&DavServer::start(first.path())), "webdav", "p");
    is_made_filled_and_read(&sftp(&SftpServer::start(1 << 20), &second.path().join("r")), "sftp", "p");
    // Both left what a folder is.
    for folder in [first.path(), &second.path().join("r")] {
        Program::packhorse().connect(folder);
    }
}

#[test]
fn a_repository_in_a_cloud_is_made_filled_and_read() {
    let server = CloudServer::start();
    let endpoint = format!("--endpoint={}", server.url);
    let key = "SFVTSEhVU0g=";
    let azure =
        ["azure", "--container=c", "--storage-account=a", "--storage-key", key, "--prefix=one/", &endpoint];
    is_made_filled_and_read(&flags(&azure), "azureBlob", key);
}

/// Kopia makes the repository, and both add to it in turn.
fn both_take_turns(flags: &[String]) {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("source");
    trees::make(&source, &mut Dice::new(9));
    kopia.ok(with("create", flags, &[]));
    let first = kopia.snapshot(&source);
    ours.ok(with("connect", flags, &[]));
    ours.verify();
    let second = ours.snapshot(&source);
    kopia.verify();
    // Kopia restores the files of a directory after its time.
    let restored = [(&ours, &first, "ours", Times::Exact), (&kopia, &second, "kopia", Times::Kopia)];
    for (program, manifest, name, times) in restored {
        let target = base.path().join(name);
        program.restore(manifest, &target);
        let found = differences(&source, &target, times);
        assert!(found.is_empty(), "{name}: {} differences, such as {}", found.len(), found[0]);
    }
    std::fs::copy(kopia.config(), ours.config()).unwrap();
    ours.verify();
}

#[test]
fn kopia_and_ours_take_turns_on_a_webdav_server() {
    let folder = tempfile::tempdir().unwrap();
    both_take_turns(&dav(&DavServer::start(folder.path())));
}

#[test]
fn kopia_and_ours_take_turns_on_an_sftp_server() {
    let folder = tempfile::tempdir().unwrap();
    both_take_turns(&sftp(&SftpServer::start(1 << 20), &folder.path().join("r")));
}
