//! `commands_*.json`: commands in order, and what Kopia answered.
//!
//! Compared are the status, as success or failure, the JSON, and the text of listings. Ids, times and the folder
//! everything is in differ between two runs; a recorded id stands for ours at the same place of an earlier answer.
//! Other text is prose, and our own.

use super::{list, report, table, text};
use crate::cli::{Home, Run, write};
use crate::support::live_tree::set_mtime;
use packhorse::base::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

/// Commands that are passed over: here they do something else, and what comes after them would differ, too.
const LEFT_OUT: &[(&str, &str)] = &[
    ("snapshot-017", "CET as a zone: refused here, and taken for UTC there"),
    ("snapshot-020", "a value that looks like a flag is a value here"),
    ("snapshot-072", "a zone that does not exist is refused here"),
    ("snapshot-073", "a zone that does not exist is refused here"),
    ("restore-080", "a file system that is full cannot be made by a test"),
    ("restore-081", "a file system that is full cannot be made by a test"),
    ("restore-082", "a file system that is read-only cannot be made by a test"),
];

/// Commands whose answer differs, and may.
const OTHERWISE: &[(&str, &str)] = &[
    ("snapshot-048", "sizes of directories are compared here, too"),
    ("snapshot-095", "snapshots of single files are expected work here, too"),
    ("snapshot-141", "the one cache folder of both repositories, which Kopia stumbles over"),
    ("snapshot-142", "the one cache folder of both repositories"),
    ("snapshot-144", "the one cache folder of both repositories"),
    ("restore-066", "a path below a snapshot's id is shown, as it is listed"),
];

/// A hash, with a letter before it or without.
fn is_id(text: &str) -> bool {
    let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let digits = text.strip_prefix(['k', 'x']).unwrap_or(text);
    digits.len() == 32 && digits.bytes().all(is_hex)
}

/// What follows an id in a path that begins with one.
fn tail_of_id(text: &str) -> Option<&str> {
    text.split_once('/').filter(|(id, _)| is_id(id)).map(|(_, tail)| tail)
}

/// The lines in an order that does not depend on ids.
fn in_order(text: &str) -> String {
    let without_id = |line: &&str| {
        let id = |word: &'_ str| is_id(word).then(String::new);
        line.split(' ')
            .map(|word| {
                let tail = tail_of_id(word).map(str::to_owned);
                tail.or_else(|| id(word))
                    .unwrap_or_else(|| if is_part_of_a_time(word) { String::new() } else { word.to_owned() })
            })
            .collect::<Vec<_>>()
    };
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_by_cached_key(without_id);
    lines.join("\n")
}

fn is_time(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok()
}

/// The table whose listings have no order.
const UNORDERED: [&str; 3] = ["ls", "show", "diff"];

/// `2026-11-23`, `11:17:29`: what a time consists of in listings.
fn is_part_of_a_time(text: &str) -> bool {
    let text = text.split('.').next().unwrap_or_default();
    let pattern: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    ["9999-99-99", "99:99:99"].contains(&pattern.as_str())
}

struct Replay {
    home: Home,
    /// Where everything was when the commands were recorded.
    base: String,
    /// Our ids by the recorded ones.
    ids: BTreeMap<String, String>,
    failures: Vec<String>,
}

impl Replay {
    fn new(table: &Value) -> Self {
        let home = Home::empty();
        source(&home.path("src"));
        symlink("src", home.path("ln")).unwrap();
        write(&home.path("script.sh"), b"#!/bin/sh\necho hi\n");
        let editor = "#!/bin/sh\nsed -i 's/\"retention\": {}/\"retention\": {\"keepLatest\": 3}/' $1\n";
        write(&home.path("ed.sh"), editor.as_bytes());
        std::fs::set_permissions(home.path("ed.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        Self { home, base: text(&table["base"]).to_owned(), ids: BTreeMap::new(), failures: Vec::new() }
    }

    /// A recorded text in terms of this run.
    fn here(&self, text: &str) -> String {
        // Keeps the order of the sources, whatever the folder is called.
        let text = text.replace("/only/path", "/zzz/only/path");
        text.replace(&self.base, self.home.path("").to_str().unwrap().trim_end_matches('/'))
    }

    fn argument(&mut self, recorded: &str) -> String {
        if let Some((flag, id)) = recorded.split_once('=').filter(|(_, value)| is_id(value)) {
            return format!("{flag}={}", self.argument(id));
        }
        if let Some((id, path)) = recorded.split_once('/').filter(|(id, _)| is_id(id)) {
            return format!("{}/{path}", self.argument(id));
        }
        if !is_id(recorded) || recorded.trim_start_matches('k').bytes().all(|digit| digit == b'0') {
            return self.here(recorded);
        }
        if !self.ids.contains_key(recorded) {
            // The recorder had looked for it without recording that: the oldest snapshot of the source.
            let src = self.home.path("src").to_str().unwrap().to_owned();
            let snapshots = self.home.run(&["snapshot", "list", "--json", &src]).expect(0).json();
            let oldest =
                list(&snapshots).find(|snapshot| snapshot["source"]["path"] == src.as_str()).unwrap();
            self.ids.insert(recorded.to_owned(), text(&oldest["id"]).to_owned());
        }
        self.ids[recorded].clone()
    }

    fn run(&mut self, item: &Value) -> Run {
        let mut args: Vec<_> = list(&item["argv"]).map(|arg| self.argument(text(arg))).collect();
        if args.starts_with(&["repository".to_owned(), "create".to_owned()]) {
            args.extend(["--override-hostname=packhost", "--override-username=root"].map(str::to_owned));
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut command = self.home.packhorse(&args);
        command
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.here(item["cwd"].as_str().unwrap_or(&self.base)));
        for (name, value) in super::members(&item["env"]) {
            command.env(name, self.here(text(value)));
        }
        let input = self.home.path("input");
        write(&input, self.here(item["stdin"].as_str().unwrap_or("")).as_bytes());
        command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
        crate::cli::finish(&mut command)
    }

    fn check(&mut self, item: &Value) {
        let run = self.run(item);
        let mut differences = Vec::new();
        if (run.status == Some(0)) != (item["exit"] == 0) {
            differences.push(format!("status {:?}, wanted {}: {}", run.status, item["exit"], run.stderr));
        }
        let recorded = text(&item["stdout"]);
        if let Ok(wanted) = serde_json::from_str::<Value>(&self.here(recorded)) {
            match serde_json::from_str(&run.stdout) {
                Ok(found) => self.compare("", &found, &wanted, &mut differences),
                Err(error) => differences.push(format!("{error}: {}", run.stdout)),
            }
        } else if item["argv"][1] == "list" {
            let wanted = self.here(recorded);
            self.compare_text(&run.stdout, &wanted, &mut differences);
        } else if UNORDERED.iter().any(|command| item["argv"][0] == *command) {
            self.compare_text(&in_order(&run.stdout), &in_order(recorded), &mut differences);
        }
        if let Some(tree) = item.get("tree") {
            self.compare_tree(item, tree, &mut differences);
        }
        self.learn(&run.stderr, text(&item["stderr"]));
        let id = text(&item["id"]);
        let may_differ = OTHERWISE.iter().any(|(other, _)| *other == id);
        if may_differ == differences.is_empty() {
            let what = if may_differ { "is as in Kopia now".to_owned() } else { differences.join("\n    ") };
            self.failures.push(format!("{id} {} ({}):\n    {what}", item["argv"], item["note"]));
        }
    }

    /// Takes the ids of a new snapshot from what was said about it.
    fn learn(&mut self, ours: &str, kopias: &str) {
        let ids = |text: &str| -> Vec<String> {
            text.split_whitespace().filter(|word| is_id(word)).map(str::to_owned).collect()
        };
        self.ids.extend(ids(kopias).into_iter().zip(ids(ours)));
    }

    fn compare(&mut self, path: &str, found: &Value, wanted: &Value, differences: &mut Vec<String>) {
        match (found, wanted) {
            (Value::Object(ours), Value::Object(kopias)) => {
                // Where entries say what Kopia's have no room for.
                let is_theirs = |key: &&String| *key != "ph" || kopias.contains_key(*key);
                for key in ours.keys().filter(is_theirs).chain(kopias.keys()).collect::<BTreeSet<_>>() {
                    self.compare(&format!("{path}.{key}"), &found[key], &wanted[key], differences);
                }
            }
            (Value::Array(ours), Value::Array(kopias)) if ours.len() == kopias.len() => {
                for (at, (ours, kopias)) in ours.iter().zip(kopias).enumerate() {
                    self.compare(&format!("{path}[{at}]"), ours, kopias, differences);
                }
            }
            (Value::String(ours), Value::String(kopias)) if self.is_same(ours, kopias) => {}
            _ if found == wanted => {}
            _ => differences.push(format!("{path} is {found}, wanted {wanted}")),
        }
    }

    /// Whether two words mean the same.
    fn is_same(&mut self, ours: &str, kopias: &str) -> bool {
        if is_id(ours) && is_id(kopias) {
            self.ids.insert(kopias.to_owned(), ours.to_owned());
            return true;
        }
        let after_name = |word: &'_ str| word.split_once(':').map(|(_, rest)| is_id(rest));
        ours == kopias
            || (is_time(ours) && is_time(kopias))
            || (is_part_of_a_time(ours) && is_part_of_a_time(kopias))
            || (tail_of_id(ours).is_some() && tail_of_id(ours) == tail_of_id(kopias))
            || (after_name(ours) == Some(true) && after_name(kopias) == Some(true))
    }

    fn compare_text(&mut self, found: &str, wanted: &str, differences: &mut Vec<String>) {
        if found.lines().count() != wanted.lines().count() {
            differences.push(format!("{found}\nwanted\n{wanted}"));
        }
        for (ours, kopias) in found.lines().zip(wanted.lines()) {
            let words = |line: &'_ str| line.split([' ', '\t']).map(str::to_owned).collect::<Vec<_>>();
            let (left, right) = (words(ours), words(kopias));
            let is_same = left.len() == right.len()
                && left.iter().zip(&right).all(|(ours, kopias)| self.is_same(ours, kopias));
            if !is_same {
                differences.push(format!("{ours}\n     not {kopias}"));
            }
        }
    }

    /// Compares what a restore has left with what Kopia's left: the tree, the size of a file, or that there is an archive.
    fn compare_tree(&self, item: &Value, after: &Value, differences: &mut Vec<String>) {
        let target = match item["cwd"].as_str() {
            Some(folder) => self.here(folder).into(),
            None if after == &Value::Bool(true) => self.here(text(&item["argv"][2])).into(),
            None => self.home.path("out"),
        };
        let found = match std::fs::symlink_metadata(&target) {
            Err(_) => Value::Null,
            Ok(_) if after == &Value::Bool(true) => Value::Bool(true),
            Ok(metadata) if metadata.is_file() => metadata.len().into(),
            Ok(_) => tree(&target).into(),
        };
        let of_any_size = |line: &Value| {
            let line = line.as_str().unwrap_or_default();
            // What a placeholder says of a directory is more exact here.
            let is_placeholder = line.contains(".kopia-entry ") && !line.ends_with('/');
            let line =
                if is_placeholder { line.rsplit_once(' ').map_or(line, |(line, _)| line) } else { line };
            line.to_owned()
        };
        let is_same = match (found.as_array(), after.as_array()) {
            (Some(found), Some(after)) => {
                found.iter().map(of_any_size).collect::<Vec<_>>()
                    == after.iter().map(of_any_size).collect::<Vec<_>>()
            }
            _ => found == *after,
        };
        if !is_same {
            differences.push(format!("left is {found}\n     not {after}"));
        }
    }

    /// Does to the files what the recorder did between two commands.
    fn prepare(&self, what: &str) {
        let hello = self.home.path("src/hello.txt");
        match what {
            "out is removed" => {
                let out = self.home.path("out");
                std::fs::remove_dir_all(&out).or_else(|_| std::fs::remove_file(&out)).ok();
            }
            "out/hello.txt changed, out/extra.txt added" => {
                file(&self.home.path("out/hello.txt"), b"other\n", 1_700_000_300);
                file(&self.home.path("out/extra.txt"), b"extra", 1_700_000_300);
            }
            "out/hello.txt is now a folder" => {
                std::fs::remove_file(self.home.path("out/hello.txt")).unwrap();
                std::fs::create_dir_all(self.home.path("out/hello.txt/d")).unwrap();
                file(&self.home.path("out/sub/x"), b"x", 1_700_000_300);
            }
            "file is a file" => file(&self.home.path("file"), b"x", 1_700_000_300),
            "cwd is an empty folder" => std::fs::create_dir(self.home.path("cwd")).unwrap(),
            "hello.txt changed" => file(&hello, b"hello again\n", 1_700_000_500),
            "hello.txt changed, sub/new.txt added" => {
                file(&hello, b"changed\n", 1_700_000_900);
                file(&self.home.path("src/sub/new.txt"), b"n", 1_700_000_900);
                set_mtime(&self.home.path("src/sub"), 1_700_000_000_000_000_000);
            }
            other => panic!("{other} is no preparation of these tables"),
        }
    }
}

/// Everything below a folder: path, permissions, and the size or a slash, as the recorder wrote it.
fn tree(root: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(root).min_depth(1).into_iter().map(Result::unwrap);
    let line = |found: walkdir::DirEntry| {
        let own = std::fs::symlink_metadata(found.path()).unwrap();
        let size = match std::fs::metadata(found.path()) {
            Ok(led_to) if led_to.is_dir() => "/".to_owned(),
            Ok(_) => own.len().to_string(),
            Err(_) => String::new(),
        };
        let path = found.path().strip_prefix(root).unwrap().display();
        format!("{path} {:o} {size}", own.permissions().mode() & 0o7777)
    };
    let mut lines: Vec<_> = walk.map(line).collect();
    lines.sort();
    lines
}

fn file(path: &Path, data: &[u8], seconds: i64) {
    crate::support::live_tree::write(path, data);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    set_mtime(path, seconds * 1_000_000_000);
}

/// The source that the recorder had.
fn source(src: &Path) {
    let numbers: Vec<u8> = (0..=255).collect();
    file(&src.join("hello.txt"), b"hello\n", 1_700_000_000);
    file(&src.join("empty"), b"", 1_700_000_000);
    file(&src.join("sub/b.txt"), b"bee\n", 1_700_000_000);
    file(&src.join("sub/deep/c.bin"), &numbers.repeat(40), 1_700_000_000);
    file(&src.join("<&> é.txt"), b"html\n", 1_700_000_000);
    std::fs::create_dir(src.join("empty-dir")).unwrap();
    symlink("hello.txt", src.join("link")).unwrap();
    for folder in ["sub/deep", "sub", "empty-dir", ""] {
        std::fs::set_permissions(src.join(folder), PermissionsExt::from_mode(0o755)).unwrap();
        set_mtime(&src.join(folder), 1_700_000_000_000_000_000);
    }
}

/// The hour it is: which snapshots are kept for what depends on it.
#[expect(clippy::disallowed_methods, reason = "commands take the time from the system")]
fn hour() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 3600
}

fn replay(name: &str, count: usize) {
    let table = table(name);
    loop {
        let before = hour();
        let mut replay = Replay::new(&table);
        for item in list(&table["items"]) {
            if let Some(what) = item["prepare"].as_str() {
                replay.prepare(what);
            } else if !LEFT_OUT.iter().any(|(id, _)| item["id"] == *id) {
                replay.check(item);
            }
        }
        if hour() == before {
            assert_eq!(list(&table["items"]).count(), count);
            return report(count, &replay.failures);
        }
    }
}

#[test]
fn commands_about_policies_answer_as_kopias() {
    replay("commands_policy", 111);
}

#[test]
fn commands_that_look_answer_as_kopias() {
    replay("commands_look", 34);
}

#[test]
fn commands_about_snapshots_answer_as_kopias() {
    replay("commands_snapshot", 144);
}

#[test]
fn commands_that_restore_leave_what_kopias_leave() {
    replay("commands_restore", 79);
}
