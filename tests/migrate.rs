//! Snapshots and policies from one repository to another.

use crate::cli::{Home, Run, write};
use crate::support::programs::Program;
use crate::support::trees::{self, Dice, Times, differences};
use serde_json::{Value, json};

fn path(home: &Home, name: &str) -> String {
    home.path(name).to_str().unwrap().to_owned()
}

/// A home with a repository `repo`, connected by `config/repository.config`, and one of another kind in `repo2`,
/// connected by `other.config`.
fn home(flags: &[&str]) -> Home {
    let home = Home::connected();
    let (config, to) = (path(&home, "other.config"), format!("--path={}", path(&home, "repo2")));
    let create = ["--config-file", &config, "repository", "create", "filesystem", &to];
    home.run(&[&create[..], flags].concat()).expect(0);
    home
}

/// Runs in the second repository.
fn there(home: &Home, args: &[&str]) -> Run {
    let config = path(home, "other.config");
    home.run(&[&["--config-file", config.as_str()], args].concat())
}

fn migrate(home: &Home, args: &[&str]) -> Run {
    let source = format!("--source-config={}", path(home, "config/repository.config"));
    there(home, &[&["snapshot", "migrate", &source], args].concat())
}

fn list(home: &Home) -> Vec<Value> {
    there(home, &["snapshot", "list", "--all", "--json"]).expect(0).json().as_array().unwrap().clone()
}

#[test]
fn snapshots_arrive_as_they_were() {
    let flags = [
        "--block-hash=BLAKE3-256",
        "--encryption=CHACHA20-POLY1305-HMAC-SHA256",
        "--object-splitter=FIXED-128K",
    ];
    for (number, flags) in [&flags[..], &["--format-version=1"], &[]].into_iter().enumerate() {
        let home = home(flags);
        let src = path(&home, "src");
        trees::make(&home.path("src"), &mut Dice::new(number as u64));
        write(&home.path("src/big.bin"), &crate::support::world::noise(7, 700_000));
        home.run(&["policy", "set", &src, "--compression=zstd-fastest", "--keep-latest=7"]).expect(0);
        home.run(&["snapshot", "create", &src, "--description=first", "--tags=a:b", "--pin=p"]).expect(0);
        write(&home.path("src/new.txt"), b"new\n");
        home.run(&["snapshot", "create", &src]).expect(0);
        let file = format!("{src}/new.txt");
        home.run(&["snapshot", "create", &file, "--override-source=bob@other:/x"]).expect(0);
        let before: Vec<Value> =
            home.run(&["snapshot", "list", "--all", "--json"]).json().as_array().unwrap().clone();

        let run = migrate(&home, &["--all"]).expect(0);
        assert_eq!(run.stderr.matches("copying ").count(), 3 + 2, "with two policies: {run:?}");
        let after = list(&home);
        for (old, new) in before.iter().zip(&after) {
            for key in ["source", "description", "startTime", "endTime", "stats", "tags", "pins"] {
                assert_eq!(old[key], new[key], "{key}");
            }
            let (old, new) = (&old["rootEntry"], &new["rootEntry"]);
            for key in ["name", "type", "mode", "size", "mtime", "uid", "gid", "summ"] {
                assert_eq!(old[key], new[key], "{key}");
            }
            assert!(!flags.is_empty() || old["obj"].is_string());
        }
        assert_eq!(after.len(), 3);
        there(&home, &["snapshot", "verify", "--verify-files-percent=100"]).expect(0);
        there(&home, &["restore", after[2]["id"].as_str().unwrap(), &path(&home, "out")]).expect(0);
        let found = differences(&home.path("src"), &home.path("out"), Times::Exact);
        assert!(found.is_empty(), "{found:?}");

        let again = migrate(&home, &["--all"]).expect(0);
        assert_eq!(again.stderr.matches("is there already").count(), 3, "{again:?}");
        assert_eq!(list(&home).len(), 3);
        // A snapshot of the live source is the same tree: what was copied was cut as it would be.
        let live = there(&home, &["snapshot", "create", &src, "--force-hash=100", "--json"]).expect(0).json();
        assert!(after.iter().any(|copy| copy["rootEntry"]["obj"] == live["rootEntry"]["obj"]), "{live}");
    }
}

#[test]
fn only_what_was_asked_for_comes() {
    let home = home(&[]);
    let src = path(&home, "src");
    std::fs::create_dir_all(home.path("src/sub")).unwrap();
    for name in ["a", "b.tmp", "sub/c.tmp", "sub/.kopiaignore"] {
        write(&home.path("src").join(name), b"d\n");
    }
    for day in ["01", "02"] {
        let time = format!("--start-time=2024-01-{day} 12:00:00 UTC");
        home.run(&["snapshot", "create", &src, &time]).expect(0);
        home.run(&["snapshot", "create", &src, &time, "--override-source=bob@other:/x"]).expect(0);
    }
    home.run(&["policy", "set", "bob@other:/x", "--keep-latest=3"]).expect(0);
    home.run(&["policy", "set", "@other", "--keep-latest=4"]).expect(0);
    migrate(&home, &[]).expect(2);
    migrate(&home, &["--all", "--sources=bob@other:/x"]).expect(2);
    migrate(&home, &["--sources=bob@other"]).expect(2);
    there(&home, &["snapshot", "migrate", "--all", "--source-config=/nowhere"]).expect(2);

    migrate(&home, &["--sources=bob@other:/x", "--latest-only", "--parallel=2"]).expect(0);
    let listed = list(&home);
    assert_eq!((listed.len(), &listed[0]["startTime"]), (1, &json!("2024-01-02T12:00:00Z")));
    let policies = there(&home, &["policy", "export"]).expect(0).json();
    assert_eq!(policies["bob@other:/x"]["retention"]["keepLatest"], 3);
    assert!(policies.get("@other").is_none(), "only of the source");
    there(&home, &["policy", "set", "bob@other:/x", "--keep-latest=9"]).expect(0);
    migrate(&home, &["--all", "--no-policies"]).expect(0);
    assert_eq!(list(&home).len(), 4);
    let policies = || there(&home, &["policy", "export"]).expect(0).json();
    assert!(policies().get("@other").is_none());
    migrate(&home, &["--all"]).expect(0);
    assert_eq!(policies()["bob@other:/x"]["retention"]["keepLatest"], 9);
    assert_eq!(policies()["@other"]["retention"]["keepLatest"], 4);
    migrate(&home, &["--all", "--overwrite-policies"]).expect(0);
    assert_eq!(policies()["bob@other:/x"]["retention"]["keepLatest"], 3);

    // The rules of here, and those that lie in the tree.
    there(&home, &["snapshot", "delete", "--all-snapshots-for-source", &listed_source(&home), "--delete"])
        .expect(0);
    there(&home, &["policy", "set", "--global", "--add-ignore=b.*"]).expect(0);
    write(&home.path("src/sub/.kopiaignore"), b"*.tmp\n");
    home.run(&["snapshot", "create", &src, "--start-time=2024-01-03 12:00:00 UTC"]).expect(0);
    write(&home.path("src/sub/.kopiaignore"), b"\n");
    migrate(&home, &["--all", "--no-policies", "--apply-ignore-rules"]).expect(0);
    let own = list(&home).into_iter().rfind(|listed| listed["source"]["path"] == src.as_str()).unwrap();
    let id = own["id"].as_str().unwrap();
    let mut names: Vec<_> = there(&home, &["ls", "-r", id])
        .expect(0)
        .stdout
        .lines()
        .map(|line| line[id.len()..].to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["/a", "/sub/", "/sub/.kopiaignore"]);
    assert_eq!(
        (&own["rootEntry"]["summ"]["files"], &own["rootEntry"]["summ"]["dirs"]),
        (&json!(2), &json!(2))
    );
    there(&home, &["snapshot", "verify", "--verify-files-percent=100"]).expect(0);
}

/// The source of this user and host, as text.
fn listed_source(home: &Home) -> String {
    let src = path(home, "src");
    let own = list(home).into_iter().find(|listed| listed["source"]["path"] == src.as_str()).unwrap();
    let part = |key: &str| own["source"][key].as_str().unwrap().to_owned();
    format!("{}@{}:{}", part("userName"), part("host"), part("path"))
}

#[test]
fn a_source_that_cannot_be_read_does_not_stop_the_others() {
    let home = home(&[]);
    std::fs::create_dir(home.path("src")).unwrap();
    write(&home.path("src/whole"), b"whole");
    home.run(&["snapshot", "create", &path(&home, "src"), "--override-source=b@h:/whole"]).expect(0);
    let data = |home: &Home| -> Vec<_> {
        let root = home.path("repo");
        let files = walkdir::WalkDir::new(&root).into_iter().map(|entry| entry.unwrap().into_path());
        let name =
            |path: &std::path::Path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('/', "");
        files.filter(|path| path.is_file() && name(path).starts_with('p')).collect()
    };
    let before = data(&home);
    write(&home.path("src/lost"), b"lost");
    home.run(&["snapshot", "create", &path(&home, "src"), "--override-source=a@h:/lost"]).expect(0);
    for lost in data(&home).iter().filter(|path| !before.contains(path)) {
        std::fs::remove_file(lost).unwrap();
    }
    let run = migrate(&home, &["--all"]);
    assert!(!matches!(run.status, Some(0 | 2)) && run.stderr.contains("/lost"), "{run:?}");
    let listed = list(&home);
    assert_eq!(listed.len(), 1, "what is not whole does not come at all");
    assert_eq!(listed[0]["source"]["path"], "/whole");
}

#[test]
fn kopia_takes_what_was_copied() {
    let Some(kopia) = Program::kopia() else { return };
    let (from, ours) = (Program::packhorse().plain(), Program::packhorse());
    let base = tempfile::tempdir().unwrap();
    let (one, other, source) =
        (base.path().join("one"), base.path().join("other"), base.path().join("source"));
    trees::make(&source, &mut Dice::new(3));
    from.create(&one, &["--format-version=1"]);
    from.snapshot(&source);
    trees::edit(&source, &mut Dice::new(4));
    let last = from.snapshot(&source);
    ours.create(&other, &["--block-hash=HMAC-SHA256-128"]);
    let config = format!("--source-config={}", from.config().display());
    ours.ok(["snapshot", "migrate", &config, "--all"]);
    kopia.connect(&other);
    kopia.verify();
    let listed: Vec<Value> = serde_json::from_str(&kopia.ok(["snapshot", "list", "--json"])).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1]["startTime"], last["startTime"]);
    let target = base.path().join("restored");
    kopia.restore(&listed[1], &target);
    assert!(differences(&source, &target, Times::Kopia).is_empty());
    // Kopia's upload of the unchanged source is the tree that was copied.
    let again = kopia.snapshot(&source);
    assert_eq!(again["rootEntry"]["obj"], listed[1]["rootEntry"]["obj"]);
}
