//! Looking without restoring: differences between snapshots, and versions of a file in all of them.

use crate::cli::Home;
use crate::support::live_tree::{set_mtime, write};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A home with a source that was saved three times.
struct Saved {
    home: Home,
    src: String,
    ids: Vec<String>,
}

fn put(path: &Path, data: &[u8], seconds: i64) {
    write(path, data);
    set_mtime(path, seconds * 1_000_000_000);
}

impl Saved {
    fn new() -> Self {
        let home = Home::connected();
        let src = home.path("src");
        let mut saved = Self { src: src.to_str().unwrap().to_owned(), home, ids: Vec::new() };
        put(&src.join("docs/a.txt"), b"first", 1_000);
        put(&src.join("docs/keep.txt"), b"always", 1_000);
        put(&src.join("other/deep/b.txt"), b"b", 1_000);
        saved.save("2024-01-01 00:00:00 UTC");
        put(&src.join("docs/a.txt"), b"second!", 2_000);
        saved.save("2024-01-02 00:00:00 UTC");
        fs::remove_file(src.join("docs/a.txt")).unwrap();
        put(&src.join("new/c.txt"), b"c", 3_000);
        fs::remove_dir_all(src.join("other")).unwrap();
        put(&src.join("other"), b"a file now", 3_000);
        saved.save("2024-01-03 00:00:00 UTC");
        saved
    }

    fn save(&mut self, start: &str) {
        let start = format!("--start-time={start}");
        let run = self.home.run(&["snapshot", "create", "--json", &start, &self.src]).expect(0);
        self.ids.push(run.json()["id"].as_str().unwrap().to_owned());
    }

    fn diff(&self, old: usize, new: usize, flags: &[&str]) -> String {
        let args = [&["diff", &self.ids[old], &self.ids[new]], flags].concat();
        self.home.run(&args).expect(0).stdout
    }

    fn find(&self, pattern: &str) -> Vec<Value> {
        let run = self.home.run(&["snapshot", "find", "--json", pattern]).expect(0);
        run.json().as_array().unwrap().clone()
    }
}

#[test]
fn every_difference_is_told_once() {
    let saved = Saved::new();
    let first: Vec<String> = saved.diff(0, 1, &[]).lines().map(str::to_owned).collect();
    for line in [
        "./docs/a.txt sizes differ: 5 7",
        "./docs/a.txt modification times differ: 1970-01-01 00:16:40 +0000 UTC 1970-01-01 00:33:20 +0000 UTC",
        "changed ./docs/a.txt at 1970-01-01 00:33:20 +0000 UTC (size 5 -> 7)",
        "./docs sizes differ: 11 13",
    ] {
        assert_eq!(first.iter().filter(|found| *found == line).count(), 1, "{line} in {first:#?}");
    }
    assert!(!first.iter().any(|line| line.contains("keep") || line.contains("other")), "{first:#?}");
    let second = saved.diff(1, 2, &[]);
    for line in [
        "removed file ./docs/a.txt (7 bytes)",
        "added directory ./new",
        "added file ./new/c.txt (1 bytes)",
        "changed ./other from directory to non-directory",
    ] {
        assert!(second.lines().any(|found| found == line), "{line} in {second}");
    }
    let json: Value = serde_json::from_str(&saved.diff(1, 2, &["--json"])).unwrap();
    let of = |change: &str| {
        let differences = json["differences"].as_array().unwrap().iter();
        let of = differences.filter(|difference| difference["change"] == change);
        of.map(|difference| difference["path"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("added"), ["./new", "./new/c.txt"]);
    assert_eq!(of("removed"), ["./docs/a.txt"]);
    assert!(of("changed").contains(&"./other"));
    assert_eq!(json["stats"]["fileEntries"]["removed"], 1);
    assert_eq!(json["stats"], serde_json::from_str::<Value>(&saved.diff(1, 2, &["--stats-only"])).unwrap());
}

#[test]
fn the_command_for_files_is_the_users() {
    let saved = Saved::new();
    let lines = saved.diff(0, 1, &["--files", "--diff-command=echo compare"]);
    assert!(lines.lines().any(|line| line == "compare old/docs/a.txt new/docs/a.txt"), "{lines}");
    let none = saved.home.run(&["diff", "-f", "--diff-command=/nosuch", &saved.ids[0], &saved.ids[1]]);
    assert!(none.expect(1).stderr.contains("/nosuch"));
    let file = format!("{}/docs/a.txt", saved.ids[0]);
    assert!(saved.home.run(&["diff", &file, &file]).expect(1).stderr.contains("not a directory"));
}

#[test]
fn a_file_is_followed_through_all_snapshots() {
    let saved = Saved::new();
    let absolute = format!("{}/docs/a.txt", saved.src);
    for pattern in ["docs/a.txt", &absolute, "a.*"] {
        let versions = saved.find(pattern);
        let of = |key: &str, inner: &str| versions.iter().map(|v| v[key][inner].clone()).collect::<Vec<_>>();
        assert_eq!(versions.iter().map(|v| v["size"].clone()).collect::<Vec<_>>(), [5, 7], "{pattern}");
        assert_eq!(of("first", "id"), [saved.ids[0].as_str(), &saved.ids[1]], "{pattern}");
        assert_eq!(of("last", "id"), [saved.ids[0].as_str(), &saved.ids[1]], "{pattern}");
        assert_eq!(of("goneSince", "id"), [saved.ids[2].as_str(), &saved.ids[2]], "{pattern}");
        assert!(versions.iter().all(|version| version["path"] == "docs/a.txt"), "{pattern}");
    }
    let kept = saved.find("keep.txt");
    assert_eq!((kept.len(), &kept[0]["snapshots"]), (1, &Value::from(3)));
    assert!(kept[0].get("goneSince").is_none());
    assert!(saved.find("nosuch").is_empty() && saved.find("/elsewhere/a.txt").is_empty());
    let text = saved.home.run(&["snapshot", "find", "-n", "1", "a.txt"]).expect(0).stdout;
    let line = text.lines().nth(1).unwrap();
    assert!(line.contains("docs/a.txt  in 1 snapshot: 2024-01-02") && line.contains("gone since 2024-01-03"));
    let others = saved.home.run(&["snapshot", "find", "--source=nobody@nowhere:/x", "a.txt"]).expect(0);
    assert_eq!(others.stdout, "");
}
