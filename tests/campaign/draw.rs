//! What a seed stands for: a repository, a tree, and what happens to both.
//!
//! Everything is drawn before anything is done, and every part that draws more later gets a seed of its own, so that a
//! seed means the same whatever programs are there to play it.

use super::tree::TreePlan;
use crate::support::trees::Dice;
use packhorse::crypto::{ENCRYPTIONS, HASHES, PBKDF2_SHA256_600000};
use packhorse::splitter;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// This package as a library, in this process.
    Library,
    /// This package's program.
    Binary,
    /// The Kopia that `PACKHORSE_TEST_KOPIA` names.
    Kopia,
    /// The one that `PACKHORSE_TEST_KOPIA_OLD` names.
    OlderKopia,
}

impl Writer {
    fn draw(dice: &mut Dice) -> Self {
        dice.pick(&[
            Self::Library,
            Self::Library,
            Self::Library,
            Self::Binary,
            Self::Kopia,
            Self::Kopia,
            Self::OlderKopia,
        ])
    }

    /// One who has a command line: of the programs, this package's or Kopia's.
    fn draw_program(dice: &mut Dice) -> Self {
        dice.pick(&[Self::Binary, Self::Kopia, Self::Kopia, Self::OlderKopia])
    }

    /// Whether it is this package.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Library | Self::Binary)
    }
}

/// How a repository is made.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    pub(super) creator: Writer,
    pub(super) version: u8,
    pub(super) hash: &'static str,
    pub(super) encryption: &'static str,
    pub(super) splitter: &'static str,
    pub(super) ecc_percent: u8,
    /// The cheaper one in nine of ten: half the processor time of a small repository goes into keys.
    pub(super) key_derivation: &'static str,
    /// The `.shards` file that is there before the repository, if any.
    pub(super) layout: Option<&'static str>,
    /// Flags of Kopia's `repository set-parameters`, empty for none.
    pub(super) changes: Vec<String>,
    /// Whether there are flags for the shortest epochs among these.
    pub(super) has_short_epochs: bool,
    /// Flags of `policy set --global`, empty for none.
    pub(super) policy: Vec<String>,
    /// Threads of the library's uploads.
    pub(super) threads: usize,
}

/// Something that is done to a repository beside snapshots.
#[derive(Debug, Clone)]
pub(super) enum Admin {
    /// `policy set` with these flags, for everything or for the source.
    Policy { writer: Writer, global: bool, flags: Vec<String> },
    /// `snapshot delete` of one of those that are there.
    DeleteSnapshot { writer: Writer, which: u64 },
    /// Kopia's `manifest delete` of a snapshot.
    DeleteManifest { which: u64 },
    /// Kopia's `snapshot pin`.
    Pin { which: u64 },
    /// Kopia's `maintenance run`, with or without its margins.
    Maintenance { full: bool, safe: bool },
    /// Kopia's `index optimize`.
    OptimizeIndex,
    /// Kopia's `content rewrite` of short packs.
    Rewrite,
    /// Kopia's `repository set-parameters`.
    SetParameters { flags: Vec<String> },
    /// Kopia's `blob shards modify`.
    Reshard { widths: &'static str },
    /// Many small sessions of the library, after which all blobs are made this old; then often Kopia's maintenance,
    /// which advances epochs and compacts them.
    Burst { sessions: u64, hours: i64, maintained: bool },
    /// Kopia's `snapshot create` with a limit that big trees exceed, so that an incomplete snapshot is left.
    StopShort,
    /// Kopia's `repository change-password`.
    ChangePassword,
}

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The whole tree.
    Tree,
    /// A file in it.
    File { which: u64 },
    /// A directory in it.
    Below { which: u64 },
}

/// A snapshot by one writer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shot {
    pub(super) writer: Writer,
    /// Whether all files are read, the unchanged ones too.
    pub(super) force_hash: bool,
    /// Whether it gets a description and a tag, if a program makes it.
    pub(super) is_labelled: bool,
}

/// One round: edits, something else, one or two snapshots, all checks.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) edits_seed: u64,
    /// Number of edits.
    pub(super) edits: u64,
    pub(super) admin: Option<Admin>,
    pub(super) target: Target,
    pub(super) first: Shot,
    /// Another one of the same tree by somebody else.
    pub(super) second: Option<Shot>,
}

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) parameters: Parameters,
    pub(super) tree: TreePlan,
    pub(super) steps: Vec<Step>,
    pub(super) last: Last,
}

/// What of the dearer checks is made at the end: each call of Kopia costs a tenth of a second for the password's key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    /// Which of the snapshots Kopia restores.
    pub(super) restored: u64,
    /// Whether Kopia reads every content.
    pub(super) content_verify: bool,
    /// Whether the parameters are compared.
    pub(super) status: bool,
    /// Whether the blobs are compared.
    pub(super) blobs: bool,
}

impl Plan {
    /// What `seed` stands for.
    pub(super) fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let parameters = parameters(&mut Dice::new(dice.seed()));
        let tree = TreePlan::draw(&mut Dice::new(dice.seed()), parameters.splitter);
        let steps = dice.pick(&[2, 2, 3, 3, 3, 4]);
        let short = parameters.has_short_epochs;
        let steps = (0..steps).map(|number| step(&mut Dice::new(dice.seed()), number, short)).collect();
        let last = Last {
            restored: dice.seed(),
            content_verify: dice.percent(25),
            status: dice.percent(40),
            blobs: dice.percent(40),
        };
        Self { seed, parameters, tree, steps, last }
    }
}

const LAYOUTS: &[&str] = &[
    r#"{"default":[],"maxNonShardedLength":20}"#,
    r#"{"default":[3,3],"maxNonShardedLength":20}"#,
    r#"{"default":[2,2,2],"maxNonShardedLength":5}"#,
    r#"{"default":[1,3],"maxNonShardedLength":20,"overrides":[{"prefix":"q","shards":[4]},{"prefix":"x","shards":[]}]}"#,
];

fn parameters(dice: &mut Dice) -> Parameters {
    let version = dice.pick(&[1, 2, 2, 3, 3, 3, 3]);
    let splitters: Vec<_> = splitter::names().collect();
    let small: Vec<_> =
        splitters.iter().copied().filter(|name| name.contains("128K") || name.contains("256K")).collect();
    let is_small = dice.percent(50);
    let epochs = version > 1 && dice.percent(30);
    let mut changes = Vec::new();
    if dice.percent(25) {
        changes.push(format!("--max-pack-size-mb={}", dice.pick(&[10, 11, 20, 50, 120])));
    }
    if epochs {
        changes.extend(epoch_flags(dice));
    }
    Parameters {
        creator: dice.pick(&[
            Writer::Library,
            Writer::Library,
            Writer::Binary,
            Writer::Kopia,
            Writer::Kopia,
            Writer::OlderKopia,
        ]),
        version,
        hash: dice.pick(HASHES),
        encryption: dice.pick(ENCRYPTIONS),
        splitter: if is_small { dice.pick(&small) } else { dice.pick(&splitters) },
        // Version 1 has no error correction.
        ecc_percent: if version > 1 && dice.percent(40) { dice.between(1, 100) as u8 } else { 0 },
        key_derivation: if dice.percent(90) {
            PBKDF2_SHA256_600000
        } else {
            packhorse::crypto::SCRYPT_65536_8_1
        },
        layout: dice.percent(40).then(|| dice.pick(LAYOUTS)),
        changes,
        has_short_epochs: epochs,
        policy: if dice.percent(80) { policy(dice) } else { Vec::new() },
        threads: dice.between(1, 3) as usize,
    }
}

/// The tightest epochs that Kopia takes: only so a few steps advance one.
fn epoch_flags(dice: &mut Dice) -> Vec<String> {
    vec![
        format!("--epoch-min-duration={}", dice.pick(&["10m", "1h", "6h"])),
        "--epoch-refresh-frequency=3m".to_owned(),
        format!("--epoch-cleanup-safety-margin={}", dice.pick(&["9m", "1h"])),
        format!("--epoch-advance-on-count={}", dice.pick(&[10, 12, 20])),
        format!("--epoch-advance-on-size-mb={}", dice.pick(&[1, 10])),
        format!("--epoch-checkpoint-frequency={}", dice.pick(&[1, 2, 7])),
    ]
}

/// Names that Kopia takes in a policy. `lz4`, which it only reads, is not among them.
pub(crate) const COMPRESSORS: &[&str] = &[
    "none",
    "deflate-best-compression",
    "deflate-best-speed",
    "deflate-default",
    "gzip",
    "gzip-best-compression",
    "gzip-best-speed",
    "pgzip",
    "pgzip-best-compression",
    "pgzip-best-speed",
    "s2-better",
    "s2-default",
    "s2-parallel-4",
    "s2-parallel-8",
    "zstd",
    "zstd-best-compression",
    "zstd-better-compression",
    "zstd-fastest",
];

/// Flags of `policy set`, at least one.
fn policy(dice: &mut Dice) -> Vec<String> {
    let mut flags = vec![format!("--compression={}", dice.pick(COMPRESSORS))];
    let mut maybe = |chance, flag: &dyn Fn(&mut Dice) -> String| {
        if dice.percent(chance) {
            let flag = flag(dice);
            flags.push(flag);
        }
    };
    maybe(30, &|dice| format!("--metadata-compression={}", dice.pick(COMPRESSORS)));
    maybe(10, &|dice| format!("--compression-min-size={}", dice.pick(&[1, 100, 5000])));
    maybe(10, &|dice| format!("--compression-max-size={}", dice.pick(&[1000, 100_000])));
    maybe(10, &|_| "--add-only-compress=.txt".to_owned());
    maybe(10, &|_| "--add-never-compress=.txt".to_owned());
    maybe(15, &|dice| format!("--splitter={}", dice.pick(&splitter::names().collect::<Vec<_>>())));
    maybe(15, &|_| "--parallel-upload-above-size-mib=1".to_owned());
    maybe(10, &|_| "--max-parallel-file-reads=3".to_owned());
    maybe(10, &|_| "--add-ignore=*.skip".to_owned());
    maybe(8, &|_| "--ignore-identical-snapshots=true".to_owned());
    if dice.percent(10) {
        flags.push(format!("--keep-latest={}", dice.between(1, 3)));
        flags.extend(
            ["hourly", "daily", "weekly", "monthly", "annual"].map(|every| format!("--keep-{every}=0")),
        );
    }
    flags
}

fn step(dice: &mut Dice, number: u64, has_short_epochs: bool) -> Step {
    let first =
        Shot { writer: Writer::draw(dice), force_hash: dice.percent(15), is_labelled: dice.percent(10) };
    let second = dice.percent(45).then(|| {
        let mut writer = Writer::draw(dice);
        while writer.is_ours() == first.writer.is_ours() {
            writer = Writer::draw(dice);
        }
        Shot { writer, force_hash: dice.percent(60), is_labelled: false }
    });
    Step {
        edits_seed: dice.seed(),
        edits: if number == 0 || dice.percent(10) { 0 } else { dice.pick(&[1, 1, 2, 4, 8, 20]) },
        // Before the first snapshot there is nothing to work on.
        admin: match number {
            0 => None,
            _ if has_short_epochs && dice.percent(50) => Some(burst(dice)),
            _ => dice.percent(65).then(|| admin(dice)),
        },
        target: match dice.below(20) {
            0 | 1 => Target::File { which: dice.seed() },
            2 | 3 => Target::Below { which: dice.seed() },
            _ => Target::Tree,
        },
        first,
        second,
    }
}

fn admin(dice: &mut Dice) -> Admin {
    match dice.below(100) {
        0..15 => {
            let (writer, global) = (Writer::draw_program(dice), dice.percent(50));
            Admin::Policy { writer, global, flags: policy(dice) }
        }
        15..30 => Admin::DeleteSnapshot { writer: Writer::draw_program(dice), which: dice.seed() },
        30..35 => Admin::DeleteManifest { which: dice.seed() },
        35..40 => Admin::Pin { which: dice.seed() },
        40..65 => Admin::Maintenance { full: dice.percent(80), safe: dice.percent(15) },
        65..70 => Admin::OptimizeIndex,
        70..75 => Admin::Rewrite,
        75..80 => Admin::SetParameters { flags: set_parameters(dice) },
        80..85 => Admin::Reshard { widths: dice.pick(&["flat", "1", "3,3", "2,2,2"]) },
        85..88 => Admin::ChangePassword,
        88..92 => Admin::StopShort,
        _ => burst(dice),
    }
}

fn burst(dice: &mut Dice) -> Admin {
    let (sessions, hours) = (dice.between(9, 14), dice.pick(&[0, 1, 30, 200]));
    Admin::Burst { sessions, hours, maintained: dice.percent(60) }
}

fn set_parameters(dice: &mut Dice) -> Vec<String> {
    dice.pick(&[
        vec!["--upgrade".to_owned()],
        vec!["--index-version=2".to_owned()],
        vec!["--max-pack-size-mb=12".to_owned()],
    ])
}
