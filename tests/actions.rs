//! Commands of policies around folders and snapshots, as the binary runs them.

use crate::support::programs::{PASSWORD, Program, text};
use crate::support::trees::write;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A repository, a source with a folder `sub` in it, and scripts that write what they see to `log`.
struct Stage {
    program: Program,
    base: tempfile::TempDir,
}

impl Stage {
    fn new(program: Program, extra: &[&str]) -> Self {
        let base = tempfile::tempdir().unwrap();
        program.create(&base.path().join("repository"), extra);
        fs::create_dir_all(base.path().join("source/sub")).unwrap();
        write(&base.path().join("source/file"), b"1");
        write(&base.path().join("source/sub/file"), b"22");
        Self { program, base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Gives a folder an action.
    fn set(&self, folder: &str, action: &str, mode: &str, script: &str) {
        let file = self.path("script");
        write(&file, script.replace("BASE", &self.base.path().display().to_string()).as_bytes());
        let action = format!("--{action}-action={}", file.display());
        let mode = format!("--action-command-mode={mode}");
        self.program.ok(["policy", "set", &self.text(folder), &action, "--persist-action-script", &mode]);
        fs::remove_file(file).unwrap();
    }

    fn create(&self, more: &[&str]) -> Output {
        let source = self.text("source");
        self.program.run([&["snapshot", "create", "--json", &source], more].concat())
    }

    #[track_caller]
    fn snapshot(&self, more: &[&str], status: i32) -> Value {
        let output = self.create(more);
        assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        fs::remove_file(self.path("log")).ok();
        log.lines().map(str::to_owned).collect()
    }
}

const TELL: &str = "echo \"$KOPIA_ACTION $KOPIA_SOURCE_PATH\" >> BASE/log\n";

fn set_all(stage: &Stage) {
    for (folder, action) in [
        ("source", "before-snapshot-root"),
        ("source", "after-snapshot-root"),
        ("source", "before-folder"),
        ("source", "after-folder"),
        ("source/sub", "before-folder"),
        ("source/sub", "after-folder"),
    ] {
        stage.set(folder, action, "essential", TELL);
    }
}

#[test]
fn each_runs_at_its_time() {
    let stage = Stage::new(Program::packhorse(), &["--enable-actions"]);
    set_all(&stage);
    stage.snapshot(&[], 0);
    let (root, sub) = (stage.text("source"), stage.text("source/sub"));
    let expected = [
        format!("before-snapshot-root {root}"),
        format!("before-folder {root}"),
        format!("before-folder {sub}"),
        format!("after-folder {sub}"),
        format!("after-folder {root}"),
        format!("after-snapshot-root {root}"),
    ];
    assert_eq!(stage.log(), expected);
    // A file or a stream has no folder to run them around.
    stage.program.ok(["snapshot", "create", &stage.text("source/file")]);
    assert_eq!(stage.log(), [""; 0]);
}

#[test]
fn whoever_runs_this_client_decides() {
    let stage = Stage::new(Program::packhorse(), &[]);
    set_all(&stage);
    let output = stage.create(&[]);
    assert_eq!((output.status.code(), stage.log().len()), (Some(0), 0));
    assert!(text(&output.stderr).contains("does not allow actions"), "{}", text(&output.stderr));
    stage.snapshot(&["--force-enable-actions"], 0);
    assert_eq!(stage.log().len(), 6);
    stage.snapshot(&["--force-enable-actions", "--force-disable-actions"], 0);
    assert_eq!(stage.log().len(), 0);
}

#[test]
fn another_folder_can_be_read_instead() {
    let stage = Stage::new(Program::packhorse(), &["--enable-actions"]);
    for name in ["frozen", "frozen sub"] {
        fs::create_dir(stage.path(name)).unwrap();
        write(&stage.path(name).join("kept"), name.as_bytes());
    }
    fs::create_dir(stage.path("frozen/sub")).unwrap();
    stage.set("source", "before-snapshot-root", "essential", "echo KOPIA_SNAPSHOT_PATH=BASE/frozen");
    stage.set("source", "after-snapshot-root", "essential", "echo $KOPIA_SNAPSHOT_PATH >> BASE/log");
    stage.set("source/sub", "before-folder", "essential", "echo \"KOPIA_SNAPSHOT_PATH=BASE/frozen sub\"");
    let made = stage.snapshot(&[], 0);
    assert_eq!(made["source"]["path"], stage.text("source").as_str());
    assert_eq!(made["rootEntry"]["name"], "source");
    assert_eq!(stage.log(), [stage.text("frozen")]);
    stage.program.restore(&made, &stage.path("out"));
    let read = |path: &str| fs::read_to_string(stage.path(path)).unwrap();
    assert_eq!((read("out/kept"), read("out/sub/kept")), ("frozen".to_owned(), "frozen sub".to_owned()));
    assert!(!stage.path("out/file").exists());
    // The second run knows the files of the first, wherever they were read.
    let again = stage.snapshot(&["--json-verbose"], 0);
    assert_eq!(again["stats"]["cachedFiles"], 2);
}

#[test]
fn an_essential_failure_is_that_of_the_folder_or_of_the_snapshot() {
    let stage = Stage::new(Program::packhorse(), &["--enable-actions"]);
    stage.set("source/sub", "before-folder", "essential", "exit 7");
    stage.set("source/sub", "after-folder", "essential", TELL);
    let made = stage.snapshot(&[], 3);
    assert_eq!(made["rootEntry"]["summ"]["errors"][0]["path"], "sub");
    let error = made["rootEntry"]["summ"]["errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("before-folder") && error.contains("exit status: 7"), "{error}");
    assert_eq!(stage.log().len(), 0, "what was not begun is not ended");
    stage.set("source/sub", "before-folder", "optional", "exit 7");
    stage.snapshot(&[], 0);
    assert_eq!(stage.log().len(), 1);
    stage.set("source", "before-snapshot-root", "essential", "exit 8");
    let before = stage.program.ok(["snapshot", "list", "--json"]);
    let output = stage.create(&[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("exit status: 8"), "{}", text(&output.stderr));
    assert_eq!(stage.program.ok(["snapshot", "list", "--json"]), before);
}

#[test]
fn what_was_begun_is_ended_after_a_stop_and_after_a_failure() {
    let stage = Stage::new(Program::packhorse(), &["--enable-actions"]);
    stage.set("source", "after-snapshot-root", "essential", TELL);
    stage.set("source", "after-folder", "essential", TELL);
    stage.set("source/sub", "before-folder", "essential", "kill -TERM $PPID; sleep 60");
    let output = stage.create(&[]);
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert_eq!(stage.log().len(), 2);
    stage.set("source/sub", "before-folder", "essential", "rm -r BASE/repository/p* BASE/repository/q* || true; echo x > BASE/repository/p; echo x > BASE/repository/q; echo x > BASE/source/sub/new");
    let output = stage.create(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(stage.log().len(), 2, "{}", text(&output.stderr));
}

/// Variables that a command gets, without values that differ by nature.
fn variables(program: Program) -> Vec<String> {
    let stage = Stage::new(program, &["--enable-actions"]);
    stage.set(
        "source",
        "before-folder",
        "essential",
        "env > BASE/log; tr '\\0' ' ' < /proc/$$/cmdline > BASE/line; ps -o args= $PPID > BASE/parent",
    );
    stage.snapshot(&[], 0);
    for file in ["line", "parent"] {
        let line = fs::read_to_string(stage.path(file)).unwrap_or_default();
        assert!(!line.contains(PASSWORD), "{line}");
    }
    let log = stage.log();
    assert!(log.iter().any(|line| line.strip_prefix("PWD=").is_some_and(|path| !Path::new(path).exists())));
    let names = log.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("KOPIA_") || name == "HOME").collect();
    names.sort();
    names
}

#[test]
fn a_command_gets_what_kopia_gives() {
    let ours = variables(Program::packhorse());
    for name in ["ACTION", "SNAPSHOT_ID", "SNAPSHOT_PATH", "SOURCE_PATH", "VERSION"] {
        assert!(ours.contains(&format!("KOPIA_{name}")), "{ours:?}");
    }
    if let Some(kopia) = Program::kopia() {
        assert_eq!(variables(kopia), ours);
    }
}
