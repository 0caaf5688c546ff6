//! What Kopia has no room for: extended attributes, ACLs, hard links, holes and special files, from a tree into a
//! repository and back. Compared by system calls here, and once more by `rsync`, `getfattr` and `getfacl` where these are.

use crate::support::live_tree::{set_mtime, write};
use crate::support::programs::{Program, text};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, XattrFlags};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An access ACL: the owner all, the user 1000 read and write, the group read, a mask of both, others nothing.
const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 6, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 0xff, 0xff, 0xff,
    0xff, 0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
];
/// The capability to use raw sockets, permitted and effective.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const BLOCK: u64 = 1 << 16;

/// A source, a repository and a place for what is restored.
struct Stage {
    base: tempfile::TempDir,
    ours: Program,
}

/// What can be seen of an entry.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    device: u64,
    data: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first of its names.
    first_name: PathBuf,
    links: u64,
    /// Where a file has data.
    extents: Vec<(u64, u64)>,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sets an attribute; whether this file system and user could.
fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
}

fn make_special(path: &Path, kind: FileType, device: u64) -> bool {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).is_ok()
}

fn sparse(path: &Path, blocks: u64, data: &[u64]) {
    let file = fs::File::create_new(path).unwrap();
    file.set_len(blocks * BLOCK).unwrap();
    for at in data {
        file.write_all_at(&vec![u8::try_from(*at).unwrap(); BLOCK as usize], at * BLOCK).unwrap();
    }
}

impl Stage {
    fn new() -> Self {
        let stage = Self { base: tempfile::tempdir().unwrap(), ours: Program::packhorse() };
        stage.make_tree();
        stage.ours.create(&stage.path("repository"), &[]);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn source(&self, name: &str) -> PathBuf {
        self.path("source").join(name)
    }

    fn make_tree(&self) {
        let at = |name: &str| self.source(name);
        for name in ["plain", "many", "acl/inherits", "dir/deep/file", "dir/setuid", "dir/caps"] {
            write(&at(name), name.as_bytes());
        }
        for (name, value) in [("user.empty", &b""[..]), ("user.a<&>%", b"\0\xff"), ("trusted.t", b"t")] {
            set(&at("many"), name, value);
        }
        set(&at("many"), "user.long", &vec![7; 3000]);
        let odd = rustix::fs::lsetxattr(at("many"), &b"user.\xfe"[..], b"no text", XattrFlags::empty());
        odd.ok();
        for name in ["", "dir", "dir/deep"] {
            set(&at(name), "user.directory", name.as_bytes());
            set(&at(name), "trusted.directory", b"t");
        }
        self.make_links();
        sparse(&at("holes"), 8, &[1, 2, 6]);
        sparse(&at("all hole"), 50, &[]);
        sparse(&at("dir/ends in data"), 3, &[2]);
        fs::File::options()
            .write(true)
            .open(at("holes"))
            .unwrap()
            .write_all_at(&vec![0; 65536], 4 * BLOCK)
            .unwrap();
        make_special(&at("fifo"), FileType::Fifo, 0);
        fs::hard_link(at("fifo"), at("dir/fifo")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        make_special(&at("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
        make_special(&at("loop"), FileType::BlockDevice, rustix::fs::makedev(7, 200));
        set(&at("fifo"), "trusted.fifo", b"f");
        for (name, mode) in [("dir/setuid", 0o6755), ("acl", 0o1777), ("dir/deep", 0o2750)] {
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        set(&at("plain"), "system.posix_acl_access", ACL);
        set(&at("acl"), "system.posix_acl_default", ACL);
        rustix::fs::chownat(
            CWD,
            at("dir/caps"),
            Some(Uid::from_raw(12)),
            Some(Gid::from_raw(34)),
            AtFlags::empty(),
        )
        .ok();
        set(&at("dir/caps"), "security.capability", CAPABILITY);
        for (number, name) in
            ["fifo", "socket", "linked", "link", "holes", "dir/deep", "dir", ""].iter().enumerate()
        {
            set_mtime(&at(name), 1_500_000_000_123_456_789 + number as i64 * 1_000_000_000);
        }
        // Until nothing is so new that it might change without another time.
        std::thread::sleep(std::time::Duration::from_millis(60));
    }

    /// Three names of one file, two of a big one and of a link, in several directories.
    fn make_links(&self) {
        let at = |name: &str| self.source(name);
        write(&at("linked"), b"linked");
        write(&at("big"), &crate::support::world::noise(3, 5_000_000));
        symlink("many", at("link")).unwrap();
        for (from, to) in [
            ("linked", "dir/linked"),
            ("linked", "dir/deep/linked"),
            ("big", "dir/big"),
            ("link", "dir/link"),
        ] {
            fs::hard_link(at(from), at(to)).unwrap();
        }
        set(&at("linked"), "user.linked", b"one inode");
        set(&at("link"), "trusted.link", b"of the link");
        // The same bytes, and not the same inode.
        write(&at("not linked"), b"linked");
        set_mtime(&at("not linked"), 1_500_000_000_000_000_000);
    }

    fn snapshot(&self) -> Value {
        self.ours.snapshot(&self.path("source"))
    }

    /// Restores into `target`; what the program says last.
    fn restore(&self, snapshot: &Value, target: &str, flags: &[&str]) -> String {
        let (id, target) = (snapshot["id"].as_str().unwrap(), self.path(target).display().to_string());
        let output = self.ours.run(["restore", id, &target].iter().chain(flags));
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    }
}

/// All that can be seen of a tree.
fn look(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut firsts = HashMap::new();
    let mut seen = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        let name = path.strip_prefix(root).unwrap().to_owned();
        let first_name = firsts.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
        let kind = metadata.file_type();
        let (mut data, mut extents) = (Vec::new(), Vec::new());
        if kind.is_file() {
            data = fs::read(path).unwrap();
            extents = extents_of(&fs::File::open(path).unwrap(), metadata.len());
        } else if kind.is_symlink() {
            data = fs::read_link(path).unwrap().into_os_string().into_encoded_bytes();
        }
        let links = if kind.is_dir() { 0 } else { metadata.nlink() };
        let seen_here = Seen {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            device: metadata.rdev(),
            data,
            xattrs: xattrs(path),
            first_name,
            links,
            extents,
        };
        seen.insert(name, seen_here);
    }
    seen
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let value = |name: &[u8]| {
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        (name.to_vec(), value)
    };
    names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(value).collect()
}

fn extents_of(file: &fs::File, size: u64) -> Vec<(u64, u64)> {
    use rustix::fs::{SeekFrom, seek};
    let mut extents = Vec::new();
    let mut at = 0;
    while let Ok(start) = seek(file, SeekFrom::Data(at)) {
        at = seek(file, SeekFrom::Hole(start)).unwrap().min(size);
        extents.push((start, at));
    }
    extents
}

#[track_caller]
fn assert_same(left: &BTreeMap<PathBuf, Seen>, right: &BTreeMap<PathBuf, Seen>) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (path, seen) in left {
        let (seen, other) = (brief(seen), brief(&right[path]));
        assert_eq!(seen, other, "{}", path.display());
    }
}

/// Without pages of data in a message.
fn brief(seen: &Seen) -> String {
    let Seen { mode, owner, mtime, device, xattrs, first_name, links, extents, data } = seen;
    let (data, name) = (blake3::hash(data), first_name.display());
    format!("{mode:o} {owner:?} {mtime:?} {device} {name} {links} {extents:?} {data} {xattrs:?}")
}

/// What a tool says of a tree; `None` with a word where it is not installed.
fn ask(tool: &str, args: &[&str], directory: &Path) -> Option<String> {
    match Command::new(tool).args(args).current_dir(directory).output() {
        Ok(output) => Some(text(&output.stdout)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: {tool} is not installed");
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

fn compare_by_tools(stage: &Stage, restored: &str) {
    let (source, target) = (stage.path("source"), stage.path(restored));
    let (from, to) = (format!("{}/", source.display()), format!("{}/", target.display()));
    let flags = ["-aHAXn", "--checksum", "--itemize-changes", "--devices", "--specials", "--delete"];
    if let Some(said) = ask("rsync", &[&flags[..], &[&from, &to]].concat(), stage.base.path()) {
        assert_eq!(said, "", "rsync would change something");
    }
    for (tool, args) in [("getfattr", &["-dhR", "-m", "-", "."][..]), ("getfacl", &["-Rnp", "."])] {
        // In whatever order the directories are listed.
        let sorted = |directory: &Path| {
            let said = ask(tool, args, directory)?;
            let mut parts: Vec<_> = said.split("\n\n").map(str::to_owned).collect();
            parts.sort_unstable();
            Some(parts)
        };
        assert_eq!(sorted(&source), sorted(&target), "{tool}");
    }
}

#[test]
fn everything_comes_back() {
    let stage = Stage::new();
    if !is_root() {
        eprintln!("not root: without what only root may set");
    }
    let first = stage.snapshot();
    stage.restore(&first, "restored", &[]);
    assert_same(&look(&stage.path("source")), &look(&stage.path("restored")));
    compare_by_tools(&stage, "restored");
    let holes = look(&stage.path("restored"));
    let allocated = &holes[Path::new("holes")].extents;
    assert!(allocated.iter().all(|(from, _)| from % BLOCK == 0) || allocated.len() == 1, "{allocated:?}");
    // Nothing has changed: not one directory is written anew.
    let second = stage.snapshot();
    assert_eq!(second["rootEntry"]["obj"], first["rootEntry"]["obj"]);
    stage.ours.verify();
}

#[test]
fn plain_entries_say_nothing_of_it() {
    let stage = Stage::new();
    let source = stage.path("source").display().to_string();
    let json = stage.ours.ok(["snapshot", "create", "--json", "--plain-entries", &source]);
    let plain: Value = serde_json::from_str(&json).unwrap();
    assert!(!stage.ours.ok(["show", plain["rootEntry"]["obj"].as_str().unwrap()]).contains("\"ph\""));
    stage.restore(&plain, "restored", &[]);
    let restored = look(&stage.path("restored"));
    assert!(!restored.contains_key(Path::new("fifo")) && restored[Path::new("linked")].links == 1);
    assert!(restored.values().all(|seen| !seen.xattrs.keys().any(|name| name.starts_with(b"user."))));
    // From what does not know it, everything is looked at once more, and nothing is read.
    let json = stage.ours.ok(["snapshot", "create", "--json", "--json-verbose", &source]);
    let whole: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(whole["stats"]["nonCachedFiles"], 0);
    stage.restore(&whole, "whole", &[]);
    assert_same(&look(&stage.path("source")), &look(&stage.path("whole")));
}

#[test]
fn a_changed_attribute_is_saved_though_no_byte_has_changed() {
    let stage = Stage::new();
    let first = stage.snapshot();
    for name in ["many", "holes", "dir", "link"] {
        let path = stage.source(name);
        let before = fs::symlink_metadata(&path).unwrap();
        let name = if name == "link" { "trusted.new" } else { "user.new" };
        if !set(&path, name, b"1") {
            continue;
        }
        set_mtime(&path, before.mtime() * 1_000_000_000 + before.mtime_nsec());
    }
    std::thread::sleep(std::time::Duration::from_millis(60));
    let second = stage.snapshot();
    assert_ne!(second["rootEntry"]["obj"], first["rootEntry"]["obj"]);
    stage.restore(&second, "restored", &[]);
    assert_same(&look(&stage.path("source")), &look(&stage.path("restored")));
}

#[test]
fn an_existing_tree_is_put_right() {
    let stage = Stage::new();
    let snapshot = stage.snapshot();
    stage.restore(&snapshot, "restored", &[]);
    let at = |name: &str| stage.path("restored").join(name);
    for name in ["many", "plain", "dir", "linked", "acl/inherits"] {
        set(&at(name), "user.wrong", b"x");
        set(&at(name), "trusted.wrong", b"x");
    }
    set(&at("many"), "user.a<&>%", b"other");
    set(&at("not linked"), "system.posix_acl_access", ACL);
    rustix::fs::lremovexattr(at("many"), "user.empty").ok();
    rustix::fs::removexattr(at("plain"), "system.posix_acl_access").ok();
    // One name is another file, one is missing, two are one that should not be; a device is a file.
    fs::remove_file(at("dir/linked")).unwrap();
    write(&at("dir/linked"), b"other!");
    fs::remove_file(at("dir/big")).unwrap();
    fs::remove_file(at("dir/deep/file")).unwrap();
    fs::hard_link(at("dir/setuid"), at("dir/deep/file")).unwrap();
    fs::remove_file(at("not linked")).unwrap();
    fs::hard_link(at("linked"), at("not linked")).unwrap();
    fs::remove_file(at("fifo")).unwrap();
    write(&at("fifo"), b"a file");
    fs::remove_file(at("dir/link")).unwrap();
    symlink("many", at("dir/link")).unwrap();
    make_special(&at("extra"), FileType::Fifo, 0);
    stage.restore(&snapshot, "restored", &["--delete-extra"]);
    assert_same(&look(&stage.path("source")), &look(&at("")));
    compare_by_tools(&stage, "restored");
    // A file of holes whose attributes cannot be changed in place, because it has another name, keeps its holes.
    fs::hard_link(at("holes"), stage.path("elsewhere")).unwrap();
    stage.restore(&snapshot, "restored", &["--delete-extra"]);
    assert_same(&look(&stage.path("source")), &look(&at("")));
    // And once more there is nothing to do.
    let before = look(&at(""));
    let said = stage.restore(&snapshot, "restored", &["--delete-extra"]);
    assert!(said.contains("Restored 0 files"), "{said}");
    assert_same(&before, &look(&at("")));
}

/// Who asks for what is there to be left alone gets no links either.
#[test]
fn what_is_skipped_stays_a_file_of_its_own() {
    let stage = Stage::new();
    let snapshot = stage.snapshot();
    stage.restore(&snapshot, "restored", &["--skip-hard-links"]);
    let before = look(&stage.path("restored"));
    stage.restore(&snapshot, "restored", &["--skip-existing"]);
    for (path, seen) in look(&stage.path("restored")) {
        let is_special = [0o010_000, 0o140_000].contains(&(seen.mode & 0o170_000));
        assert!(is_special || seen.links == before[&path].links, "{}", path.display());
    }
}

#[test]
fn each_kind_can_be_left_out() {
    let stage = Stage::new();
    let snapshot = stage.snapshot();
    let flags = ["--skip-xattrs", "--skip-special-files", "--skip-hard-links", "--drop-set-id"];
    stage.restore(&snapshot, "restored", &flags);
    let (source, restored) = (look(&stage.path("source")), look(&stage.path("restored")));
    for (path, seen) in &source {
        let Some(other) = restored.get(path) else {
            assert!(seen.mode & 0o170_000 != 0o100_000 && seen.links > 0, "{}", path.display());
            continue;
        };
        let is_file = seen.mode & 0o170_000 == 0o100_000;
        assert_eq!(&seen.data, &other.data);
        assert!(other.links <= 1, "{}", path.display());
        assert!(other.xattrs.keys().all(|name| name.starts_with(b"security.selinux")), "{:?}", other.xattrs);
        assert!(!is_file || other.mode & 0o6000 == 0, "{}", path.display());
    }
    assert_ne!(source[Path::new("dir/deep")].mode & 0o2000, 0);
    assert_eq!(restored[Path::new("dir/deep")].mode, source[Path::new("dir/deep")].mode);
    assert!(!restored.contains_key(Path::new("fifo")));
}

#[test]
fn copies_and_rewritten_trees_keep_it() {
    let stage = Stage::new();
    let snapshot = stage.snapshot();
    let there = Program::packhorse();
    there.create(&stage.path("other"), &["--object-splitter=FIXED-1M"]);
    let config = format!("--source-config={}", stage.ours.config().display());
    there.ok(["snapshot", "migrate", &config, "--all"]);
    let list: Vec<Value> = serde_json::from_str(&there.ok(["snapshot", "list", "--json"])).unwrap();
    let target = stage.path("copied").display().to_string();
    there.ok(["restore", list[0]["id"].as_str().unwrap(), &target]);
    assert_same(&look(&stage.path("source")), &look(&stage.path("copied")));
    // What is not wanted goes from among the special files, too.
    stage.ours.ok(["snapshot", "fix", "remove-files", "--filename=fifo", "--filename=plain", "--commit"]);
    let list: Vec<Value> = serde_json::from_str(&stage.ours.ok(["snapshot", "list", "--json"])).unwrap();
    assert_ne!(list[0]["rootEntry"]["obj"], snapshot["rootEntry"]["obj"]);
    stage.restore(&list[0], "fixed", &[]);
    for name in ["fifo", "dir/fifo", "plain"] {
        fs::remove_file(stage.source(name)).unwrap();
    }
    for name in ["dir", ""] {
        let before = fs::metadata(stage.path("fixed").join(name)).unwrap();
        set_mtime(&stage.source(name), before.mtime() * 1_000_000_000 + before.mtime_nsec());
    }
    assert_same(&look(&stage.path("source")), &look(&stage.path("fixed")));
}

/// As a user who may set nothing that belongs to others: what could not be is counted, and all else is there.
#[test]
fn what_may_not_be_set_is_counted() {
    let stage = Stage::new();
    let snapshot = stage.snapshot();
    if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: only root can become nobody, by setpriv");
        return;
    }
    let target = stage.path("restored");
    fs::create_dir(&target).unwrap();
    for path in [stage.base.path(), &target] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // Its own connection, in a home that it may write into.
    let home = stage.path("home");
    fs::create_dir(&home).unwrap();
    let readable =
        Command::new("chmod").args(["-R", "a+rwX"]).arg(stage.path("repository")).arg(&home).status();
    assert!(readable.unwrap().success());
    let program = Program::in_home(Path::new("/usr/bin/setpriv"), &home);
    let executable = stage.path("packhorse");
    fs::copy(crate::support::programs::PACKHORSE, &executable).unwrap();
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", executable.to_str().unwrap()];
    let run = |args: &[&str]| {
        let output = program.run([&as_nobody[..], args].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        said
    };
    let repository = format!("--path={}", stage.path("repository").display());
    run(&[&["repository", "connect", "filesystem", &repository], &crate::support::programs::IDENTITY[..]]
        .concat());
    let said = run(&["restore", snapshot["id"].as_str().unwrap(), target.to_str().unwrap()]);
    let has = |path: &str| stage.source(path).symlink_metadata().is_ok();
    if has("null") {
        assert!(said.contains("could not make 2 special files"), "{said}");
    }
    if !xattrs(&stage.source("dir/caps")).is_empty() {
        assert!(said.contains("extended attributes") && said.contains("could not set"), "{said}");
    }
    assert!(said.contains("without permission to set"), "{said}");
    let (source, restored) = (look(&stage.path("source")), look(&target));
    for (path, seen) in &source {
        let Some(other) = restored.get(path) else {
            assert!(matches!(path.to_str(), Some("null" | "loop")), "{}", path.display());
            continue;
        };
        assert_eq!((&seen.data, &seen.extents), (&other.data, &other.extents), "{}", path.display());
        assert_eq!((&seen.first_name, seen.links), (&other.first_name, other.links), "{}", path.display());
        let of_user = |seen: &Seen| {
            let names = seen.xattrs.iter().filter(|(name, _)| name.starts_with(b"user."));
            names.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
        };
        assert_eq!(of_user(seen), of_user(other), "{}", path.display());
    }
}
