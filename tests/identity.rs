//! Which file an entry stood for: changes that keep name, size and time are found, and nothing else is read twice.

use crate::cli::Home;
use crate::support::live_tree::{set_mtime, write};
use crate::support::world::{self, World, begin, manifest, source};
use packhorse::base::{Clock, Counter, Counters, FixedClock, Monitor, SystemClock, Timestamp};
use packhorse::blob::Memory;
use packhorse::content::Scratch;
use packhorse::format::IdPrefix;
use packhorse::object::ObjectOptions;
use packhorse::policy::PolicyTree;
use packhorse::snapshot::{
    Catalog, DirEntry, EntryForm, SnapshotStats, UploadOptions, Uploaded, read_directory, upload,
};
use serde_json::Value;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
/// Longer than the files' clock takes from one time to the next.
const TICK: Duration = Duration::from_millis(60);

/// A repository, and a source with files of one content and of many, in a folder and above it.
struct Stage {
    world: World,
    base: tempfile::TempDir,
}

/// What a run made.
struct Saved {
    read: u64,
    known: u64,
    root: DirEntry,
}

impl Stage {
    /// All that is there by now was changed an hour ago.
    fn new() -> Self {
        let stage = Self::at(SystemClock.now());
        stage.world.clock.advance(HOUR);
        stage
    }

    /// By a clock that stands at `now`.
    fn at(now: Timestamp) -> Self {
        let clock = Arc::new(FixedClock::new(now));
        let storage = Arc::new(Memory::new(clock.clone()));
        let world = World::on(storage, clock, world::small_format());
        let stage = Self { world, base: tempfile::tempdir().unwrap() };
        for (name, data) in [("a", &b"one"[..]), ("sub/b", b"two"), ("big", &world::noise(1, 300_000))] {
            write(&stage.path(name), data);
        }
        symlink("a", stage.path("link")).unwrap();
        std::thread::sleep(TICK);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join("source").join(name)
    }

    fn save(&self, entries: EntryForm) -> Saved {
        self.save_with(&UploadOptions { entries, ..UploadOptions::default() }, "", &Counters::default())
    }

    fn identified(&self) -> Saved {
        self.save(EntryForm::Identified)
    }

    fn save_with(&self, options: &UploadOptions, incomplete: &str, monitor: &impl Watched) -> Saved {
        self.world.clock.advance(Duration::from_secs(1));
        let repository = self.world.open();
        let mut writer = begin(&repository);
        let previous = Catalog::new(writer.manifests()).previous(&source(), None).unwrap();
        let policies = PolicyTree::built_in();
        let mut uploaded =
            upload(&mut writer, &self.path(""), &policies, &previous, monitor, options).unwrap();
        incomplete.clone_into(&mut uploaded.incomplete_reason);
        let now = self.world.clock.now();
        manifest(source(), &uploaded, now, now).save(&mut writer).unwrap();
        writer.flush().unwrap();
        let of = |counter| monitor.counters().get(counter);
        let (read, known) = (of(Counter::HashedFiles), of(Counter::CachedFiles));
        Saved { read, known, root: uploaded.root_entry }
    }

    /// Saves a snapshot whose root is that of another, edited.
    fn save_as(&self, saved: &Saved, edit: impl Fn(String) -> String) {
        let repository = self.world.open();
        let mut writer = begin(&repository);
        let before = String::from_utf8(repository.objects().read_all(saved.root.obj).unwrap()).unwrap();
        let json = edit(before.clone());
        assert_ne!(json, before);
        let options =
            ObjectOptions { prefix: IdPrefix::DIRECTORY, compressor: None, metadata_compressor: None };
        let obj = writer.objects().write(&mut json.into_bytes(), &options, &mut Scratch::default()).unwrap();
        self.world.clock.advance(Duration::from_secs(1));
        let now = self.world.clock.now();
        let uploaded = Uploaded {
            root_entry: DirEntry { obj, ..saved.root.clone() },
            stats: SnapshotStats::default(),
            incomplete_reason: String::new(),
        };
        manifest(source(), &uploaded, now, now).save(&mut writer).unwrap();
        writer.flush().unwrap();
    }

    /// The entry of a file, and what it says of it.
    fn entry(&self, saved: &Saved, name: &str) -> DirEntry {
        let repository = self.world.open();
        let list = |entry: &DirEntry| read_directory(repository.objects(), entry.obj).unwrap().entries;
        let find = |entries: Vec<DirEntry>, name: &str| {
            entries.into_iter().find(|entry| entry.name == name).unwrap()
        };
        let above = list(&saved.root);
        match name.split_once('/') {
            Some((directory, name)) => find(list(&find(above, directory)), name),
            None => find(above, name),
        }
    }

    /// The ctime in the entry of a file.
    fn ctime(&self, saved: &Saved, name: &str) -> Option<i64> {
        let supplement = self.entry(saved, name).supplement.unwrap();
        assert_eq!(supplement.inode, Some(self.path(name).metadata().unwrap().ino()));
        supplement.ctime_nanos
    }

    fn data(&self, saved: &Saved, name: &str) -> Vec<u8> {
        self.world.open().objects().read_all(self.entry(saved, name).obj).unwrap()
    }
}

trait Watched: Monitor {
    fn counters(&self) -> &Counters;
}

impl Watched for Counters {
    fn counters(&self) -> &Counters {
        self
    }
}

/// Changes a file as soon as something was read.
struct Meddler<'a> {
    counters: Counters,
    done: AtomicBool,
    meddle: &'a (dyn Fn() + Sync),
}

impl Monitor for Meddler<'_> {
    fn add(&self, counter: Counter, n: u64) {
        self.counters.add(counter, n);
        if counter == Counter::HashedBytes && !self.done.swap(true, Ordering::Relaxed) {
            (self.meddle)();
        }
    }
}

impl Watched for Meddler<'_> {
    fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn mtime(path: &Path) -> i64 {
    let metadata = path.symlink_metadata().unwrap();
    metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
}

fn ctime(path: &Path) -> i64 {
    let metadata = path.metadata().unwrap();
    metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec()
}

/// Other bytes at the same time: `touch -r`.
fn rewrite(path: &Path, data: &[u8]) {
    let before = mtime(path);
    write(path, data);
    set_mtime(path, before);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn a_file_rewritten_at_the_same_time_is_read_again() {
    let stage = Stage::new();
    assert_eq!(stage.identified().read, 3);
    assert_eq!(stage.identified().known, 4, "links among them");
    rewrite(&stage.path("a"), b"ONE");
    rewrite(&stage.path("sub/b"), b"TWO");
    rewrite(&stage.path("big"), &world::noise(2, 300_000));
    // The test could not fail if Kopia's rule found them.
    assert_eq!(stage.save_with(&UploadOptions::default(), "only looked at", &Counters::default()).read, 0);
    let saved = stage.identified();
    assert_eq!((saved.read, saved.known), (3, 1));
    assert_eq!(stage.data(&saved, "a"), b"ONE");
    assert_eq!(stage.data(&saved, "sub/b"), b"TWO");
    assert_eq!(stage.data(&saved, "big"), world::noise(2, 300_000));
    assert_eq!(stage.identified().read, 0);
}

#[test]
fn a_file_replaced_by_another_of_its_size_and_time_is_read_again() {
    let stage = Stage::new();
    stage.identified();
    let other = stage.base.path().join("other");
    write(&other, b"ONE");
    set_mtime(&other, mtime(&stage.path("a")));
    std::fs::rename(&other, stage.path("a")).unwrap();
    let saved = stage.identified();
    assert_eq!((saved.read, stage.data(&saved, "a")), (1, b"ONE".to_vec()));
    // Two that change places have new times, too, where rename sets them.
    let before = mtime(&stage.path("a"));
    set_mtime(&stage.path("sub/b"), before);
    stage.identified();
    std::fs::rename(stage.path("a"), &other).unwrap();
    std::fs::rename(stage.path("sub/b"), stage.path("a")).unwrap();
    std::fs::rename(&other, stage.path("sub/b")).unwrap();
    let saved = stage.identified();
    assert_eq!((stage.data(&saved, "a"), stage.data(&saved, "sub/b")), (b"two".to_vec(), b"ONE".to_vec()));
}

#[test]
fn another_link_to_a_file_makes_it_read_again_and_stored_no_second_time() {
    let stage = Stage::new();
    let first = stage.identified();
    std::fs::hard_link(stage.path("big"), stage.path("same")).unwrap();
    let second = stage.identified();
    assert_eq!((second.read, second.known), (2, 3), "by both names");
    let object = |saved, name| stage.entry(saved, name).obj;
    assert_eq!(object(&first, "big"), object(&second, "big"));
    assert_eq!(object(&second, "big"), object(&second, "same"));
    assert_eq!(stage.identified().read, 0);
    std::fs::remove_file(stage.path("same")).unwrap();
    assert_eq!(stage.identified().read, 1);
}

#[test]
fn a_tree_that_was_copied_back_is_read_once() {
    let stage = Stage::new();
    let first = stage.identified();
    let elsewhere = stage.base.path().join("elsewhere");
    copy(&stage.path("."), &elsewhere);
    std::fs::remove_dir_all(stage.path("")).unwrap();
    std::fs::rename(&elsewhere, stage.path("")).unwrap();
    assert_eq!(stage.save_with(&UploadOptions::default(), "only looked at", &Counters::default()).read, 0);
    let second = stage.identified();
    assert_eq!(second.read, 3);
    assert_eq!(stage.entry(&first, "big").obj, stage.entry(&second, "big").obj);
    assert_eq!(stage.identified().read, 0);
}

#[test]
fn plain_entries_are_kopias_and_compared_by_its_rule() {
    let stage = Stage::new();
    let plain = stage.save(EntryForm::Plain);
    let identified = stage.identified();
    assert_eq!(identified.read, 0, "what does not say which file it was is taken over once");
    assert_eq!(stage.ctime(&identified, "sub/b"), Some(ctime(&stage.path("sub/b"))));
    assert!(stage.entry(&identified, "link").supplement.unwrap().ctime_nanos.is_some());
    let of_directory = stage.entry(&identified, "sub").supplement.unwrap();
    assert!(
        of_directory.inode.is_none() && of_directory.ctime_nanos.is_none() && of_directory.xattrs.is_some()
    );
    assert_ne!(identified.root.obj, plain.root.obj);
    let again = stage.save(EntryForm::Plain);
    assert_eq!((again.read, again.root.obj), (0, plain.root.obj), "the same bytes");
    // As in Kopia, and as after a snapshot by Kopia.
    rewrite(&stage.path("a"), b"ONE");
    let over = stage.identified();
    assert_eq!((over.read, stage.ctime(&over, "a")), (0, Some(ctime(&stage.path("a")))));
}

#[test]
fn what_does_not_know_the_file_is_not_believed_against_what_does() {
    let stage = Stage::new();
    stage.identified();
    rewrite(&stage.path("a"), b"ONE");
    // Somebody who compares by Kopia's rule takes over the old data, and does not get to the end.
    let checkpoint = stage.save_with(&UploadOptions::default(), "checkpoint", &Counters::default());
    assert_eq!(stage.data(&checkpoint, "a"), b"one");
    let saved = stage.identified();
    assert_eq!((saved.read, stage.data(&saved, "a")), (1, b"ONE".to_vec()));
    // One that knows it is believed, whichever snapshots there are besides.
    rewrite(&stage.path("a"), b"One");
    let options = UploadOptions { entries: EntryForm::Identified, ..UploadOptions::default() };
    assert_eq!(stage.save_with(&options, "checkpoint", &Counters::default()).read, 1);
    let saved = stage.identified();
    assert_eq!((saved.read, stage.data(&saved, "a")), (0, b"One".to_vec()));
}

#[test]
fn a_file_changed_just_before_it_was_read_is_read_again() {
    // A clock that is behind by more than the second that passes before each run.
    let stage = Stage::at(SystemClock.now().saturating_add_nanos(-2_000_000_000));
    write(&stage.path("new"), b"new");
    let first = stage.identified();
    assert_eq!(stage.ctime(&first, "new"), None);
    stage.world.clock.advance(HOUR);
    let second = stage.identified();
    assert_eq!(second.read, 4, "all of them were new");
    assert_eq!(stage.ctime(&second, "new"), Some(ctime(&stage.path("new"))));
    assert_eq!(stage.identified().read, 0);
    // Kopia's rule takes no notice.
    assert_eq!(stage.save(EntryForm::Plain).read, 0);
}

#[test]
fn a_file_changed_while_it_is_read_is_read_again() {
    let stage = Stage::new();
    for name in ["big", "a"] {
        let (path, size) = (stage.path(name), stage.path(name).metadata().unwrap().len());
        let before = ctime(&path);
        let meddle = || rewrite(&path, &world::noise(before.cast_unsigned(), size as usize));
        let (counters, done) = (Counters::default(), AtomicBool::new(false));
        let meddler = Meddler { counters, done, meddle: &meddle };
        let options = UploadOptions {
            entries: EntryForm::Identified,
            force_hash_percent: 100.0,
            parallel: 1,
            ..UploadOptions::default()
        };
        let first = stage.save_with(&options, "", &meddler);
        assert_eq!(stage.ctime(&first, name), Some(before), "the time is that of the look before");
        let second = stage.identified();
        assert_eq!(second.read, 1);
        assert_eq!(stage.data(&second, name), std::fs::read(&path).unwrap());
        assert_eq!(stage.identified().read, 0);
    }
}

#[test]
fn forced_reading_keeps_what_is_said_of_the_file() {
    let stage = Stage::new();
    let first = stage.identified();
    let options = UploadOptions {
        entries: EntryForm::Identified,
        force_hash_percent: 100.0,
        ..UploadOptions::default()
    };
    let forced = stage.save_with(&options, "", &Counters::default());
    assert_eq!((forced.read, forced.root.obj), (3, first.root.obj));
    assert_eq!(stage.identified().read, 0);
}

#[test]
fn a_link_replaced_at_the_same_time_is_read_again() {
    let stage = Stage::new();
    stage.identified();
    let before = mtime(&stage.path("link"));
    std::fs::remove_file(stage.path("link")).unwrap();
    symlink("b", stage.path("link")).unwrap();
    set_mtime(&stage.path("link"), before);
    assert_eq!(stage.save_with(&UploadOptions::default(), "only looked at", &Counters::default()).known, 4);
    let saved = stage.identified();
    assert_eq!((saved.known, stage.data(&saved, "link")), (3, b"b".to_vec()));
}

/// The form of entries before extended attributes were saved: what it says of the data still counts.
#[test]
fn an_entry_that_only_knows_the_data_is_looked_at_once_more() {
    let stage = Stage::new();
    let first = stage.identified();
    let path = stage.path("a");
    let is_set = rustix::fs::setxattr(&path, "user.new", b"1", rustix::fs::XattrFlags::empty());
    if is_set.is_err() {
        eprintln!("skipped: no extended attributes here");
        return;
    }
    let time = ctime(&path);
    let of_a = |json: String| {
        json.replace(&format!("\"t\":{}", stage.ctime(&first, "a").unwrap()), &format!("\"c\":{time}"))
    };
    stage.save_as(&first, of_a);
    stage.world.clock.advance(HOUR);
    let second = stage.identified();
    assert_eq!(second.read, 0);
    let said = stage.entry(&second, "a").supplement.unwrap();
    assert_eq!((said.ctime_nanos, said.is_data_only), (Some(time), false));
    assert_eq!(said.known_xattrs().unwrap().get(b"user.new"), Some(&b"1"[..]));
    assert_eq!(stage.identified().root.obj, second.root.obj);
}

impl Home {
    fn create(&self, flags: &[&str]) -> Value {
        let source = self.path("src").display().to_string();
        let create = ["snapshot", "create", &source, "--json", "--json-verbose"];
        self.run(&[&create, flags].concat()).expect(0).json()
    }

    /// The document of a snapshot's root.
    fn directory(&self, snapshot: &Value) -> Value {
        self.run(&["show", snapshot["rootEntry"]["obj"].as_str().unwrap()]).expect(0).json()
    }
}

fn read(snapshot: &Value) -> u64 {
    snapshot["stats"]["nonCachedFiles"].as_u64().unwrap()
}

fn home() -> Home {
    let home = Home::connected();
    for (name, data) in [("a", "one"), ("b.tmp", "two"), ("sub/c", "three")] {
        write(&home.path("src").join(name), data.as_bytes());
    }
    std::thread::sleep(TICK);
    home
}

#[test]
fn the_command_line_keeps_it_unless_told_otherwise() {
    let home = home();
    let first = home.create(&[]);
    let path = home.path("src/a");
    let metadata = path.metadata().unwrap();
    let expected = serde_json::json!({ "t": ctime(&path), "i": metadata.ino() });
    assert_eq!(home.directory(&first)["entries"][1]["ph"], expected);
    rewrite(&path, b"ONE");
    assert_eq!(read(&home.create(&[])), 1);
    rewrite(&path, b"One");
    let plain = home.create(&["--plain-entries"]);
    assert_eq!(read(&plain), 0);
    assert!(!home.directory(&plain).to_string().contains("\"ph\""));
    let by_variable = |value: &str, flags: &[&str]| -> Value {
        let source = home.path("src").display().to_string();
        let args = [&["snapshot", "create", &source, "--json"], flags].concat();
        home.run_with(&args, &[("PACKHORSE_PLAIN_ENTRIES", Some(value))]).expect(0).json()
    };
    assert_eq!(by_variable("true", &[])["rootEntry"]["obj"], plain["rootEntry"]["obj"]);
    assert_ne!(by_variable("true", &["--no-plain-entries"])["rootEntry"]["obj"], plain["rootEntry"]["obj"]);
    assert_ne!(by_variable("0", &[])["rootEntry"]["obj"], plain["rootEntry"]["obj"]);
    // A single file is always read, whatever is said of it.
    let file = home.run(&["snapshot", "create", &path.display().to_string(), "--json"]).expect(0).json();
    assert_eq!(file["rootEntry"]["ph"]["i"], metadata.ino(), "{file}");
}

#[test]
fn trees_that_are_rewritten_or_copied_keep_it() {
    let home = home();
    let first = home.create(&[]);
    let said = |directory: &Value| {
        let entries = directory["entries"].as_array().unwrap().iter();
        entries.filter(|entry| entry["name"] == "a").map(|entry| entry["ph"].clone()).collect::<Vec<_>>()
    };
    let expected = said(&home.directory(&first));
    assert!(expected[0]["t"].is_i64());
    home.run(&["snapshot", "fix", "remove-files", "--filename=*.tmp", "--commit"]).expect(0);
    std::fs::remove_file(home.path("src/b.tmp")).unwrap();
    let second = home.create(&[]);
    assert_eq!((read(&second), said(&home.directory(&second))), (0, expected.clone()));
    rewrite(&home.path("src/a"), b"ONE");
    assert_eq!(read(&home.create(&[])), 1, "the rewritten entry was believed, and its file has changed");

    let (copy, config) = (home.path("copy").display().to_string(), home.path("copy.config"));
    let at = format!("--config-file={}", config.display());
    let there = |args: &[&str]| home.run(&[args, &[&at]].concat()).expect(0);
    there(&["repository", "create", "filesystem", "--path", &copy, "--object-splitter=FIXED-1M"]);
    there(&["snapshot", "migrate", &format!("--source-config={}", home.config().display()), "--all"]);
    let source = home.path("src").display().to_string();
    let create = ["snapshot", "create", &source, "--json", "--json-verbose"];
    assert_eq!(read(&there(&create).json()), 0);
    rewrite(&home.path("src/a"), b"One");
    assert_eq!(read(&there(&create).json()), 1);
}

/// What somebody else has put there does not keep a directory from being read, and a file from being found unchanged.
#[test]
fn a_value_that_is_none_is_as_if_it_were_not_there() {
    let stage = Stage::new();
    let plain = stage.save(EntryForm::Plain);
    stage.save_as(&plain, |json| json.replace(r#""type":"f","#, r#""type":"f","ph":["x"],"#));
    let saved = stage.identified();
    assert_eq!((saved.read, saved.known), (0, 4));
    assert!(stage.ctime(&saved, "a").is_some());
}
