//! What is done to snapshots that are there already: expired, pinned, deleted, listed, given to another source.

use crate::cli::{Home, Run, write};
use serde_json::{Value, json};

/// A home with a repository and a small source in `src`.
fn home() -> Home {
    let home = Home::connected();
    std::fs::create_dir_all(home.path("src/sub")).unwrap();
    write(&home.path("src/hello.txt"), b"hello\n");
    write(&home.path("src/sub/ten.bin"), &[b'x'; 10_000]);
    home
}

fn path(home: &Home, name: &str) -> String {
    home.path(name).to_str().unwrap().to_owned()
}

/// Makes a snapshot of `src` that begins at noon of a day of 2024, as `source` or as its own; its document.
fn snapshot(home: &Home, day: &str, source: Option<&str>) -> Value {
    let time = format!("--start-time=2024-{day} 12:00:00 UTC");
    let source = source.map(|source| format!("--override-source={source}"));
    let src = path(home, "src");
    let mut args = vec!["snapshot", "create", &src, &time, "--json"];
    args.extend(source.as_deref());
    home.run(&args).expect(0).json()
}

fn id(snapshot: &Value) -> &str {
    snapshot["id"].as_str().unwrap()
}

fn list(home: &Home) -> Vec<Value> {
    home.run(&["snapshot", "list", "--all", "--json"]).expect(0).json().as_array().unwrap().clone()
}

/// Days and sources of what is listed.
fn days(home: &Home) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let day = |snapshot: &Value| text(&snapshot["startTime"])[5..10].to_owned();
    let source = |snapshot: &Value| {
        let part = |key: &str| text(&snapshot["source"][key]);
        format!("{}@{}:{}", part("userName"), part("host"), part("path"))
    };
    list(home).iter().map(|snapshot| (day(snapshot), source(snapshot))).collect()
}

fn snapshot_command(home: &Home, args: &[&str]) -> Run {
    home.run(&[&["snapshot"], args].concat())
}

/// How many blobs the store holds.
fn blobs(home: &Home) -> usize {
    let files = walkdir::WalkDir::new(home.path("repo")).into_iter().map(|entry| entry.unwrap());
    files.filter(|entry| entry.file_type().is_file()).count()
}

const KEEP_TWO: [&str; 6] = [
    "--keep-latest=2",
    "--keep-hourly=0",
    "--keep-daily=0",
    "--keep-weekly=0",
    "--keep-monthly=0",
    "--keep-annual=0",
];

#[test]
fn a_refresh_shows_what_others_have_written() {
    use crate::support::world::{World, begin, small_format};
    use packhorse::policy::{Policy, PolicyStore, SourceInfo};
    let world = World::new(small_format());
    let (early, late) = (world.open(), world.open());
    let target = SourceInfo::new("", "h", "");
    let mut writer = begin(&late);
    let mut policy = Policy::default();
    policy.retention.keep_latest = Some(1);
    assert!(policy.save(&target, &mut writer).unwrap());
    writer.flush().unwrap();
    let known = || PolicyStore::new(&early.load_manifests().unwrap()).defined(&target).unwrap();
    assert_eq!(known(), None);
    early.contents().refresh().unwrap();
    assert_eq!(known(), Some(policy), "within the time for which a view of the epochs may be used");
}

#[test]
fn expiry_deletes_what_policies_do_not_keep() {
    let home = home();
    for day in ["01-01", "01-02", "01-03", "01-04"] {
        for source in ["bob@other:/x", "bob@other:/y", "carol@other:/z"] {
            snapshot(&home, day, Some(source));
        }
    }
    let expire = |args: &[&str]| snapshot_command(&home, &[&["expire"], args].concat());
    assert!(expire(&[]).expect(0).stderr.contains("--all"));
    let kept = expire(&["bob@other:/x"]).expect(0);
    assert!(kept.stderr.contains("Nothing to delete of bob@other:/x"), "{kept:?}");
    home.run(&[&["policy", "set", "bob@other:/x"], &KEEP_TWO[..]].concat()).expect(0);
    home.run(&[&["policy", "set", "carol@other:/z"], &KEEP_TWO[..]].concat()).expect(0);

    let before = blobs(&home);
    let would = expire(&["--all"]).expect(0);
    assert!(would.stderr.contains("Would delete 2 snapshots of bob@other:/x (pass --delete"), "{would:?}");
    assert!(would.stderr.contains("Nothing to delete of bob@other:/y"), "{would:?}");
    assert_eq!((list(&home).len(), blobs(&home)), (12, before), "a dry run changes nothing");

    let did = expire(&["bob@other", "bob@other:/x", "--delete"]).expect(0);
    assert!(did.stderr.contains("Deleting 2 snapshots of bob@other\n"), "{did:?}");
    assert!(did.stderr.contains("Nothing to delete of bob@other:/x"), "each goes once: {did:?}");
    assert_eq!(list(&home).len(), 10);
    expire(&["@other", "--delete"]).expect(0);
    let kept: Vec<_> = days(&home).into_iter().filter(|(_, source)| source != "bob@other:/y").collect();
    let wanted = [
        ("01-03", "bob@other:/x"),
        ("01-04", "bob@other:/x"),
        ("01-03", "carol@other:/z"),
        ("01-04", "carol@other:/z"),
    ];
    assert_eq!(kept, wanted.map(|(day, source)| (day.to_owned(), source.to_owned())));

    let before = blobs(&home);
    let again = expire(&["--all", "--delete"]).expect(0);
    assert!(!again.stderr.contains("Deleting"), "{again:?}");
    assert_eq!(blobs(&home), before, "nothing to do writes nothing");
    expire(&["--all", "bob@other:/x"]).expect(2);
    expire(&["(global)", "--delete"]).expect(2);
}

#[test]
fn pins_hold_snapshots_and_give_them_a_new_id() {
    let home = home();
    let src = path(&home, "src");
    let old = snapshot(&home, "01-01", None);
    snapshot(&home, "01-02", None);
    let pin = |args: &[&str]| snapshot_command(&home, &[&["pin"], args].concat());
    pin(&[id(&old)]).expect(2);
    pin(&[id(&old), "--add=y", "--add=x", "--add=x"]).expect(0);
    let pinned = list(&home).into_iter().find(|listed| listed["startTime"] == old["startTime"]).unwrap();
    assert_eq!(pinned["pins"], json!(["x", "y"]));
    assert_ne!(id(&pinned), id(&old));
    pin(&[id(&old), "--add=z"]).expect(1);
    let before = blobs(&home);
    let same = pin(&[id(&pinned), "--add=x", "--remove=none"]).expect(0);
    assert!(same.stderr.contains("Nothing to change"), "{same:?}");
    assert_eq!(blobs(&home), before);

    home.run(&[&["policy", "set", &src], &KEEP_TWO[..]].concat()).expect(0);
    home.run(&["policy", "set", &src, "--keep-latest=1"]).expect(0);
    snapshot_command(&home, &["expire", &src, "--delete"]).expect(0);
    assert_eq!(list(&home).len(), 2, "the pinned one stays");
    pin(&[id(&pinned), id(&pinned), "--remove=x", "--remove=y"]).expect(0);
    assert!(list(&home)[0].get("pins").is_none());
    snapshot_command(&home, &["expire", &src, "--delete"]).expect(0);
    assert_eq!(days(&home).len(), 1);

    // By root: all snapshots that share it.
    let other = snapshot(&home, "01-05", Some("bob@other:/x"));
    pin(&[other["rootEntry"]["obj"].as_str().unwrap(), "--add=root"]).expect(0);
    assert!(list(&home).iter().all(|snapshot| snapshot["pins"] == json!(["root"])));
    pin(&["00000000000000000000000000000000", "--add=x"]).expect(1);
    pin(&["nonsense", "--add=x"]).expect(1);
}

#[test]
fn a_source_is_deleted_as_a_whole() {
    let home = home();
    snapshot(&home, "01-01", Some("bob@other:/x"));
    snapshot(&home, "01-02", Some("bob@other:/x"));
    snapshot(&home, "01-03", Some("bob@other:/y"));
    let delete = |args: &[&str]| snapshot_command(&home, &[&["delete"], args].concat());
    let would = delete(&["--all-snapshots-for-source", "bob@other:/x"]).expect(0);
    assert_eq!(would.stderr.matches("Would delete").count(), 2, "{would:?}");
    assert_eq!(list(&home).len(), 3);
    delete(&["--all-snapshots-for-source", "bob@other:/none", "--delete"]).expect(1);
    delete(&["--all-snapshots-for-source", "bob@other", "--delete"]).expect(2);
    delete(&["--all-snapshots-for-source", "bob@other:/x", "--unsafe-ignore-source"]).expect(0);
    assert_eq!(days(&home), [("01-03".to_owned(), "bob@other:/y".to_owned())]);
}

#[test]
fn histories_change_their_names() {
    let home = home();
    snapshot(&home, "01-01", Some("bob@other:/x"));
    snapshot(&home, "01-02", Some("bob@other:/x"));
    snapshot(&home, "01-03", Some("carol@other:/y"));
    let run = |args: &[&str]| snapshot_command(&home, args);
    let names = |wanted: &[(&str, &str)]| {
        let wanted: Vec<_> =
            wanted.iter().map(|(day, name)| ((*day).to_owned(), (*name).to_owned())).collect();
        assert_eq!(days(&home), wanted);
    };
    let dry = run(&["copy-history", "bob@other", "dora@new", "--dry-run"]).expect(0);
    assert_eq!(dry.stderr.matches("copying (dry run) bob@other:/x").count(), 2, "{dry:?}");
    assert_eq!(list(&home).len(), 3);
    run(&["copy-history", "bob@other:/x", "dora@new:/z"]).expect(0);
    let again = run(&["copy-history", "bob@other:/x", "dora@new:/z"]).expect(0);
    assert_eq!(again.stderr.matches("is there already").count(), 2, "{again:?}");
    let (first, second) = (("01-01", "bob@other:/x"), ("01-02", "bob@other:/x"));
    let carol = ("01-03", "carol@other:/y");
    names(&[first, second, carol, ("01-01", "dora@new:/z"), ("01-02", "dora@new:/z")]);

    run(&["move-history", "dora@new:/z", "bob@other:/x", "-n"]).expect(0);
    assert_eq!(list(&home).len(), 5);
    run(&["move-history", "dora@new:/z", "bob@other:/x"]).expect(0);
    names(&[first, second, carol]);
    run(&["move-history", "@other", "@renamed"]).expect(0);
    names(&[("01-01", "bob@renamed:/x"), ("01-02", "bob@renamed:/x"), ("01-03", "carol@renamed:/y")]);
    run(&["move-history", "bob@renamed", "@other"]).expect(0);
    run(&["move-history", "carol@renamed:/y", "carol@other"]).expect(0);
    names(&[first, second, carol]);
    run(&["copy-history", "none@none", "x@y"]).expect(0);
    run(&["copy-history", "bob@other", "bob@other"]).expect(0);
    for bad in [["@other", "x@y"], ["bob@other", "x@y:/p"], ["@other", "x@y:/p"], ["(global)", "@y"]] {
        run(&["copy-history", bad[0], bad[1]]).expect(1);
    }
    names(&[first, second, carol]);
    // Everything else of the snapshot goes along.
    let kept = id(&list(&home)[0]).to_owned();
    run(&["pin", &kept, "--add=p"]).expect(0);
    run(&["move-history", "bob@other:/x", "@there"]).expect(0);
    let moved = list(&home).into_iter().find(|listed| listed["source"]["host"] == "there").unwrap();
    assert_eq!((&moved["pins"], &moved["source"]["userName"]), (&json!(["p"]), &json!("bob")));
    run(&["verify"]).expect(0);
}

#[test]
fn lists_count_what_each_snapshot_adds() {
    let home = home();
    snapshot(&home, "01-01", None);
    snapshot(&home, "01-02", None);
    write(&home.path("src/new.bin"), &[b'y'; 500]);
    snapshot(&home, "01-03", None);
    let counted = home.run(&["snapshot", "list", "--json", "--storage-stats"]).expect(0);
    let first = r#""storageStats":{"newData":{"objectBytes":10006,"originalContentBytes":10006,"#;
    assert!(counted.stdout.contains(first), "keys in Kopia's order: {counted:?}");
    let stats: Vec<_> =
        counted.json().as_array().unwrap().iter().map(|listed| listed["storageStats"].clone()).collect();
    let new = |at: usize, key: &str| stats[at]["newData"][key].as_u64().unwrap();
    assert_eq!((new(0, "fileObjects"), new(0, "dirObjects"), new(0, "contents")), (2, 2, 4));
    assert_eq!((new(1, "fileObjects"), new(1, "dirObjects"), new(1, "contents")), (0, 0, 0));
    assert_eq!((new(2, "fileObjects"), new(2, "dirObjects"), new(2, "objectBytes")), (1, 1, 500));
    assert!(new(0, "packedContentBytes") > 10_006, "stored uncompressed, with what seals it");
    assert_eq!(stats[2]["runningTotal"]["objectBytes"], 10_506);
    let text = home.run(&["snapshot", "list", "-l", "--storage-stats"]).expect(0).stdout;
    assert!(text.contains(" files:3 dirs:2 new-data:528 B new-files:1 new-dirs:1 compression:0% "), "{text}");
    assert!(!home.run(&["snapshot", "list"]).expect(0).stdout.contains("new-data"));
}
