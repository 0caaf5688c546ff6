//! `connect from-config`, `set-client`, and all flags of `create`.

use crate::cli::{Home, Run, finish};
use serde_json::json;
use std::process::Stdio;

/// The token that `status` prints with these flags.
fn token(home: &Home, flags: &[&str]) -> String {
    let status = home.run(&[&["repository", "status"], flags].concat()).expect(0).stdout;
    let line = status.lines().find(|line| line.contains("from-config --token")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

fn connect(home: &Home, args: &[&str], password: Option<&str>) -> Run {
    home.run_with(
        &[&["repository", "connect", "from-config"], args].concat(),
        &[("KOPIA_PASSWORD", password)],
    )
}

fn status(home: &Home) -> serde_json::Value {
    let mut status = home.run(&["repository", "status", "--json"]).expect(0).json();
    // The room that is left changes all the time.
    status.as_object_mut().unwrap().remove("volume");
    status
}

#[test]
fn a_token_or_a_connection_file_leads_to_the_same_store() {
    let home = Home::connected();
    let before = status(&home);
    let (plain, with_password) = (token(&home, &["-t"]), token(&home, &["-t", "-s"]));
    let saved = home.path("saved.config");
    std::fs::copy(home.path("config/repository.config"), &saved).unwrap();
    crate::cli::write(&home.path("token"), format!("{plain}\n").as_bytes());
    let (saved, file) = (saved.display().to_string(), home.path("token").display().to_string());
    for args in [&["--token", &plain][..], &["--token-file", &file], &["--file", &saved]] {
        home.run(&["repository", "disconnect"]).expect(0);
        connect(&home, args, Some("correct horse")).expect(0);
        assert_eq!(status(&home), before, "{args:?}");
    }
    // The password of a token outweighs the variable.
    for password in [None, Some("wrong")] {
        home.run(&["repository", "disconnect"]).expect(0);
        connect(&home, &["--token", &with_password], password).expect(0);
    }
    connect(&home, &["--token", &plain], Some("wrong")).expect(12);
    // From a pipe.
    let piped = std::fs::File::open(home.path("token")).unwrap();
    let mut command = home.packhorse(&["repository", "connect", "from-config", "--token-stdin"]);
    finish(command.stdin(Stdio::from(piped))).expect(0);
    assert_eq!(status(&home), before);
}

#[test]
fn what_is_no_token_is_refused_without_showing_it() {
    let home = Home::connected();
    for (args, code) in [
        (&["--token=c2VjcmV0"][..], 1),
        (&["--token=secret!"], 1),
        // {"version":"2","storage":{"type":"x","config":{}}}
        (&["--token=eyJ2ZXJzaW9uIjoiMiIsInN0b3JhZ2UiOnsidHlwZSI6IngiLCJjb25maWciOnt9fX0"], 1),
        (&["--token-file=/nonexistent"], 1),
        (&["--file=/nonexistent"], 1),
        (&[], 2),
    ] {
        let run = connect(&home, args, Some("correct horse")).expect(code);
        assert!(!run.stderr.contains("secret"), "{run:?}");
    }
    home.run(&["repository", "status"]).expect(0);
    home.run(&["repository", "create", "from-config", "--file=/nonexistent"]).expect(2);
}

#[test]
fn a_repository_is_created_where_a_token_leads() {
    let home = Home::connected();
    let token = token(&home, &["-t"]);
    std::fs::remove_dir_all(home.path("repo")).unwrap();
    home.run(&["repository", "create", "from-config", "--token", &token]).expect(0);
    home.run(&["repository", "status"]).expect(0);
}

#[test]
fn the_client_of_a_connection_can_be_changed() {
    let home = Home::connected();
    let set = |args: &[&str]| home.run(&[&["repository", "set-client"], args].concat());
    set(&[]).expect(1);
    set(&["--username=u2", "--hostname=h2"]).expect(0);
    set(&["--username=u2"]).expect(0);
    set(&["--description=a description", "--read-only"]).expect(0);
    set(&["--read-only"]).expect(1);
    let client = status(&home)["clientOptions"].clone();
    assert_eq!(
        client,
        json!({
            "hostname": "h2", "username": "u2", "readonly": true, "description": "a description",
            "enableActions": false, "formatBlobCacheDuration": 900_000_000_000_i64,
        })
    );
    set(&["--permissive-cache-loading"]).expect(0);
    home.run(&["policy", "list"]).expect(0);
    set(&["--read-write"]).expect(1);
    home.run(&["repository", "disconnect"]).expect(0);
    home.run(&["repository", "connect", "filesystem", &format!("--path={}", home.path("repo").display())])
        .expect(0);
    set(&["--permissive-cache-loading"]).expect(1);
    set(&["--repository-format-cache-duration=1h"]).expect(0);
    set(&["--disable-repository-format-cache"]).expect(0);
    assert_eq!(status(&home)["clientOptions"]["formatBlobCacheDuration"], -1);
    set(&["--username=u3", "--password=wrong"]).expect(12);
    assert_ne!(status(&home)["clientOptions"]["username"], "u3");
}

#[test]
fn every_format_flag_of_kopias_create_is_obeyed() {
    let home = Home::new_with(&[
        "--format-version=2",
        "--block-hash=BLAKE3-256",
        "--encryption=CHACHA20-POLY1305-HMAC-SHA256",
        "--object-splitter=FIXED-1M",
        "--ecc=REED-SOLOMON-CRC32",
        "--ecc-overhead-percent=300",
        "--format-block-key-derivation-algorithm=pbkdf2-sha256-600000",
    ]);
    let status = status(&home);
    let format = &status["contentFormat"];
    assert_eq!(format["hash"], "BLAKE3-256");
    assert_eq!(format["encryption"], "CHACHA20-POLY1305-HMAC-SHA256");
    assert_eq!((&format["ecc"], &format["eccOverheadPercent"]), (&json!("REED-SOLOMON-CRC32"), &json!(100)));
    assert_eq!(format["version"], 2);
    assert_eq!(status["objectFormat"]["splitter"], "FIXED-1M");
    let outer = std::fs::read(home.path("repo/kopia.repository.f")).unwrap();
    let outer: serde_json::Value = serde_json::from_slice(&outer).unwrap();
    assert_eq!(outer["keyAlgo"], "pbkdf2-sha256-600000");
}
