//! Random trees, edits between runs, policies and interruptions, against a model that is a map in memory.
//!
//! A complete snapshot holds exactly what the model holds; an incomplete one holds a part of it, and nothing that is
//! wrong; the run after it, left alone, holds all. `PACKHORSE_MODEL_CASES` plays more cases than the usual ones, and
//! `PACKHORSE_MODEL_SEED` others.

use crate::support::compare;
use crate::support::live_tree::{set_mtime, write};
use crate::support::programs::named;
use crate::support::world::{self, World, noise};
use packhorse::base::{Counter, MIB, MemoryBudget, Monitor, Quiet, Timestamp};
use packhorse::policy::{Policy, PolicyTree, SourceInfo};
use packhorse::repo::{Repository, WriteOptions};
use packhorse::restore::{RestoreOptions, restore};
use packhorse::snapshot::{
    Catalog, DirEntry, EntryType, UploadOptions, Uploaded, VerifyOptions, upload, verify,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Cases of an ordinary run.
const CASES: u32 = 24;
/// Cases that share a repository, which costs more to make than they do.
const CASES_PER_REPOSITORY: usize = 20;

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
enum Node {
    File { seed: u64, len: usize, version: i64 },
    Link { target: &'static str, version: i64 },
    Pipe,
    Rules { rules: Vec<&'static str>, version: i64 },
    Directory(BTreeMap<Vec<u8>, Node>),
}

impl Node {
    fn bytes(&self) -> Vec<u8> {
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
    fn enter(&mut self, path: &[usize]) -> &mut BTreeMap<Vec<u8>, Node> {
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

    /// Makes it on disk, with the times it had before if it is as before.
    fn make(&self, path: &Path) {
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
enum Edit {
    Put { folder: Vec<usize>, name: usize, node: Node },
    Rules { folder: Vec<usize>, rules: Vec<&'static str> },
    Remove { folder: Vec<usize>, name: usize },
}

#[derive(Debug, Clone)]
struct Rule {
    policy_rules: Vec<&'static str>,
    max_file_bytes: usize,
    compressor: &'static str,
    splitter: &'static str,
    metadata_compressor: &'static str,
    part_bytes: i64,
    forgives_pipes: bool,
    forgives_files: bool,
}

#[derive(Debug, Clone)]
enum Stop {
    Never,
    Limit(u64),
    AfterEvents(i64),
    FailFast,
}

#[derive(Debug, Clone)]
struct Step {
    edits: Vec<Edit>,
    rule: Rule,
    stop: Stop,
    workers: usize,
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

fn step() -> impl Strategy<Value = Step> {
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
struct Wanted {
    entries: BTreeMap<String, (EntryType, Vec<u8>)>,
    failures: i64,
    ignored: i64,
}

fn stored_name(name: &[u8]) -> String {
    std::str::from_utf8(name).map_or_else(|_| "\u{fffd}".to_owned(), str::to_owned)
}

fn is_excluded(rules: &[(String, &str)], path: &str, is_directory: bool) -> bool {
    let name = path.rsplit('/').next().unwrap();
    rules.iter().any(|(base, rule)| match *rule {
        "*.tmp" => name.ends_with(".tmp"),
        "/a" => path == format!("{base}a"),
        "cache/" => is_directory && name == "cache",
        other => name == other,
    })
}

impl Wanted {
    fn of(tree: &Node, rule: &Rule) -> Self {
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

/// Wants the run to stop after some events.
struct Stopper {
    left: AtomicI64,
    cancel: Arc<AtomicBool>,
}

impl Monitor for Stopper {
    fn add(&self, _counter: Counter, _n: u64) {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.cancel.store(true, Ordering::SeqCst);
        }
    }
}

struct Stage {
    repository: Repository,
    cases: usize,
}

struct Case<'a> {
    repository: &'a Repository,
    source: SourceInfo,
    base: tempfile::TempDir,
    tree: Node,
    version: i64,
    runs: i64,
    interrupted: usize,
    roots: Vec<(String, DirEntry)>,
}

impl Case<'_> {
    fn apply(&mut self, edit: &Edit) {
        self.version += 1;
        match edit {
            Edit::Put { folder, name, node } => {
                let mut node = node.clone();
                if let Node::File { version, .. } | Node::Link { version, .. } = &mut node {
                    *version = self.version;
                }
                self.tree.enter(folder).insert(NAMES[*name].to_vec(), node);
            }
            Edit::Rules { folder, rules } => {
                let node = Node::Rules { rules: rules.clone(), version: self.version };
                self.tree.enter(folder).insert(IGNORE_FILE.to_vec(), node);
            }
            Edit::Remove { folder, name } => drop(self.tree.enter(folder).remove(NAMES[*name])),
        }
    }

    fn play(&mut self, step: &Step) {
        step.edits.iter().for_each(|edit| self.apply(edit));
        let source = self.base.path().join("source");
        fs::remove_dir_all(&source).ok();
        self.tree.make(&source);
        let wanted = Wanted::of(&self.tree, &step.rule);
        let uploaded = self.upload(step, &step.stop);
        let must_end =
            matches!(step.stop, Stop::Never) || (matches!(step.stop, Stop::FailFast) && wanted.failures == 0);
        assert!(!must_end || uploaded.incomplete_reason.is_empty(), "{}", uploaded.incomplete_reason);
        self.check(&uploaded, &wanted);
        if !uploaded.incomplete_reason.is_empty() {
            self.interrupted += 1;
            let uploaded = self.upload(step, &Stop::Never);
            assert_eq!(uploaded.incomplete_reason, "");
            self.check(&uploaded, &wanted);
        }
    }

    fn upload(&mut self, step: &Step, stop: &Stop) -> Uploaded {
        let policies = PolicyTree::new(policy(&step.rule), []);
        let mut options = UploadOptions { parallel: step.workers, ..UploadOptions::default() };
        let mut left = i64::MAX;
        match stop {
            Stop::Never => {}
            Stop::Limit(bytes) => options.limit_bytes = *bytes,
            Stop::AfterEvents(events) => left = *events,
            Stop::FailFast => options.fail_fast = true,
        }
        let monitor = Stopper { left: AtomicI64::new(left), cancel: Arc::clone(&options.cancel) };
        let mut writer = self.repository.begin(&WriteOptions::new(2, MemoryBudget::MINIMUM)).unwrap();
        let previous = Catalog::new(writer.manifests()).previous(&self.source, None).unwrap();
        let path = self.base.path().join("source");
        let uploaded = upload(&mut writer, &path, &policies, &previous, &monitor, &options).unwrap();
        self.runs += 1;
        let time = Timestamp::from_nanos(self.runs * 1_000_000_000);
        world::manifest(self.source.clone(), &uploaded, time, time).save(&mut writer).unwrap();
        writer.flush().unwrap();
        drop(writer);
        self.repository.contents().refresh().unwrap();
        uploaded
    }

    fn check(&mut self, uploaded: &Uploaded, wanted: &Wanted) {
        let root = &uploaded.root_entry;
        self.roots.push((format!("run {}", self.runs), root.clone()));
        let options = VerifyOptions { read_percent: 100.0, max_errors: -1 };
        let report = verify(self.repository, &self.roots, &options, &Quiet).unwrap();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        let mut found = Vec::new();
        compare::walk(self.repository, root, "", &mut found).unwrap();
        let mut paths = BTreeMap::new();
        for (path, entry) in found.into_iter().skip(1) {
            let bytes = compare::bytes(self.repository, &entry).unwrap();
            assert!(
                entry.kind == EntryType::Directory || entry.size == bytes.len() as u64,
                "{path} {entry:?}"
            );
            let known = wanted.entries.get(&path);
            let (kind, content) = known.unwrap_or_else(|| panic!("{path:?} must not be there"));
            assert_eq!(entry.kind, *kind, "{path:?}");
            assert!(bytes == *content, "{path:?} holds something else");
            assert!(paths.insert(path.clone(), ()).is_none(), "{path:?} is there twice");
        }
        if uploaded.incomplete_reason.is_empty() {
            let missing: Vec<_> = wanted.entries.keys().filter(|path| !paths.contains_key(*path)).collect();
            assert!(missing.is_empty(), "{missing:?} are missing");
            let stats = &uploaded.stats;
            let errors = (i64::from(stats.error_count), i64::from(stats.ignored_error_count));
            assert_eq!(errors, (wanted.failures, wanted.ignored), "{:?}", root.summ);
            self.check_totals(root, wanted);
            self.check_restored(root, wanted);
        }
    }

    fn check_totals(&self, root: &DirEntry, wanted: &Wanted) {
        let summary = root.summ.as_ref().unwrap();
        let of = |kind| wanted.entries.values().filter(move |(other, _)| *other == kind);
        let bytes = of(EntryType::File).map(|(_, content)| content.len() as u64).sum::<u64>();
        let found = (summary.files, summary.symlinks, summary.dirs, summary.size);
        let counts =
            [EntryType::File, EntryType::Symlink, EntryType::Directory].map(|kind| of(kind).count() as u64);
        assert_eq!(found, (counts[0], counts[1], counts[2] + 1, bytes));
        assert_eq!(
            (summary.num_failed, summary.num_ignored_errors),
            (wanted.failures as u64, wanted.ignored as u64)
        );
    }

    fn check_restored(&self, root: &DirEntry, wanted: &Wanted) {
        let target = self.base.path().join(format!("restored-{}", self.runs));
        restore(self.repository, root, &target, &RestoreOptions::default(), &Quiet).unwrap();
        let mut found = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&target).min_depth(1) {
            let entry = entry.unwrap();
            // Its bytes are those it had: restored are the true names.
            let path = entry.path().strip_prefix(&target).unwrap();
            let names: Vec<_> = path.iter().map(|name| stored_name(name.as_bytes())).collect();
            let (kind, bytes) = match entry.file_type() {
                kind if kind.is_dir() => (EntryType::Directory, Vec::new()),
                kind if kind.is_file() => (EntryType::File, fs::read(entry.path()).unwrap()),
                _ => {
                    (EntryType::Symlink, fs::read_link(entry.path()).unwrap().as_os_str().as_bytes().to_vec())
                }
            };
            found.insert(names.join("/"), (kind, bytes));
        }
        assert!(found == wanted.entries, "{:?} instead of {:?}", found.keys(), wanted.entries.keys());
        fs::remove_dir_all(target).unwrap();
    }
}

fn policy(rule: &Rule) -> Policy {
    let mut policy = Policy::built_in();
    policy.files.ignore = rule.policy_rules.iter().map(ToString::to_string).collect();
    policy.files.ignore_dot_files = vec![".kopiaignore".to_owned()];
    policy.files.max_file_size = rule.max_file_bytes as i64;
    policy.compression.compressor_name = rule.compressor.to_owned();
    policy.metadata_compression.compressor_name = rule.metadata_compressor.to_owned();
    policy.splitter.algorithm = rule.splitter.to_owned();
    policy.upload.parallel_upload_above_size = (rule.part_bytes > 0).then_some(rule.part_bytes);
    policy.error_handling.ignore_unknown_types = Some(rule.forgives_pipes);
    policy.error_handling.ignore_file_errors = Some(rule.forgives_files);
    policy
}

/// A repository for this case, a new one now and then.
fn stage(stage: &mut Option<Stage>) -> &mut Stage {
    if stage.as_ref().is_none_or(|stage| stage.cases >= CASES_PER_REPOSITORY) {
        let format = packhorse::format::NewFormat { max_pack_size: 10 * MIB, ..world::small_format() };
        *stage = Some(Stage { repository: World::new(format).open(), cases: 0 });
    }
    stage.as_mut().unwrap()
}

fn number(variable: &str) -> Option<u64> {
    named(variable).map(|value| value.to_str().unwrap().parse().unwrap())
}

/// Plays a case; how many of its runs were interrupted.
fn play(open: &mut Option<Stage>, steps: &[Step]) -> usize {
    let stage = stage(open);
    stage.cases += 1;
    let source = SourceInfo::new("alice", "laptop", format!("/case/{}", stage.cases));
    let mut case = Case {
        repository: &stage.repository,
        source,
        base: tempfile::tempdir().unwrap(),
        tree: Node::Directory(BTreeMap::new()),
        version: 0,
        runs: 0,
        interrupted: 0,
        roots: Vec::new(),
    };
    steps.iter().for_each(|step| case.play(step));
    case.interrupted
}

#[test]
fn snapshots_hold_what_the_model_holds() {
    let cases = number("PACKHORSE_MODEL_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("PACKHORSE_MODEL_SEED").unwrap_or(0).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (open, interrupted) = (RefCell::new(None), Cell::new(0));
    let result = runner.run(&vec(step(), 1..4), |steps| {
        interrupted.set(interrupted.get() + play(&mut open.borrow_mut(), &steps));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(interrupted.get() >= cases as usize / 5, "only {} runs were interrupted", interrupted.get());
}
