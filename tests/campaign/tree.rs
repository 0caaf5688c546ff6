//! Source trees of every kind of entry that a snapshot holds, and some that none does.

use crate::support::live_tree::{can_change_owners, set_mtime, write};
use crate::support::trees::Dice;
use packhorse::base::{Entropy, SeededEntropy};
use packhorse::splitter;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// Chunks above this are too much for many repositories.
const MAX_CHUNK_BYTES: usize = 2 << 20;

/// What a tree is mostly made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Empty,
    Small,
    Middling,
    Wide,
    Deep,
    /// Files around the lengths that matter to the splitter.
    Big,
}

/// A tree to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct TreePlan {
    seed: u64,
    shape: Shape,
    /// Shortest and longest chunk of the repository's splitter.
    chunk_bytes: (usize, usize),
}

impl TreePlan {
    pub(super) fn draw(dice: &mut Dice, splitter: &str) -> Self {
        let splitter = splitter::by_name(splitter).unwrap();
        let shape = match dice.below(100) {
            0..2 => Shape::Empty,
            2..62 => Shape::Small,
            62..78 => Shape::Middling,
            78..83 => Shape::Wide,
            83..88 => Shape::Deep,
            _ => Shape::Big,
        };
        let chunk_bytes = (splitter.min_len(), splitter.max_len());
        Self { seed: dice.seed(), shape, chunk_bytes }
    }

    /// Makes the tree as `root`, which must not exist; numbers names from the returned number on.
    pub(super) fn make(&self, root: &Path) -> Gardener {
        let mut gardener = Gardener::new(self.seed);
        fs::create_dir(root).unwrap();
        let dice = &mut gardener.dice;
        let (entries, folders) = match self.shape {
            Shape::Empty => (0, 0),
            Shape::Small => (dice.between(1, 25), dice.below(5)),
            Shape::Middling => (dice.between(30, 120), dice.between(3, 15)),
            Shape::Wide => (dice.between(300, 900), dice.below(3)),
            Shape::Deep => (dice.between(1, 40), dice.between(15, 40)),
            Shape::Big => (dice.between(1, 10), dice.below(3)),
        };
        let folders = gardener.folders(root, folders, self.shape == Shape::Deep);
        for _ in 0..entries {
            let folder = gardener.dice.pick(&folders);
            // A wide tree is wide in one place.
            let folder = if self.shape == Shape::Wide { &folders[folders.len() - 1] } else { &folder };
            gardener.plant(folder, if self.shape == Shape::Wide { 300 } else { 70_000 });
        }
        if self.shape == Shape::Big {
            self.big_files(&mut gardener, root);
        }
        for folder in folders.iter().rev() {
            gardener.dress(folder);
        }
        gardener
    }

    fn big_files(&self, gardener: &mut Gardener, root: &Path) {
        let (min, max) = self.chunk_bytes;
        let mut around = vec![300_000, 1 << 20, (1 << 20) + 1, 3_000_000];
        if max <= MAX_CHUNK_BYTES {
            around.extend([min, max, 2 * max, 2 * min + max]);
        } else if gardener.dice.percent(20) {
            around = vec![min, max];
        }
        for _ in 0..gardener.dice.between(1, 3) {
            let len = gardener.dice.pick(&around) + gardener.dice.below(3) as usize - 1;
            let path = root.join(gardener.name());
            let bytes = gardener.bytes(len);
            write(&path, &bytes);
            gardener.dress(&path);
        }
    }
}

/// Draws entries of a tree, and remembers which names it has given.
pub(super) struct Gardener {
    pub(super) dice: Dice,
    named: u64,
    /// Whether nothing has been saved of the tree yet.
    is_new: bool,
}

impl Gardener {
    fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), named: 0, is_new: true }
    }

    /// Goes on with other dice, at a tree that has been saved.
    pub(super) fn reseed(&mut self, seed: u64) {
        (self.dice, self.is_new) = (Dice::new(seed), false);
    }

    /// The root and new directories below it, parents first.
    fn folders(&mut self, root: &Path, count: u64, is_chain: bool) -> Vec<PathBuf> {
        let mut folders = vec![root.to_owned()];
        for _ in 0..count {
            let parent = if is_chain { folders[folders.len() - 1].clone() } else { self.dice.pick(&folders) };
            let path = parent.join(if is_chain { self.short_name() } else { self.name() });
            fs::create_dir(&path).unwrap();
            folders.push(path);
        }
        folders
    }

    fn number(&mut self) -> u64 {
        self.named += 1;
        self.named
    }

    fn short_name(&mut self) -> OsString {
        format!("d{}", self.number()).into()
    }

    /// A name that no other entry has, also when what is not UTF-8 is replaced: of two names that become one, Kopia
    /// keeps both and loses one, and this package counts a failure.
    pub(super) fn name(&mut self) -> OsString {
        let number = self.number();
        let text = |text: String| OsString::from(text);
        let bytes = |prefix: &[u8]| OsString::from_vec([prefix, number.to_string().as_bytes()].concat());
        match self.dice.below(40) {
            0 => bytes(b"\xff\xfe"),
            1 => bytes(b"\xe2\x82"),
            2 => bytes(b"caf\xe9 "),
            3 => bytes(b"\xed\xa0\x80"),
            4 => bytes(b"\x01\x7f\x1b"),
            5 => text(format!("new\nline\t{number}")),
            6 => text(format!("<&>\u{2028}\u{2029}\"\\'{number}")),
            7 => text(format!("e\u{301}\u{e9}\u{65e5}\u{672c}{number}")),
            8 => text(format!("\u{1f40e}\u{10ffff}\u{e000}\u{feff}{number}")),
            9 => text(format!("\u{fffd}{number}")),
            10 => text(format!(" {number} ")),
            11 => text(format!("-{number}")),
            12 => text(format!(".{number}")),
            13 => text(format!("{}{number}", "long".repeat(60))),
            14 => text(format!("{number}.skip")),
            15 => text(format!("A{number}~")),
            16 => text(format!("a{number}*?[x]")),
            17 => text(format!("{number}.")),
            18..24 => text(format!("{number}.txt")),
            24..28 => text(format!("{number}.jpg")),
            _ => text(format!("f{number}")),
        }
    }

    /// Makes one entry in a folder.
    pub(super) fn plant(&mut self, folder: &Path, max_len: u64) {
        let path = folder.join(self.name());
        match self.dice.below(40) {
            0..3 => self.link(&path),
            3 => fs::create_dir(&path).unwrap(),
            4 => return self.hard_link(folder, &path),
            5 if self.dice.percent(20) => {
                mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
            }
            _ => self.file(&path, max_len),
        }
        self.dress(&path);
    }

    pub(super) fn link(&mut self, path: &Path) {
        let target = match self.dice.below(6) {
            0 => OsString::from("nowhere/at all"),
            1 => OsString::from("../.."),
            2 => OsString::from("/etc/hostname"),
            3 => OsString::from_vec(b"\xff\xfe/x".to_vec()),
            4 => OsString::from("long/".repeat(300)),
            _ => OsString::from(format!("f{}", self.dice.below(30))),
        };
        symlink(target, path).unwrap();
    }

    fn hard_link(&mut self, folder: &Path, path: &Path) {
        let files = files_in(folder);
        if files.is_empty() {
            return self.file(path, 100);
        }
        fs::hard_link(self.dice.pick(&files), path).unwrap();
    }

    fn file(&mut self, path: &Path, max_len: u64) {
        let len = match self.dice.below(8) {
            0 => 0,
            1 => self.dice.pick(&[1, 2, 15, 16, 17, 31, 32, 33]),
            2 => self.dice.pick(&[511, 512, 4095, 4096, 4097, 65_535, 65_536]),
            3 => self.dice.below(max_len),
            _ => self.dice.below(max_len.min(4000)),
        };
        let bytes = self.bytes(len as usize);
        write(path, &bytes);
    }

    /// Bytes that shrink a lot, a little or not at all, or that another file has, too.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        match self.dice.below(7) {
            0 => vec![0; len],
            1 => vec![self.dice.below(256) as u8; len],
            2 => hex::encode(self.dice.bytes(len.div_ceil(2)))[..len].into(),
            3 => b"the quick brown fox ".iter().copied().cycle().take(len).collect(),
            4 => shared_bytes(len),
            5 => {
                let mut bytes = self.dice.bytes(len);
                bytes.chunks_mut(10_000).step_by(2).for_each(|stretch| stretch.fill(7));
                bytes
            }
            _ => self.dice.bytes(len),
        }
    }

    /// Gives an entry an owner, a mode and a time.
    pub(super) fn dress(&mut self, path: &Path) {
        self.own(path);
        self.set_mode(path);
        self.touch(path);
    }

    pub(super) fn own(&mut self, path: &Path) {
        if can_change_owners() && self.dice.percent(30) {
            let (uid, gid) = self.dice.pick(&[(1000, 1000), (65_534, 12), (0, 1), (70_000, 2_000_000_000)]);
            lchown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    pub(super) fn set_mode(&mut self, path: &Path) {
        let kind = fs::symlink_metadata(path).unwrap().file_type();
        if kind.is_symlink() {
            return;
        }
        let usual: &[u32] = if kind.is_dir() { &[0o755, 0o700, 0o1777] } else { &[0o644, 0o600, 0o755] };
        let mode =
            if self.dice.percent(20) { self.dice.below(0o10000) as u32 } else { self.dice.pick(usual) };
        // Only root reads what its modes forbid.
        let needed = if can_change_owners() { 0 } else { 0o700 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode | needed)).unwrap();
    }

    /// Sets a modification time.
    pub(super) fn touch(&mut self, path: &Path) {
        set_mtime(path, self.time());
    }

    /// Sets another modification time than `old`, perhaps the next one there is: what keeps size and time has not
    /// changed, for Kopia and for us.
    pub(super) fn touch_after(&mut self, path: &Path, old: i64) {
        let new = if self.dice.percent(10) { old + 1 } else { self.time() };
        set_mtime(path, new);
    }

    fn time(&mut self) -> i64 {
        let second = 1_000_000_000;
        // Times that many entries have are for new trees: an edited file must not get back one that it had.
        match self.dice.below(12) {
            0 if self.is_new => 0,
            1 if self.is_new => -1,
            2 if self.is_new => -86_400 * second - 5,
            3 if self.is_new => 7_258_118_400 * second + 999_999_999,
            4 | 5 => self.dice.below(1_700_000_000) as i64 * second,
            6 => self.dice.below(1_700_000_000) as i64 * second + 120_000_000,
            7 => -(self.dice.below(500_000_000 * second as u64) as i64),
            _ => self.dice.below(1_700_000_000 * second as u64) as i64,
        }
    }
}

/// The modification time of anything in nanoseconds.
pub(super) fn mtime(path: &Path) -> i64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
}

/// Bytes that all files made of them begin with.
fn shared_bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededEntropy::new(1).fill(&mut bytes);
    bytes
}

/// The regular files in a folder by name.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = files.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Whether the policy `--add-ignore=*.skip` leaves an entry of this name out.
pub(super) fn is_skipped(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".skip")
}
