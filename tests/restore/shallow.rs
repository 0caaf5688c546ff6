//! Shallow restores: placeholders, and the way back.

use super::*;
use packhorse::base::ErrorClass;
use packhorse::restore::expand;
use packhorse::snapshot::read_placeholder;

fn shallow(depth: usize) -> RestoreOptions {
    RestoreOptions { shallow_at_depth: Some(depth), ..RestoreOptions::default() }
}

fn tree(fixture: &Fixture) -> DirEntry {
    let file = fixture.file("c", &noise(300_000));
    let deep = fixture.directory("deep", vec![file, fixture.link("up", "../a")]);
    let sub = fixture.directory("sub", vec![deep, fixture.file("b", b"bee")]);
    let name = "n".repeat(250);
    let long = fixture.directory(&name, vec![fixture.file("inside", b"i"), fixture.file(&name, b"n")]);
    fixture.directory("", vec![sub, long, fixture.file("a", b"hello"), fixture.link("link", "a")])
}

/// Without the times of directories, which change when something in them is filled in.
fn below(root: &Path) -> Vec<Seen> {
    let untimed =
        |seen: Seen| if seen.mode & 0o170_000 == 0o040_000 { Seen { mtime: (0, 0), ..seen } } else { seen };
    look(root).into_iter().map(untimed).collect()
}

fn placeholders(root: &Path) -> Vec<std::path::PathBuf> {
    let found = names(root)
        .into_iter()
        .filter(|name| name.ends_with(".kopia-entry") && !name.ends_with("/.kopia-entry"));
    found.map(|name| root.join(name)).collect()
}

#[test]
fn placeholders_lie_where_kopia_puts_them_and_become_what_they_stand_for() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = tree(&fixture);
    let (full, target) = (temp.path().join("full"), temp.path().join("target"));
    fixture.restore(&root, &full, &RestoreOptions::default()).unwrap();
    let long = "n".repeat(250);
    let stats = fixture.restore(&root, &target, &shallow(0)).unwrap();
    assert_eq!((stats.files, stats.placeholders, stats.symlinks), (1, 3, 1), "one name is too long");
    let inside = [format!("{long}/inside.kopia-entry"), format!("{long}/{long}")];
    let mut wanted: Vec<_> = ["a.kopia-entry", "link", "sub.kopia-entry", "sub.kopia-entry/.kopia-entry"]
        .into_iter()
        .map(str::to_owned)
        .chain([long.clone()])
        .chain(inside)
        .collect();
    wanted.sort();
    let mut found = names(&target);
    found.sort();
    assert_eq!(found, wanted);
    let mode = |name: &str| std::fs::metadata(target.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("a.kopia-entry"), 0o444);
    assert_eq!((mode("sub.kopia-entry"), mode("sub.kopia-entry/.kopia-entry")), (0o700, 0o555));
    let json = std::fs::read(target.join("a.kopia-entry")).unwrap();
    assert!(json.ends_with(b"}\n"));
    let entry = read_placeholder(&*json, EntryType::File).unwrap();
    assert_eq!((entry.name.as_str(), entry.size), ("a", 5));
    // Level by level, as whoever looks around would.
    let mut rounds = 0;
    while let Some(path) = placeholders(&target).first() {
        expand(&fixture.repository, path, &shallow(0), &Counters::default()).unwrap();
        rounds += 1;
    }
    assert_eq!(rounds, 6);
    assert!(below(&target) == below(&full));
}

#[test]
fn a_full_restore_fills_in_everything() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = tree(&fixture);
    let (full, target) = (temp.path().join("full"), temp.path().join("target"));
    fixture.restore(&root, &full, &RestoreOptions::default()).unwrap();
    for depth in 0..3 {
        fixture.restore(&root, &target, &shallow(depth)).unwrap();
        // Once more: older placeholders are replaced.
        fixture.restore(&root, &target, &shallow(depth)).unwrap();
        assert!(!placeholders(&target).is_empty());
        fixture.restore(&root, &target, &RestoreOptions::default()).unwrap();
        assert!(look(&target) == look(&full), "depth {depth}");
        std::fs::remove_dir_all(&target).unwrap();
    }
    let options = RestoreOptions { placeholder_bytes_min: 5, ..shallow(1) };
    let stats = fixture.restore(&root, &target, &options).unwrap();
    assert_eq!((stats.files, stats.placeholders), (4, 1), "only `deep` is left out");
}

#[test]
fn what_is_there_is_in_the_way_of_placeholders_and_stays() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = fixture.directory("", vec![fixture.file("a", b"hello"), fixture.directory("d", vec![])]);
    put(&temp.path().join("a"), b"precious");
    std::fs::create_dir(temp.path().join("d")).unwrap();
    let error = fixture.restore(&root, temp.path(), &shallow(0)).unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error:?}");
    let ignoring = RestoreOptions { ignore_errors: true, ..shallow(0) };
    let stats = fixture.restore(&root, temp.path(), &ignoring).unwrap();
    assert_eq!((stats.ignored_errors, stats.placeholders), (2, 0));
    assert_eq!(names(temp.path()), ["a", "d"]);
    assert_eq!(std::fs::read(temp.path().join("a")).unwrap(), b"precious");
}

#[test]
fn a_placeholder_goes_only_when_all_of_it_is_there() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let lost =
        DirEntry { obj: "0123456789abcdef0123456789abcdef".parse().unwrap(), ..fixture.file("lost", b"x") };
    let sub = fixture.directory("sub", vec![lost, fixture.file("b", b"bee")]);
    let root = fixture.directory("", vec![sub]);
    fixture.restore(&root, temp.path(), &shallow(0)).unwrap();
    for ignore_errors in [false, true] {
        let options = RestoreOptions { ignore_errors, ..RestoreOptions::default() };
        let restored = fixture.restore(&root, temp.path(), &options);
        assert_eq!(restored.is_ok(), ignore_errors);
        let placeholder = temp.path().join("sub.kopia-entry");
        let expanded = expand(&fixture.repository, &placeholder, &options, &Counters::default());
        assert_eq!(expanded.is_ok(), ignore_errors);
        assert!(placeholder.join(".kopia-entry").exists());
    }
    // A stored file that only looks like a placeholder is nobody's.
    let alike = fixture.directory("", vec![fixture.file("a", b"1"), fixture.file("a.kopia-entry", b"2")]);
    for _ in 0..2 {
        fixture.restore(&alike, &temp.path().join("alike"), &RestoreOptions::default()).unwrap();
        assert_eq!(names(&temp.path().join("alike")), ["a", "a.kopia-entry"]);
    }
}

#[test]
fn what_is_no_placeholder_is_refused() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    for (name, text) in [("a.kopia-entry", "{}"), ("b.kopia-entry", "no JSON"), ("plain", "{}")] {
        put(&temp.path().join(name), text.as_bytes());
        let path = temp.path().join(name);
        let error = expand(&fixture.repository, &path, &shallow(0), &Counters::default()).unwrap_err();
        assert!(matches!(error, Error::Placeholder { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Invalid);
    }
    assert_eq!(names(temp.path()), ["a.kopia-entry", "b.kopia-entry", "plain"]);
}

#[test]
fn a_tree_with_placeholders_is_saved_as_the_tree_they_stand_for() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let full = temp.path().join("full");
    fixture.restore(&tree(&fixture), &full, &RestoreOptions::default()).unwrap();
    let saved = save(&fixture, &full, EntryForm::Plain);
    for depth in 0..3 {
        let target = temp.path().join(format!("{depth}"));
        fixture.restore(&saved, &target, &shallow(depth)).unwrap();
        let again = save(&fixture, &target, EntryForm::Plain);
        assert_eq!((again.obj, &again.summ), (saved.obj, &saved.summ), "depth {depth}");
    }
}

#[test]
fn placeholders_that_cannot_be_trusted_are_failures_of_the_upload() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    let root = fixture
        .directory("", vec![fixture.file("a", b"1"), fixture.file("b", b"2"), fixture.file("c", b"3")]);
    fixture.restore(&root, temp.path(), &shallow(0)).unwrap();
    put(&temp.path().join("a"), b"beside its placeholder");
    put(&temp.path().join("b.kopia-entry"), b"{");
    let foreign = std::fs::read_to_string(temp.path().join("c.kopia-entry")).unwrap();
    let entry = read_placeholder(foreign.as_bytes(), EntryType::File).unwrap();
    let foreign = foreign.replace(&entry.obj.to_string(), "0123456789abcdef0123456789abcdef");
    put(&temp.path().join("c.kopia-entry"), foreign.as_bytes());
    let summary = save(&fixture, temp.path(), EntryForm::Plain).summ.unwrap();
    assert_eq!((summary.num_failed, summary.files), (3, 1), "{summary:?}");
    let paths: Vec<_> = summary.errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["a", "b", "c"]);
}
