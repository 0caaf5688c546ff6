//! What is secret shows nowhere: not in what commands print, log or keep, whether they succeed or fail.

use crate::support::programs::Program;
use crate::support::s3_server::{S3Server, SECRET_KEY};
use crate::support::trees::{self, Dice};
use std::path::Path;

const PASSWORD: &str = "HUSH repository password HUSH";
const TOKEN: &str = "HUSH-session-token-HUSH";
const NEW_PASSWORD: &str = "HUSH another password HUSH";

/// Runs a command as loudly as it can and looks at every word of it.
fn run(ours: &Program, what: &[&str]) -> bool {
    let mut command = ours.command(what.iter().chain(&["--log-level=debug", "--progress-json"]));
    let output = command.env("KOPIA_NEW_PASSWORD", NEW_PASSWORD).env("RUST_LOG", "trace").output().unwrap();
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        holds_none(&format!("{stream} of {what:?}"), bytes);
    }
    output.status.success()
}

fn holds_none(place: &str, bytes: &[u8]) {
    for secret in [PASSWORD, NEW_PASSWORD, SECRET_KEY, TOKEN] {
        let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_there, "{secret:?} is in {place}");
    }
}

/// Every file below a folder but those whose purpose is to hold secrets.
fn files_hold_none(folder: &Path, but: &[&str]) {
    for file in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok) {
        let name = file.file_name().to_string_lossy();
        if file.file_type().is_file() && !but.iter().any(|meant| name == *meant) {
            holds_none(&file.path().display().to_string(), &std::fs::read(file.path()).unwrap());
        }
    }
}

#[test]
fn no_secret_leaves_its_place() {
    let server = S3Server::start();
    let bucket = server.new_bucket();
    let base = tempfile::tempdir().unwrap();
    let (home, source) = (base.path().join("home"), base.path().join("source"));
    std::fs::create_dir(&home).unwrap();
    trees::make(&source, &mut Dice::new(3));
    let ours = Program::in_home(Path::new(env!("CARGO_BIN_EXE_packhorse")), &home).with_password(PASSWORD);
    let endpoint = format!("--endpoint={}", server.endpoint());
    let on = |bucket: &str, verb: &str, secret: &str| -> Vec<String> {
        let bucket = format!("--bucket={bucket}");
        let secret = format!("--secret-access-key={secret}");
        let key = format!("--access-key={}", crate::support::s3_server::ACCESS_KEY);
        [
            "repository",
            verb,
            "s3",
            &bucket,
            &endpoint,
            &key,
            &secret,
            "--disable-tls",
            "--no-persist-credentials",
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let run_on = |args: Vec<String>| run(&ours, &args.iter().map(String::as_str).collect::<Vec<_>>());
    let text = |path: &Path| path.display().to_string();

    assert!(run_on(on(&bucket, "create", SECRET_KEY)));
    for what in [
        &["snapshot", "create", &text(&source)][..],
        &["snapshot", "list", "--json"],
        &["repository", "status"],
        &["repository", "status", "--json"],
        &["snapshot", "verify", "--verify-files-percent=100"],
        &["blob", "list"],
        &["repository", "change-password"],
    ] {
        assert!(run(&ours, what), "{what:?}");
    }
    // The password is another one now, the bucket is missing, the key is wrong, the token is nobody's.
    assert!(!run(&ours, &["snapshot", "list"]));
    assert!(!run_on(on("no-such-bucket", "connect", SECRET_KEY)));
    assert!(!run_on(on(&bucket, "connect", TOKEN)));
    let mut with_token = on(&bucket, "connect", SECRET_KEY);
    with_token.push(format!("--session-token={TOKEN}"));
    run_on(with_token);
    let ours = ours.with_password(NEW_PASSWORD);
    assert!(!run(&ours, &["restore", "knowsnothing", &text(&base.path().join("target"))]));

    files_hold_none(&home, &["repository.config"]);
    files_hold_none(&server.path_of(&bucket), &[]);
}
