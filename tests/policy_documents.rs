//! Policies as documents: exported, imported, edited.

use crate::cli::{Home, Run, write};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

fn policy(home: &Home, args: &[&str]) -> Run {
    home.run(&[&["policy"], args].concat())
}

/// Runs with a text on standard input and an editor.
fn policy_with(home: &Home, args: &[&str], input: &str, editor: &str) -> Run {
    let mut command = home.packhorse(&[&["policy"], args].concat());
    command.env("EDITOR", editor).env("TMPDIR", home.path("tmp")).env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn exported(home: &Home) -> Value {
    policy(home, &["export"]).expect(0).json()
}

/// How many blobs the store holds.
fn blobs(home: &Home) -> usize {
    let files = walkdir::WalkDir::new(home.path("repo")).into_iter().map(|entry| entry.unwrap());
    files.filter(|entry| entry.file_type().is_file()).count()
}

/// What Kopia 0.23.1 exported from a new repository, byte for byte.
const NEW: &str = concat!(
    r#"{"(global)":{"retention":{"keepLatest":10,"keepHourly":48,"keepDaily":7,"keepWeekly":4,"keepMonthly":24,"#,
    r#""keepAnnual":3,"ignoreIdenticalSnapshots":false},"files":{"ignoreDotFiles":[".kopiaignore"]},"#,
    r#""errorHandling":{"ignoreFileErrors":false,"ignoreDirectoryErrors":false,"ignoreUnknownTypes":true},"#,
    r#""scheduling":{"runMissed":true},"compression":{"compressorName":"none"},"#,
    r#""metadataCompression":{"compressorName":"zstd-fastest"},"splitter":{},"actions":{},"#,
    r#""osSnapshots":{"volumeShadowCopy":{"enable":0}},"logging":{"directories":{"snapshotted":5,"ignored":5},"#,
    r#""entries":{"snapshotted":0,"ignored":5,"cacheHit":0,"cacheMiss":0}},"#,
    r#""upload":{"maxParallelSnapshots":1,"parallelUploadAboveSize":2147483648}}}"#,
    "\n"
);

#[test]
fn exports_are_kopias_documents() {
    let home = Home::connected();
    assert_eq!(policy(&home, &["export"]).expect(0).stdout, NEW);
    policy(&home, &["set", "bob@other:/x", "--keep-latest=5", "--add-ignore=*.tmp"]).expect(0);
    policy(&home, &["set", "@other", "--keep-daily=9"]).expect(0);
    let all = exported(&home);
    let keys: Vec<_> = all.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["(global)", "@other", "bob@other:/x"]);
    let one = policy(&home, &["export", "bob@other:/x"]).expect(0);
    assert!(
        one.stdout
            .starts_with(r#"{"bob@other:/x":{"retention":{"keepLatest":5},"files":{"ignore":["*.tmp"]},"#)
    );
    let indented = policy(&home, &["export", "--json-indent", "@other"]).expect(0);
    assert!(indented.stdout.starts_with("{\n  \"@other\": {\n    \"retention\": {"), "{indented:?}");
    policy(&home, &["export", "nobody@nowhere:/z"]).expect(1);
    policy(&home, &["export", "--global", "@other"]).expect(2);

    let file = home.path("p.json");
    let to_file = format!("--to-file={}", file.display());
    policy(&home, &["export", "--overwrite"]).expect(2);
    assert_eq!(policy(&home, &["export", &to_file]).expect(0).stdout, "");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    policy(&home, &["set", "@other", "--keep-daily=10"]).expect(0);
    let exists = policy(&home, &["export", &to_file]).expect(1);
    assert!(exists.stderr.contains("--overwrite"), "{exists:?}");
    policy(&home, &["export", &to_file, "nobody@nowhere:/z", "--overwrite"]).expect(1);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept, all, "a failed export leaves the file as it was");
    policy(&home, &["export", &to_file, "--overwrite"]).expect(0);
    let new: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(new["@other"]["retention"]["keepDaily"], 10);
}

#[test]
fn imports_set_what_differs_and_nothing_else() {
    let home = Home::connected();
    policy(&home, &["set", "bob@other:/x", "--keep-latest=5"]).expect(0);
    let file = home.path("p.json");
    let (to, from) = (format!("--to-file={}", file.display()), format!("--from-file={}", file.display()));
    policy(&home, &["export", &to]).expect(0);
    let before = blobs(&home);
    let same = policy(&home, &["import", &from]).expect(0);
    assert!(same.stderr.contains("Nothing to change"), "{same:?}");
    assert_eq!(blobs(&home), before, "what is so already is not written");
    policy(&home, &["set", "bob@other:/x", "--keep-latest=5"]).expect(0);
    assert_eq!(blobs(&home), before, "nor is it by `set`");

    let import = |args: &[&str], text: &str| policy_with(&home, &[&["import"], args].concat(), text, "true");
    let unknown = r#"{"bob@other:/y":{"retention":{"keepLatest":1},"nosuch":{}}}"#;
    let refused = import(&[], unknown).expect(1);
    assert!(refused.stderr.contains("nosuch") && refused.stderr.contains("bob@other:/y"), "{refused:?}");
    for broken in ["{broken", "", "[]", r#"{"bob@other:/y":[]}"#, r#"{"bob@":{}}"#] {
        import(&[], broken).expect(1);
    }
    let half = r#"{"bob@other:/y":{},"bob@other:/z":{"scheduling":{"manual":true,"cron":["0 1 * * *"]}}}"#;
    import(&[], half).expect(1);
    assert!(exported(&home).get("bob@other:/y").is_none(), "what is wrong in part is not imported in part");
    import(&["--allow-unknown-fields"], unknown).expect(0);
    assert_eq!(exported(&home)["bob@other:/y"]["retention"], json!({"keepLatest": 1}));

    let two = r#"{"bob@other:/q":{},"bob@other:/y":{"retention":{"keepLatest":2}}}"#;
    import(&["bob@other:/y"], two).expect(0);
    let all = exported(&home);
    assert_eq!(all["bob@other:/y"]["retention"]["keepLatest"], 2);
    assert!(all.get("bob@other:/q").is_none(), "only what was asked for");
    import(&["--delete-other-policies"], r#"{"bob@other:/q":{}}"#).expect(0);
    assert_eq!(exported(&home).as_object().unwrap().keys().collect::<Vec<_>>(), ["bob@other:/q"]);
    policy(&home, &["import", "--from-file=/nowhere"]).expect(1);
}

#[test]
fn an_editor_changes_a_policy() {
    let home = Home::connected();
    std::fs::create_dir(home.path("tmp")).unwrap();
    let target = "bob@other:/x";
    let edit = |input: &str, editor: &str| policy_with(&home, &["edit", target], input, editor);
    let seen = home.path("seen");
    let keep = format!(
        "sed -i.bak -e w{} -e s/\"retention\":.{{}}/\"retention\":{{\"keepLatest\":3}}/",
        seen.display()
    );

    let before = blobs(&home);
    let unchanged = edit("y\n", "true").expect(0);
    assert!(unchanged.stderr.contains("unchanged"), "{unchanged:?}");
    let failed = edit("y\n", "false").expect(1);
    assert!(failed.stderr.contains("false"), "{failed:?}");
    edit("y\n", "/nowhere/editor").expect(1);
    let declined = edit("n\n", &keep).expect(0);
    assert!(
        declined.stderr.contains("\"keepLatest\": 3") && declined.stderr.contains("(y/N)"),
        "{declined:?}"
    );
    edit("", &keep).expect(0);
    assert_eq!(blobs(&home), before, "nothing was saved so far");

    edit("y\n", &keep).expect(0);
    assert_eq!(exported(&home)[target]["retention"], json!({"keepLatest": 3}));
    let text = std::fs::read_to_string(&seen).unwrap();
    assert!(text.starts_with("# The policy of bob@other:/x\n") && text.contains("  \"files\": {"), "{text}");
    assert_eq!(std::fs::read_dir(home.path("tmp")).unwrap().count(), 0, "the text is gone");
    policy(&home, &["edit"]).expect(2);
}

#[test]
fn a_broken_edit_can_be_mended_or_given_up() {
    let home = Home::connected();
    std::fs::create_dir(home.path("tmp")).unwrap();
    let script = home.path("ed.sh");
    // Breaks the text at first, mends it when it is opened again.
    let text = "#!/bin/sh\nif grep -q nosuch \"$1\"; then sed -i s/nosuch/keepDaily/ \"$1\"; else \
                sed -i 's/\"retention\": {}/\"retention\": {\"nosuch\": 4}/' \"$1\"; fi\n";
    write(&script, text.as_bytes());
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let edit = |input: &str| policy_with(&home, &["edit", "@other"], input, script.to_str().unwrap());
    for given_up in ["n\n", ""] {
        let run = edit(given_up).expect(1);
        assert!(run.stderr.contains("nosuch") && run.stderr.contains("nothing was changed"), "{run:?}");
    }
    assert!(exported(&home).get("@other").is_none());
    edit("\ny\n").expect(0);
    assert_eq!(exported(&home)["@other"]["retention"], json!({"keepDaily": 4}));

    // Somebody else is quicker.
    let other = format!(
        "#!/bin/sh\nsed -i 's/\"keepDaily\": 4/\"keepDaily\": 5/' \"$1\"\n{} policy set @other --keep-weekly=1\n",
        env!("CARGO_BIN_EXE_packhorse")
    );
    write(&script, other.as_bytes());
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let late = edit("y\n").expect(1);
    assert!(late.stderr.contains("somebody else"), "{late:?}");
    assert_eq!(exported(&home)["@other"]["retention"], json!({"keepDaily": 4, "keepWeekly": 1}));
}

/// A value for every flag of `policy set` that stands alone.
const VALUES: &[&str] = &[
    "--keep-latest=3",
    "--keep-hourly=4",
    "--keep-daily=5",
    "--keep-weekly=0",
    "--keep-monthly=inherit",
    "--keep-annual=7",
    "--ignore-identical-snapshots=true",
    "--add-ignore=*.tmp",
    "--remove-ignore=*.bak",
    "--add-dot-ignore=.gitignore",
    "--remove-dot-ignore=.nothing",
    "--max-file-size=1000",
    "--one-file-system=true",
    "--ignore-cache-dirs=false",
    "--ignore-file-errors=true",
    "--ignore-dir-errors=false",
    "--ignore-unknown-types=inherit",
    "--compression=zstd",
    "--compression-min-size=10",
    "--compression-max-size=100",
    "--add-only-compress=.txt",
    "--remove-only-compress=.md",
    "--add-never-compress=.zip",
    "--remove-never-compress=.gz",
    "--metadata-compression=none",
    "--splitter=FIXED-1M",
    "--snapshot-interval=1h",
    "--snapshot-time=18:30,9:05",
    "--snapshot-time-crontab=0 1 * * *;5 4 * * *",
    "--run-missed=false",
    "--before-folder-action=/bin/echo \"a b\" c",
    "--after-folder-action=/bin/true",
    "--before-snapshot-root-action=/bin/true",
    "--after-snapshot-root-action=/bin/true",
    "--inherit=false",
    "--max-parallel-file-reads=4",
    "--parallel-upload-above-size-mib=10",
    "--enable-volume-shadow-copy=when-available",
    "--log-dir-snapshotted=1",
    "--log-dir-ignored=2",
    "--log-entry-snapshotted=3",
    "--log-entry-ignored=0",
    "--log-entry-cache-hit=5",
    "--log-entry-cache-miss=inherit",
];

/// Flags that no value of [`VALUES`] goes together with, and what is asked for through them is so after the first time.
const ALONE: &[&[&str]] = &[
    &["--manual"],
    &["--clear-ignore", "--clear-dot-ignore", "--clear-only-compress", "--clear-never-compress"],
    &["--snapshot-time=inherit", "--snapshot-time-crontab=inherit", "--snapshot-interval=0s"],
    &["--before-folder-action=", "--after-folder-action="],
    &["--compression=inherit", "--metadata-compression=inherit", "--splitter=inherit"],
];

#[test]
fn what_is_so_already_is_not_written() {
    let home = Home::connected();
    let set = |target: &str, flags: &[&str]| policy(&home, &[&["set", target], flags].concat()).expect(0);
    let targets = ["@other", "bob@other", "bob@other:/x"];
    let global = |flags: &[&str]| policy(&home, &[&["set", "--global"], flags].concat()).expect(0);
    global(&["--max-parallel-snapshots=2"]);
    let before = blobs(&home);
    global(&["--max-parallel-snapshots=2"]);
    assert_eq!(blobs(&home), before);
    set(targets[2], VALUES);
    set(targets[1], &VALUES[..10]);
    let before = (blobs(&home), exported(&home));
    set(targets[2], VALUES);
    for (target, flags) in [(targets[2], &VALUES[20..30]), (targets[1], &VALUES[..3])] {
        let run = set(target, flags);
        assert!(run.stderr.contains("Nothing to change"), "{run:?}");
    }
    assert_eq!((blobs(&home), exported(&home)), before);
    for flags in ALONE {
        set(targets[0], flags);
        let before = blobs(&home);
        set(targets[0], flags);
        assert_eq!(blobs(&home), before, "{flags:?}");
    }
}

/// A flag that the test above does not know would not be tested.
#[test]
fn every_flag_that_sets_something_is_tried() {
    let home = Home::connected();
    let help = policy(&home, &["set", "--help"]).expect(0).stdout;
    let (flags, _) = help.split_once("Global options").unwrap();
    let known = VALUES.iter().chain(ALONE.iter().copied().flatten());
    let known: Vec<_> = known.map(|flag| flag.split_once('=').map_or(*flag, |(name, _)| name)).collect();
    let others = [
        "--global",
        "--help",
        "--max-parallel-snapshots",
        "--action-command-timeout",
        "--action-command-mode",
        "--persist-action-script",
    ];
    for word in flags.split_whitespace().filter(|word| word.starts_with("--")) {
        assert!(known.contains(&word) || others.contains(&word), "{word} is not tried");
    }
}
