//! Snapshots as a file system: what programs see in it, several of them at once, and what is left when it ends.

use crate::cli::Home;
use crate::support::live_tree::{set_mtime, write};
use crate::support::trees::{self, Dice, Times, Tree};
use crate::support::world::noise;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often it is looked for something that is about to happen, 50 ms apart.
const LOOKS: usize = 200;

/// Whether a file system can be mounted here; if not, with a word on stderr.
fn can_mount() -> bool {
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    if let Err(error) = &device {
        eprintln!("skipped: /dev/fuse: {error}");
    }
    device.is_ok()
}

/// Whether a program can be started; if not, with a word on stderr.
fn has(program: &str) -> bool {
    let started = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if started.is_err() {
        eprintln!("skipped: there is no {program}");
    }
    started.is_ok()
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}: that did not happen");
}

fn is_mounted(point: &Path) -> bool {
    let point = format!(" {} ", point.canonicalize().unwrap_or_else(|_| point.to_owned()).display());
    fs::read_to_string("/proc/self/mountinfo").unwrap().lines().any(|line| line.contains(&point))
}

/// A running mount; a test that fails leaves none.
struct Mount {
    child: Child,
    point: PathBuf,
    log: BufReader<std::process::ChildStderr>,
}

impl Mount {
    fn start(home: &Home, what: &str, flags: &[&str]) -> Self {
        let point = home.path("mnt");
        fs::create_dir_all(&point).unwrap();
        let args = [&["mount", what, point.to_str().unwrap()], flags].concat();
        let mut child = home.packhorse(&args).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Mounted") {
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "{line}");
        }
        Self { child, point, log }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Unmounts with a signal; what was logged.
    fn end(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        assert_eq!(self.status().code(), Some(0));
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        assert!(!is_mounted(&self.point));
        rest
    }

    fn status(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        for _ in 0..LOOKS {
            if !is_mounted(&self.point) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn snapshot(home: &Home, flags: &[&str]) -> String {
    let source = home.path("src");
    let args = [&["snapshot", "create", "--json", source.to_str().unwrap()], flags].concat();
    home.run(&args).expect(0).json()["id"].as_str().unwrap().to_owned()
}

/// A home with a repository and a tree of every kind of entry in `src`, and its snapshot.
fn saved(seed: u64) -> (Home, String) {
    let home = Home::connected();
    trees::make(&home.path("src"), &mut Dice::new(seed));
    write(&home.path("src/big.bin"), &noise(seed, 9_000_000));
    write(&home.path("src/words.txt"), &b"many words in a row, ".repeat(400_000));
    let id = snapshot(&home, &[]);
    (home, id)
}

#[test]
fn programs_see_what_was_saved() {
    if !can_mount() {
        return;
    }
    let (home, id) = saved(1);
    let mount = Mount::start(&home, &id, &[]);
    let (src, expected) = (home.path("src"), Tree::look(&home.path("src")).stored());
    let differences = expected.differences(&Tree::look(&mount.point), Times::Exact);
    assert!(differences.is_empty(), "{differences:#?}");
    let copy = home.path("copy");
    let copied = Command::new("cp").arg("-a").arg(&mount.point).arg(&copy).status().unwrap();
    assert!(copied.success());
    let differences = expected.differences(&Tree::look(&copy), Times::Exact);
    assert!(differences.is_empty(), "{differences:#?}");
    if has("rsync") {
        // Names that are no texts are stored as texts.
        let args = ["-n", "-aHi", "--checksum", "--omit-dir-times"];
        let run = Command::new("rsync")
            .args(args)
            .arg(format!("{}/", mount.point.display()))
            .arg(format!("{}/", copy.display()))
            .output()
            .unwrap();
        assert_eq!((run.status.code(), String::from_utf8_lossy(&run.stdout).as_ref()), (Some(0), ""));
    }
    let big = fs::metadata(mount.point.join("big.bin")).unwrap();
    assert_eq!((big.size(), big.blocks(), big.nlink()), (9_000_000, 9_000_000_u64.div_ceil(512), 1));
    assert_eq!(big.mtime_nsec(), fs::metadata(src.join("big.bin")).unwrap().mtime_nsec());
    let again = fs::symlink_metadata(mount.point.join("big.bin")).unwrap();
    assert_eq!((again.ino(), again.dev()), (big.ino(), big.dev()));
    assert!(fs::metadata(mount.point.join("nosuch")).is_err());
    for changed in [
        File::options().write(true).create_new(true).open(mount.point.join("new")).err(),
        fs::remove_file(mount.point.join("big.bin")).err(),
        fs::create_dir(mount.point.join("dir")).err(),
        fs::set_permissions(mount.point.join("big.bin"), PermissionsExt::from_mode(0o777)).err(),
    ] {
        assert_eq!(changed.unwrap().raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    }
    assert_eq!(mount.end().matches("warning").count(), 0);
}

#[test]
fn many_readers_at_once_read_what_was_saved() {
    if !can_mount() {
        return;
    }
    let (home, id) = saved(2);
    let mount = Mount::start(&home, &format!("{id}/"), &["--max-cached-entries=10", "--max-cached-dirs=2"]);
    let expected = Tree::look(&home.path("src")).stored();
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let (home, mount, expected) = (&home, &mount, &expected);
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                if seed % 3 == 0 {
                    let differences = expected.differences(&Tree::look(&mount.point), Times::Exact);
                    assert!(differences.is_empty(), "{differences:#?}");
                }
                for name in ["big.bin", "words.txt"] {
                    let whole = fs::read(home.path("src").join(name)).unwrap();
                    let file = File::open(mount.point.join(name)).unwrap();
                    for _ in 0..50 {
                        let at = dice.below(whole.len() as u64 + 10);
                        let mut bytes = vec![0; dice.below(300_000) as usize];
                        let read = file.read_at(&mut bytes, at).unwrap();
                        let from = (at as usize).min(whole.len());
                        let to = (from + bytes.len()).min(whole.len());
                        assert!(read > 0 || from == to, "{name} {at}");
                        assert_eq!(bytes[..read], whole[from..to][..read], "{name} {at}");
                    }
                    assert_eq!(fs::read(mount.point.join(name)).unwrap(), whole);
                }
            });
        }
    });
    mount.end();
}

#[test]
fn a_wide_directory_is_listed_once_and_whole() {
    if !can_mount() {
        return;
    }
    // Its list is many objects, in which a file is found before all of them are read.
    let home = Home::new_with(&["--object-splitter=FIXED-128K"]);
    for number in 0..5_000 {
        write(&home.path("src/wide").join(format!("file {number}")), b"");
        if number % 100 == 0 {
            write(&home.path("src/wide").join(format!("dir {number}/x")), b"x");
        }
    }
    let mount = Mount::start(&home, &snapshot(&home, &[]), &["--max-cached-entries=1"]);
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<_> =
            entries.map(|entry| (entry.file_name(), entry.file_type().unwrap().is_dir())).collect();
        names.sort();
        names
    };
    let wide = mount.point.join("wide");
    let before: Vec<_> = [0, 1, 2_500, 4_999]
        .map(|number| format!("file {number}"))
        .map(|name| (fs::metadata(wide.join(&name)).unwrap().ino(), name))
        .into_iter()
        .collect();
    assert!(before.iter().all(|(number, _)| number >> 62 == 1), "found early: {before:?}");
    assert!(fs::metadata(wide.join("file 5000")).is_err() && wide.join("dir 100").is_dir());
    assert_eq!(names(&wide), names(&home.path("src/wide")));
    for entry in fs::read_dir(&wide).unwrap().step_by(97) {
        let entry = entry.unwrap();
        let numbers = std::os::unix::fs::DirEntryExt::ino(&entry);
        assert_eq!(numbers, entry.metadata().unwrap().ino(), "{entry:?}");
    }
    for entry in fs::read_dir(&wide).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if let Some((number, _)) = before.iter().find(|(_, known)| *known == name) {
            assert_eq!(std::os::unix::fs::DirEntryExt::ino(&entry), *number, "{name}");
        }
    }
    let above = fs::metadata(wide.join("dir 0/../..")).unwrap();
    assert_eq!(above.ino(), fs::metadata(&mount.point).unwrap().ino());
    mount.end();
}

#[test]
fn all_snapshots_are_found_by_source_and_time() {
    if !can_mount() {
        return;
    }
    let home = Home::connected();
    write(&home.path("src/a.txt"), b"first");
    set_mtime(&home.path("src/a.txt"), 1_000);
    snapshot(&home, &["--start-time=2024-01-02 03:04:05 UTC"]);
    write(&home.path("src/a.txt"), b"second");
    snapshot(&home, &["--start-time=2024-01-02 03:04:05 UTC"]);
    snapshot(&home, &["--start-time=2025-06-07 08:09:10 UTC"]);
    let list = home.run(&["snapshot", "list", "--json"]).expect(0).json();
    let source = &list[0]["source"];
    let user = format!("{}@{}", source["userName"].as_str().unwrap(), source["host"].as_str().unwrap());
    let path = source["path"].as_str().unwrap().trim_start_matches('/').replace('/', "_");
    let mount = Mount::start(&home, "all", &[]);
    let names = |folder: &Path| {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(&mount.point), [user.as_str()]);
    assert_eq!(names(&mount.point.join(&user)), [path.as_str()]);
    let times = mount.point.join(&user).join(&path);
    assert_eq!(names(&times), ["20240102-030405", "20240102-030405 (2)", "20250607-080910"]);
    let mut of_one_moment = ["20240102-030405", "20240102-030405 (2)"]
        .map(|name| fs::read_to_string(times.join(name).join("a.txt")).unwrap());
    of_one_moment.sort();
    assert_eq!(of_one_moment, ["first", "second"]);
    assert_eq!(fs::read(times.join("20250607-080910/a.txt")).unwrap(), b"second");
    assert!(fs::metadata(mount.point.join("nobody@nowhere")).is_err());
    mount.end();
}

#[test]
fn a_killed_program_leaves_no_mount() {
    if !can_mount() {
        return;
    }
    let (home, id) = saved(3);
    let mut mount = Mount::start(&home, &id, &[]);
    let open = File::open(mount.point.join("big.bin")).unwrap();
    mount.child.kill().unwrap();
    mount.child.wait().unwrap();
    wait_until("the guard's unmount", || !is_mounted(&mount.point));
    assert!(open.read_at(&mut [0; 10], 8_000_000).is_err());
    assert_eq!(fs::read_dir(&mount.point).unwrap().count(), 0);
}

#[test]
fn the_end_of_a_mount_is_a_success_whoever_brings_it_about() {
    if !can_mount() {
        return;
    }
    let (home, id) = saved(4);
    let mut mount = Mount::start(&home, &id, &[]);
    if has("umount") {
        let point = mount.point.clone();
        assert!(Command::new("umount").arg(&point).status().unwrap().success());
        assert_eq!(mount.status().code(), Some(0));
    }
    let mut mount = Mount::start(&home, &id, &[]);
    mount.signal(rustix::process::Signal::INT);
    assert_eq!(mount.status().code(), Some(0));
    // In use it goes all the same.
    let mut mount = Mount::start(&home, &id, &[]);
    let _open = File::open(mount.point.join("big.bin")).unwrap();
    mount.signal(rustix::process::Signal::TERM);
    assert_eq!(mount.status().code(), Some(0));
    assert!(!is_mounted(&mount.point));
}

#[test]
fn what_is_damaged_is_an_error_and_the_rest_is_read() {
    if !can_mount() {
        return;
    }
    let home = Home::connected();
    write(&home.path("src/folder/damaged.bin"), &noise(1, 3_000_000));
    snapshot(&home, &[]);
    let pack = walkdir::WalkDir::new(home.path("repo"))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    write(&home.path("src/folder/whole.bin"), &noise(2, 3_000_000));
    let id = snapshot(&home, &[]);
    fs::set_permissions(&pack, PermissionsExt::from_mode(0o600)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&pack).unwrap();
    file.write_all_at(&[0x55; 1000], 1_500_000).unwrap();
    let mount = Mount::start(&home, &id, &[]);
    let error = fs::read(mount.point.join("folder/damaged.bin")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert_eq!(fs::read(mount.point.join("folder/whole.bin")).unwrap(), noise(2, 3_000_000));
    let log = mount.end();
    assert!(log.contains("cannot read /folder/damaged.bin") && log.contains("content"), "{log}");
}

#[test]
fn what_cannot_be_mounted_is_one_clear_error() {
    let (home, id) = saved(5);
    for (args, status, words) in
        [(&["mount", "--webdav"][..], 2, "FUSE"), (&["mount", "--browse"], 2, "browser")]
    {
        let run = home.run(args).expect(status);
        assert!(run.stderr.contains(words) && run.stderr.lines().count() == 1, "{run:?}");
    }
    if !can_mount() {
        assert!(home.run(&["mount", &id]).expect(1).stderr.contains("/dev/fuse"));
        return;
    }
    let src = home.path("src");
    for (what, point, words) in [
        (id.as_str(), src.to_str().unwrap(), "not empty"),
        (&id, "/nosuch/folder", "No such file"),
        ("nosuch", "*", "nosuch"),
        (&format!("{id}/big.bin"), "*", "not a directory"),
    ] {
        let run = home.run(&["mount", what, point]).expect(1);
        assert!(run.stderr.contains(words), "{run:?}");
    }
}

#[test]
fn links_attributes_holes_and_special_files_are_there() {
    use rustix::fs::{CWD, FileType, Mode, XattrFlags, getxattr, lsetxattr, mknodat};
    use std::os::unix::fs::FileTypeExt;
    if !can_mount() {
        return;
    }
    let home = Home::connected();
    let src = home.path("src");
    write(&src.join("one"), b"one file");
    fs::create_dir(src.join("sub")).unwrap();
    fs::hard_link(src.join("one"), src.join("sub/two")).unwrap();
    write(&src.join("alone"), b"one file");
    let sparse = File::options().write(true).create_new(true).open(src.join("sparse")).unwrap();
    sparse.write_all_at(b"end", 20 << 20).unwrap();
    drop(sparse);
    mknodat(CWD, src.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let device = rustix::fs::makedev(259, 300);
    let has_device =
        is_root && mknodat(CWD, src.join("device"), FileType::BlockDevice, Mode::RUSR, device).is_ok();
    let has_xattrs = lsetxattr(src.join("one"), "user.word", b"\0value", XattrFlags::empty()).is_ok();
    if !has_xattrs {
        eprintln!("skipped: extended attributes");
    }
    let mount = Mount::start(&home, &snapshot(&home, &[]), &[]);
    let seen = |name: &str| fs::symlink_metadata(mount.point.join(name)).unwrap();
    let (one, two, alone) = (seen("one"), seen("sub/two"), seen("alone"));
    assert_eq!((one.ino(), one.nlink(), two.nlink(), alone.nlink()), (two.ino(), 2, 2, 1));
    assert_ne!(one.ino(), alone.ino());
    assert_eq!(fs::read(mount.point.join("sub/two")).unwrap(), b"one file");
    let listed = fs::read_dir(mount.point.join("sub")).unwrap().next().unwrap().unwrap();
    assert_eq!(std::os::unix::fs::DirEntryExt::ino(&listed), one.ino());
    assert!(seen("fifo").file_type().is_fifo() && seen("fifo").mode() & 0o777 == 0o640);
    if has_device {
        assert!(seen("device").file_type().is_block_device());
        assert_eq!(seen("device").rdev(), device);
    }
    let mut value = [0; 100];
    if has_xattrs {
        assert_eq!(getxattr(mount.point.join("sub/two"), "user.word", &mut value).unwrap(), 6);
        assert_eq!(&value[..6], b"\0value");
        let mut short = [0; 3];
        assert_eq!(getxattr(mount.point.join("one"), "user.word", &mut short), Err(rustix::io::Errno::RANGE));
    }
    assert_eq!(getxattr(mount.point.join("alone"), "user.word", &mut value), Err(rustix::io::Errno::NODATA));
    let sparse = seen("sparse");
    assert_eq!(sparse.len(), (20 << 20) + 3);
    let file = File::open(mount.point.join("sparse")).unwrap();
    if fs::symlink_metadata(src.join("sparse")).unwrap().blocks() < 1000 {
        assert!(sparse.blocks() < 1000, "{}", sparse.blocks());
        let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).unwrap();
        assert!(data > 1 << 20 && data <= 20 << 20, "{data}");
    }
    let mut end = [0; 10];
    assert_eq!(file.read_at(&mut end, (20 << 20) - 4).unwrap(), 7);
    assert_eq!(&end[..7], b"\0\0\0\0end");
    let id = home.run(&["snapshot", "list", "--json"]).expect(0).json()[0]["id"].as_str().unwrap().to_owned();
    let long = home.run(&["ls", "-l", &id]).expect(0).stdout;
    assert!(long.lines().any(|line| line.starts_with("prw-r-----") && line.ends_with(" fifo")), "{long}");
    mount.end();
}
