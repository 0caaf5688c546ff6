//! Trees made from a seed, edited from a seed, and compared with each other.

use packhorse::base::{Entropy, SeededEntropy, gojson};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Draws numbers from a seed.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        u64::from_le_bytes(<dyn Entropy>::bytes(&self.0)) % limit
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred throws.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of several.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    /// A seed for dice that others throw: what they do changes nothing here.
    pub(crate) fn seed(&mut self) -> u64 {
        self.below(u64::MAX)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.0.fill(&mut out);
        out
    }
}

/// Makes a tree of every kind of entry below `root`, which must not exist.
pub(crate) fn make(root: &Path, dice: &mut Dice) {
    fs::create_dir(root).unwrap();
    fill(root, dice, 3);
    for (name, target) in [("link", "a file"), ("dangling", "nowhere/at all"), ("up", "../..")] {
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    }
    fs::create_dir(root.join("empty")).unwrap();
    write(&root.join("a file"), b"hello world\n");
    write(&root.join("empty file"), b"");
    write(&root.join("named <&> \u{2028} é"), b"escaped in JSON");
    let big: Vec<u8> = dice.bytes(9 << 20);
    write(&root.join("big"), &big);
    write(&root.join("zeros"), &vec![0; 5 << 20]);
    for (name, mode) in [("a file", 0o4755), ("empty", 0o1777), ("big", 0o400)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn fill(dir: &Path, dice: &mut Dice, depth: u64) {
    for number in 0..2 + dice.below(12) {
        let len = [0, 1, 100, 5000, 70_000][dice.below(5) as usize];
        let bytes = dice.bytes(len);
        let text = if dice.below(2) == 0 { bytes } else { hex::encode(bytes).into_bytes() };
        write(&dir.join(format!("f{number}.txt")), &text);
    }
    for number in 0..depth {
        let sub = dir.join(format!("d{number}"));
        fs::create_dir(&sub).unwrap();
        fill(&sub, dice, depth - 1);
    }
}

/// Changes some of what is below `root`: contents, names, modes, times; adds and removes.
pub(crate) fn edit(root: &Path, dice: &mut Dice) {
    let files: Vec<PathBuf> = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    for path in &files {
        match dice.below(12) {
            0 => fs::remove_file(path).unwrap(),
            1 => write(path, &dice.bytes(3000)),
            2 => fs::rename(path, path.with_extension("moved")).unwrap(),
            3 => fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap(),
            _ => {}
        }
    }
    let stamp = dice.below(1 << 40);
    write(&root.join(format!("new {stamp}")), &dice.bytes(20_000));
    let mut big = fs::read(root.join("big")).unwrap_or_default();
    if !big.is_empty() {
        let at = dice.below(big.len() as u64) as usize;
        big[at] ^= 0xff;
        fs::set_permissions(root.join("big"), fs::Permissions::from_mode(0o600)).unwrap();
        write(&root.join("big"), &big);
    }
}

/// Writes a file as another program would: in place, not atomically.
#[expect(clippy::disallowed_methods, reason = "a test plays the user")]
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

/// How exactly two trees must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// All times to the nanosecond.
    Exact,
    /// As Kopia restores: directories get another time, links microseconds.
    Kopia,
}

/// One line for each difference between two trees.
pub(crate) fn differences(left: &Path, right: &Path, times: Times) -> Vec<String> {
    Tree::look(left).differences(&Tree::look(right), times)
}

/// What can be seen of one entry.
#[derive(Debug, Clone)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// A digest of a file's bytes, the target of a link, nothing of a directory.
    data: String,
}

impl Seen {
    fn line(&self, times: Times) -> String {
        let Self { mode, owner: (uid, gid), mtime: (seconds, nanos), data } = self;
        let is_file = mode & 0o170_000 == 0o100_000;
        let exact = is_file || times == Times::Exact;
        let time = if exact { format!("{seconds}.{nanos:09}") } else { String::new() };
        format!("{mode:o} {uid}:{gid} {time} {data}")
    }
}

/// Everything that can be seen of a tree; entries that no snapshot holds are passed over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree(BTreeMap<PathBuf, Seen>);

impl Tree {
    /// Looks at a tree, or at a single file.
    pub(crate) fn look(root: &Path) -> Self {
        let mut seen = BTreeMap::new();
        for entry in walkdir::WalkDir::new(root) {
            let entry = entry.unwrap();
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            let kind = entry.file_type();
            let data = if kind.is_file() {
                blake3::hash(&fs::read(entry.path()).unwrap()).to_hex().to_string()
            } else if kind.is_symlink() {
                fs::read_link(entry.path()).unwrap().as_os_str().as_bytes().escape_ascii().to_string()
            } else if kind.is_dir() {
                String::new()
            } else {
                continue;
            };
            let owner = (metadata.uid(), metadata.gid());
            let mtime = (metadata.mtime(), metadata.mtime_nsec());
            let path = entry.path().strip_prefix(root).unwrap_or_else(|_| Path::new(OsStr::new("")));
            seen.insert(path.to_owned(), Seen { mode: metadata.mode(), owner, mtime, data });
        }
        Self(seen)
    }

    /// The same tree under the names that a snapshot keeps: what is not UTF-8 is replaced as Go replaces it.
    pub(crate) fn stored(self) -> Self {
        let kept = |path: &Path| PathBuf::from(gojson::lossy(path.as_os_str().as_bytes()).into_owned());
        Self(self.0.into_iter().map(|(path, seen)| (kept(&path), seen)).collect())
    }

    /// The same tree without what `is_out` says of some component of a path.
    pub(crate) fn without(mut self, is_out: impl Fn(&OsStr) -> bool) -> Self {
        self.0.retain(|path, _| !path.iter().any(&is_out));
        self
    }

    /// One line for each difference.
    pub(crate) fn differences(&self, other: &Self, times: Times) -> Vec<String> {
        let paths = self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        let difference = |path: &PathBuf| {
            let line = |tree: &Self| tree.0.get(path).map_or("nothing".to_owned(), |seen| seen.line(times));
            let (left, right) = (line(self), line(other));
            (left != right).then(|| format!("{}: {left} / {right}", path.display()))
        };
        paths.filter_map(difference).collect()
    }
}
