//! A tree in memory, what is done to it, and what a snapshot of it must hold.

use crate::support::live_tree::{set_mtime, write};
use crate::support::world::noise;
use packhorse::snapshot::EntryType;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Names; the last two become equal when stored.
const NAMES: &[&[u8]] = &[
    b"a",
    b"b.tmp",
    b"c.log",
    b"cache",
    "\u{fc} & <x>".as_bytes(),
    b" lead",
    b"new\nline",
    b"-dash",
    b"back\\slash",
    b"a name of more than a hundred bytes, which is longer than what fits in a few words of memory, and goes on",
    "\u{fffd}".as_bytes(),
    b"\xff",
];

/// Rules whose order does not matter, so that the model is a few lines.
const RULES: &[&str] = &["*.tmp", "/a", "cache/", "c.log"];
const IGNORE_FILE: &[u8] = b".kopiaignore";

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    File { seed: u64, len: usize, version: i64 },
    Link { target: &'static str, version: i64 },
    Pipe,
    Rules { rules: Vec<&'static str>, version: i64 },
    Directory(BTreeMap<Vec<u8>, Node>),
}

impl Node {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::File { seed, len, .. } if seed % 3 == 0 => {
                seed.to_le_bytes().repeat(len / 8 + 1)[..*len].to_vec()
            }
            Self::File { seed, len, .. } => noise(*seed, *len),
            Self::Rules { rules, .. } => format!("# rules\n\n{}\n", rules.join("\n")).into_bytes(),
            Self::Link { target, .. } => target.as_bytes().to_vec(),
            Self::Pipe | Self::Directory(_) => Vec::new(),
        }
    }

    /// The node at a path; what is in the way becomes a directory.
    pub(super) fn enter(&mut self, path: &[usize]) -> &mut BTreeMap<Vec<u8>, Node> {
        if !matches!(self, Self::Directory(_)) {
            *self = Self::Directory(BTreeMap::new());
        }
        let Self::Directory(members) = self else { unreachable!("it was made one") };
        match path {
            [] => members,
            [first, rest @ ..] => {
                let below = members.entry(NAMES[*first].to_vec());
                below.or_insert_with(|| Self::Directory(BTreeMap::new())).enter(rest)
            }
        }
    }

    /// Does an edit; what is new in it has this version.
    pub(super) fn apply(&mut self, edit: &Edit, now: i64) {
        match edit {
            Edit::Put { folder, name, node } => {
                let mut node = node.clone();
                if let Self::File { version, .. } | Self::Link { version, .. } = &mut node {
                    *version = now;
                }
                self.enter(folder).insert(NAMES[*name].to_vec(), node);
            }
            Edit::Rules { folder, rules } => {
                let node = Self::Rules { rules: rules.clone(), version: now };
                self.enter(folder).insert(IGNORE_FILE.to_vec(), node);
            }
            Edit::Remove { folder, name } => drop(self.enter(folder).remove(NAMES[*name])),
        }
    }

    /// Makes it on disk, with the times it had before if it is as before.
    pub(super) fn make(&self, path: &Path) {
        let second = |version: &i64| (1_700_000_000 + version) * 1_000_000_000;
        match self {
            Self::File { version, .. } | Self::Rules { version, .. } => {
                write(path, &self.bytes());
                set_mtime(path, second(version));
            }
            Self::Link { target, version } => {
                symlink(target, path).unwrap();
                set_mtime(path, second(version));
            }
            Self::Pipe => {
                let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
            }
            Self::Directory(members) => {
                fs::create_dir(path).unwrap();
                for (name, member) in members {
                    member.make(&path.join(OsStr::from_bytes(name)));
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Edit {
    Put { folder: Vec<usize>, name: usize, node: Node },
    Rules { folder: Vec<usize>, rules: Vec<&'static str> },
    Remove { folder: Vec<usize>, name: usize },
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) policy_rules: Vec<&'static str>,
    pub(super) max_file_bytes: usize,
    pub(super) compressor: &'static str,
    pub(super) splitter: &'static str,
    pub(super) metadata_compressor: &'static str,
    pub(super) part_bytes: i64,
    pub(super) forgives_pipes: bool,
    pub(super) forgives_files: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Stop {
    Never,
    Limit(u64),
    AfterEvents(i64),
    FailFast,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) edits: Vec<Edit>,
    pub(super) rule: Rule,
    pub(super) stop: Stop,
    pub(super) workers: usize,
}

fn folder() -> impl Strategy<Value = Vec<usize>> {
    vec(0..NAMES.len(), 0..4)
}

fn rules() -> impl Strategy<Value = Vec<&'static str>> {
    vec(select(RULES), 0..3)
}

fn node() -> impl Strategy<Value = Node> {
    let file = |lens| (any::<u64>(), lens).prop_map(|(seed, len)| Node::File { seed, len, version: 0 });
    prop_oneof![
        6 => file((0_usize..2000).boxed()),
        1 => file(Just(0).boxed()),
        3 => file((100_000_usize..400_000).boxed()),
        2 => select(&["a", "/nowhere/at all", "b.tmp/../c"][..])
            .prop_map(|target| Node::Link { target, version: 0 }),
        1 => Just(Node::Pipe),
        1 => Just(Node::Directory(BTreeMap::new())),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => (folder(), 0..NAMES.len(), node()).prop_map(|(folder, name, node)| Edit::Put { folder, name, node }),
        1 => (folder(), rules()).prop_map(|(folder, rules)| Edit::Rules { folder, rules }),
        2 => (folder(), 0..NAMES.len()).prop_map(|(folder, name)| Edit::Remove { folder, name }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let names = (
        select(&["", "none", "zstd", "s2-default", "gzip", "deflate-best-speed"][..]),
        select(&["", "FIXED-128K", "FIXED-256K", "DYNAMIC-128K-BUZHASH", "DYNAMIC-128K-RABINKARP"][..]),
        select(&["", "none", "zstd-fastest"][..]),
    );
    let numbers = (select(&[0_usize, 0, 1000, 200_000][..]), select(&[0_i64, 0, 150_000][..]));
    (rules(), names, numbers, any::<(bool, bool)>()).prop_map(|(policy_rules, names, numbers, forgives)| {
        Rule {
            policy_rules,
            max_file_bytes: numbers.0,
            compressor: names.0,
            splitter: names.1,
            metadata_compressor: names.2,
            part_bytes: numbers.1,
            forgives_pipes: forgives.0,
            forgives_files: forgives.1,
        }
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let stop = prop_oneof![
        3 => Just(Stop::Never),
        2 => (1_u64..500_000).prop_map(Stop::Limit),
        3 => (0_i64..40).prop_map(Stop::AfterEvents),
        1 => Just(Stop::FailFast),
    ];
    (vec(edit(), 0..12), rule(), stop, 1_usize..4).prop_map(|(edits, rule, stop, workers)| Step {
        edits,
        rule,
        stop,
        workers,
    })
}

/// What a snapshot must hold, by path as it is stored, and how many entries must fail.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) entries: BTreeMap<String, (EntryType, Vec<u8>)>,
    pub(super) failures: i64,
    pub(super) ignored: i64,
}

pub(super) fn stored_name(name: &[u8]) -> String {
    std::str::from_utf8(name).map_or_else(|_| "\u{fffd}".to_owned(), str::to_owned)
}

fn is_excluded(rules: &[(String, &str)], path: &str, is_directory: bool) -> bool {
    let name = path.rsplit('/').next().unwrap();
    rules.iter().any(|(base, rule)| match *rule {
        "*.tmp" => Path::new(name).extension() == Some(OsStr::new("tmp")),
        "/a" => path == format!("{base}a"),
        "cache/" => is_directory && name == "cache",
        other => name == other,
    })
}

impl Wanted {
    pub(super) fn of(tree: &Node, rule: &Rule) -> Self {
        let mut wanted = Self::default();
        let rules: Vec<_> = rule.policy_rules.iter().map(|text| (String::new(), *text)).collect();
        wanted.walk(tree, "", &rules, rule);
        wanted
    }

    fn walk(&mut self, node: &Node, base: &str, outer: &[(String, &'static str)], rule: &Rule) {
        let Node::Directory(members) = node else { unreachable!("only directories are walked") };
        let mut rules = outer.to_vec();
        if let Some(Node::Rules { rules: own, .. }) = members.get(IGNORE_FILE) {
            rules.extend(own.iter().map(|text| (base.to_owned(), *text)));
        }
        let mut names = Vec::new();
        // Names that are no UTF-8 give way to those that are.
        let is_odd = |name: &[u8]| std::str::from_utf8(name).is_err();
        let (plain, odd): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| !is_odd(name));
        for (name, member) in plain.into_iter().chain(odd) {
            let path = format!("{base}{}", stored_name(name));
            let is_directory = matches!(member, Node::Directory(_));
            let is_big = matches!(member, Node::File { len, .. } if *len > rule.max_file_bytes);
            if is_excluded(&rules, &path, is_directory) || (is_big && rule.max_file_bytes > 0) {
                continue;
            }
            if is_odd(name) && members.contains_key(stored_name(name).as_bytes()) {
                *if rule.forgives_files { &mut self.ignored } else { &mut self.failures } += 1;
                continue;
            }
            names.push(path.clone());
            let kind = match member {
                Node::Directory(_) => EntryType::Directory,
                Node::Link { .. } => EntryType::Symlink,
                Node::File { .. } | Node::Rules { .. } => EntryType::File,
                Node::Pipe => {
                    self.failures += i64::from(!rule.forgives_pipes);
                    continue;
                }
            };
            self.entries.insert(path.clone(), (kind, member.bytes()));
            if is_directory {
                self.walk(member, &format!("{path}/"), &rules, rule);
            }
        }
    }
}
