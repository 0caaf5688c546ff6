//! Repositories and targets that mean harm.

use super::*;
use packhorse::base::ErrorClass;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// A target inside a directory with something that must not change.
struct Trap {
    temp: tempfile::TempDir,
    before: Vec<Seen>,
}

impl Trap {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("outside/sub")).unwrap();
        std::fs::create_dir(temp.path().join("target")).unwrap();
        put(&temp.path().join("outside/canary"), b"alive");
        put(&temp.path().join("outside/sub/canary"), b"alive, too");
        let before = look(&temp.path().join("outside"));
        Self { temp, before }
    }

    fn target(&self) -> PathBuf {
        self.temp.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.temp.path().join("outside")
    }

    /// # Panics
    /// If anything outside the target changed.
    fn check(&self) {
        assert_eq!(look(&self.outside()), self.before);
        assert_eq!(std::fs::read_dir(self.temp.path()).unwrap().count(), 2);
    }
}

#[test]
fn names_that_lead_out_are_refused_before_anything_is_made() {
    let fixture = Fixture::new();
    for bad in ["..", ".", "", "../outside/canary", "/etc/canary", "a/b", "nul\0", "../../x"] {
        let trap = Trap::new();
        for hostile in [
            fixture.file(bad, b"overwritten"),
            fixture.link(bad, "/"),
            fixture.directory(bad, vec![fixture.file("canary", b"overwritten")]),
        ] {
            let root = fixture.directory("", vec![fixture.file("good", b"good"), hostile]);
            let options = RestoreOptions { delete_extra: true, ..RestoreOptions::default() };
            let error = fixture.restore(&root, &trap.target(), &options).unwrap_err();
            assert!(matches!(&error, Error::BadName { name, .. } if name == bad), "{error}");
            assert_eq!(error.class(), ErrorClass::Corrupt);
            assert_eq!(names(&trap.target()), [""; 0]);
            trap.check();

            let options = RestoreOptions { ignore_errors: true, ..options };
            let stats = fixture.restore(&root, &trap.target(), &options).unwrap();
            assert_eq!((stats.ignored_errors, stats.files), (1, 1));
            assert_eq!(names(&trap.target()), ["good"]);
            std::fs::remove_file(trap.target().join("good")).unwrap();
            trap.check();
        }
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let (fixture, trap) = (Fixture::new(), Trap::new());
    for json in [
        &b"{\"stream\":\"kopia:indirect\",\"entries\":[]}"[..],
        b"",
        b"{\"stream\":\"kopia:directory\",\"entries\":[{\"name\":1}]}",
        b"[",
    ] {
        let root = fixture.raw_directory("", json);
        let target = trap.target().join("new");
        let error = fixture.restore(&root, &target, &RestoreOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::Directory { path, .. } if *path == target), "{error}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
        assert!(!target.exists());
    }
    let odd = br#"{"stream":"kopia:directory","entries":[{"name":"x","type":"q","obj":"kab"}]}"#;
    let root = fixture.raw_directory("", odd);
    let error = fixture.restore(&root, &trap.target(), &RestoreOptions::default()).unwrap_err();
    assert!(matches!(error, Error::UnknownType { .. }), "{error}");
    let long = fixture.link("l", &"x".repeat(300_000));
    let root = fixture.directory("", vec![long]);
    let error = fixture.restore(&root, &trap.target(), &RestoreOptions::default()).unwrap_err();
    assert!(matches!(error, Error::LongLink { length: 300_000, .. }), "{error}");
    trap.check();
}

#[test]
fn a_link_from_the_snapshot_is_not_a_way_out() {
    let (fixture, trap) = (Fixture::new(), Trap::new());
    // The link comes first, then a directory of the same name.
    let outside = trap.outside().to_str().unwrap().to_owned();
    let json = serde_json::json!({
        "stream": "kopia:directory",
        "entries": [
            fixture.link("x", &outside),
            fixture.directory("x", vec![fixture.file("canary", b"overwritten")]),
            fixture.link("x", &outside),
            fixture.link("y", &outside),
        ]
    });
    let root = fixture.raw_directory("", json.to_string().as_bytes());
    let listener = Listener::default();
    restore(&fixture.repository, &root, &trap.target(), &RestoreOptions::default(), &listener).unwrap();
    assert_eq!(std::fs::read_link(trap.target().join("x")).unwrap(), trap.outside());
    assert_eq!(listener.0.lock().unwrap().len(), 2, "doubles are named");
    // Then the other way about, over what is there.
    let below = fixture.directory("y", vec![fixture.file("canary", b"overwritten")]);
    let root = fixture.directory("", vec![fixture.file("x", b"no link"), below]);
    fixture.restore(&root, &trap.target(), &RestoreOptions::default()).unwrap();
    assert_eq!(std::fs::read(trap.target().join("x")).unwrap(), b"no link");
    assert_eq!(std::fs::read(trap.target().join("y/canary")).unwrap(), b"overwritten");
    trap.check();
}

#[test]
fn planted_links_are_replaced_or_refused_and_never_followed() {
    let fixture = Fixture::new();
    let sub = fixture.directory("sub", vec![fixture.file("canary", b"overwritten")]);
    let root = fixture
        .directory("", vec![sub, fixture.file("canary", b"small"), fixture.file("big", &noise(300_000))]);
    let base = RestoreOptions::default();
    for options in [
        base.clone(),
        RestoreOptions { skip_existing: true, ..base.clone() },
        RestoreOptions { delete_extra: true, ..base.clone() },
        RestoreOptions { overwrite_symlinks: false, ..base.clone() },
    ] {
        let trap = Trap::new();
        symlink(trap.outside().join("sub"), trap.target().join("sub")).unwrap();
        symlink(trap.outside().join("canary"), trap.target().join("canary")).unwrap();
        symlink("../outside/new", trap.target().join("big")).unwrap();
        let result = fixture.restore(&root, &trap.target(), &options);
        trap.check();
        if options.overwrite_symlinks {
            result.unwrap();
            let kinds = look(&trap.target()).iter().map(|seen| seen.mode & 0o170_000).collect::<Vec<_>>();
            assert_eq!(kinds, [0o040_000, 0o100_000, 0o100_000, 0o040_000, 0o100_000]);
        } else {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::InTheWay { found: "a symbolic link", .. }), "{error}");
        }
    }
}

#[test]
fn a_target_that_is_a_link_is_the_callers_choice() {
    let (fixture, temp) = (Fixture::new(), tempfile::tempdir().unwrap());
    std::fs::create_dir(temp.path().join("real")).unwrap();
    symlink("real", temp.path().join("link")).unwrap();
    let root = fixture.directory("", vec![fixture.file("f", b"data")]);
    fixture.restore(&root, &temp.path().join("link"), &RestoreOptions::default()).unwrap();
    assert_eq!(names(&temp.path().join("real")), ["f"]);
}

#[test]
fn a_racing_swapper_does_not_lead_out() {
    let (fixture, trap) = (Fixture::new(), Trap::new());
    let members = (0..40).map(|number| fixture.file(&format!("f{number}"), b"overwritten")).collect();
    let canaries = vec![fixture.file("canary", b"overwritten"), fixture.file("big", &noise(200_000))];
    let sub = fixture.directory("sub", canaries);
    let middle = fixture.directory("middle", vec![sub]);
    let root = fixture.directory("", vec![middle, fixture.directory("other", members)]);
    let stop = AtomicBool::new(false);
    let (real, spare) = (trap.target().join("middle"), trap.target().join("spare"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::fs::rename(&real, &spare).ok();
                symlink(trap.outside(), &real).ok();
                std::thread::yield_now();
                std::fs::remove_file(&real).ok();
                std::fs::rename(&spare, &real).ok();
            }
        });
        let watch = packhorse::base::Stopwatch::start();
        let mut restored = 0;
        while watch.elapsed().as_millis() < 1000 || restored <= 5 {
            let delete_extra = restored % 2 == 0;
            let options = RestoreOptions { ignore_errors: true, delete_extra, ..RestoreOptions::default() };
            fixture.restore(&root, &trap.target(), &options).unwrap();
            restored += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    trap.check();
}

/// What a racer puts in the place of names that are being restored.
struct Racer<'a> {
    trap: &'a Trap,
    stop: &'a AtomicBool,
}

impl Racer<'_> {
    /// Swaps until it is told to stop; the links and hard links that it plants lead to the canaries.
    fn run(&self, dice: &mut crate::support::trees::Dice) {
        let (target, outside) = (self.trap.target(), self.trap.outside());
        while !self.stop.load(Ordering::Relaxed) {
            let at = target
                .join(dice.pick(&["d/f", "d/list", "d/pipe", "d/link", "d/one", "d/two", "d/extra", "d"]));
            let aside = target.join(format!("d/aside{}", dice.below(3)));
            match dice.below(6) {
                0 => std::fs::rename(&at, &aside),
                1 => std::fs::remove_file(&at),
                2 => swap(&at, |temporary| symlink(outside.join("canary"), temporary)),
                3 => swap(&at, |temporary| std::fs::hard_link(outside.join("canary"), temporary)),
                4 => swap(&at, |temporary| std::fs::hard_link(outside.join("fifo"), temporary)),
                _ => take_leftover(&target.join("d"), &outside),
            }
            .ok();
        }
    }
}

/// Puts a link or a canary under the name of a file that is being written.
fn take_leftover(directory: &Path, outside: &Path) -> std::io::Result<()> {
    for found in std::fs::read_dir(directory)? {
        let path = found?.path();
        if path.to_string_lossy().contains(".packhorse-restore-") {
            std::fs::remove_file(&path)?;
            std::fs::hard_link(outside.join("canary"), &path)
                .or_else(|_| symlink(outside.join("canary"), &path))?;
        }
    }
    Ok(())
}

/// Puts something in the place of a name in one step.
fn swap(at: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let temporary = at.with_extension("swapped");
    make(&temporary)?;
    std::fs::rename(&temporary, at).inspect_err(|_| std::fs::remove_file(&temporary).unwrap_or_default())
}

/// Everything outside that a racer with hard links cannot change itself.
fn look_outside(trap: &Trap) -> Vec<(Seen, u64)> {
    use std::os::unix::fs::MetadataExt;
    let inode = |seen: &Seen| std::fs::symlink_metadata(trap.outside().join(&seen.path)).unwrap().ino();
    look(&trap.outside())
        .into_iter()
        .map(|seen| (inode(&seen), seen))
        .map(|(inode, seen)| (seen, inode))
        .collect()
}

#[test]
fn a_racer_with_hard_links_changes_nothing_outside() {
    let (fixture, trap) = (Fixture::new(), Trap::new());
    let fifo = trap.outside().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    set_mode(&trap.outside().join("canary"), 0o600);
    let before = look_outside(&trap);
    let root = fixture.directory("", vec![raced_directory(&fixture)]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let racer = Racer { trap: &trap, stop: &stop };
            scope.spawn(move || racer.run(&mut crate::support::trees::Dice::new(seed)));
        }
        let (watch, mut restored) = (packhorse::base::Stopwatch::start(), 0);
        while watch.elapsed().as_millis() < 3000 || restored <= 5 {
            let options = RestoreOptions {
                ignore_errors: true,
                parallel: 1 + restored % 3,
                delete_extra: restored % 2 == 0,
                skip_existing: restored % 5 == 0,
                ..RestoreOptions::default()
            };
            // Stopped in the middle, so that the next one finds what it can go on with.
            let monitor = StopSoon { cancel: Arc::clone(&options.cancel), is_meant: restored % 3 == 0 };
            restore(&fixture.repository, &root, &trap.target(), &options, &monitor).ok();
            restored += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(look_outside(&trap), before);
}

struct StopSoon {
    cancel: Arc<AtomicBool>,
    is_meant: bool,
}

impl Monitor for StopSoon {
    fn add(&self, counter: packhorse::base::Counter, _n: u64) {
        if self.is_meant && counter == packhorse::base::Counter::RestoredBytes {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }
}

/// A file, one in several contents, a FIFO, a link, and two names of one file; all with other owners than the canaries.
fn raced_directory(fixture: &Fixture) -> DirEntry {
    let mut members = vec![
        fixture.file("f", b"alive"),
        fixture.file("list", &noise(900_000)),
        fixture.link("link", "nowhere"),
        fixture.file("one", b"alive"),
        fixture.file("two", b"alive"),
    ];
    let supplement = r#"{"t":5,"i":7,"h":7,"n":2}"#;
    for member in &mut members {
        (member.uid, member.mode) = (4711, Mode::from_posix(0o666));
        if matches!(member.name.as_str(), "one" | "two") {
            member.supplement = Some(Box::new(serde_json::from_str(supplement).unwrap()));
        }
    }
    let mut manifest = DirectoryManifest::build(members, Vec::new(), TIME_STAMP, "");
    let special = r#"{"name":"pipe","type":"p","mode":"0777","mtime":"2024-01-02T03:04:05Z","uid":4711}"#;
    let specials = vec![serde_json::from_str(special).unwrap()];
    manifest.supplement = packhorse::snapshot::DirectorySupplement::of(specials);
    fixture.raw_directory("d", &manifest.to_bytes())
}
