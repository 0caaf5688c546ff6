//! `snapshot list`: which snapshots there are, and why they are kept.

use super::document::SnapshotDocument;
use super::rows::{RowArgs, Rows};
use super::{covering, parse_source, parse_tags};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output::JsonFlags;
use crate::cli::units;
use jiff::tz::TimeZone;
use packhorse::base::gojson;
use packhorse::manifest::ManifestStore;
use packhorse::policy::{self, PolicyStore};
use packhorse::repo::Repository;
use packhorse::snapshot::{
    Catalog, SnapshotManifest, SourceFilter, SourceGroup, SourceInfo, StorageStats, UsageCounter,
};

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    /// Path or source; snapshots of the directories above it are shown too
    source: Option<String>,
    /// Show snapshots of other users and hosts too (JSON always has them)
    #[arg(short, long)]
    all: bool,
    /// Show snapshots that were cut short too (JSON always has them)
    #[arg(short, long)]
    incomplete: bool,
    /// Show at most so many of each source: the last ones
    #[arg(short = 'n', long, default_value = "0", value_parser = units::parse_number,
          allow_negative_numbers = true)]
    max_results: i64,
    /// Newest first
    #[arg(long)]
    reverse: bool,
    /// Only snapshots with this tag, of the form key:value; may be repeated
    #[arg(long, value_name = "KEY:VALUE")]
    tags: Vec<String>,
    /// Say why each is kept; on unless --no-retention
    #[arg(long, num_args = 0, default_missing_value = "true")]
    retention: Option<bool>,
    #[command(flatten)]
    rows: RowArgs,
    /// Count what each adds to those before it of the same source
    #[arg(long)]
    storage_stats: bool,
    #[command(flatten)]
    json: JsonFlags,
}

/// A snapshot, the way from its root to the path asked for, and why it is kept.
pub(super) struct Listed {
    pub(super) snapshot: SnapshotManifest,
    pub(super) below: String,
    pub(super) reasons: Vec<String>,
    pub(super) usage: Option<StorageStats>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let tags = parse_tags(&args.tags)?;
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let found = select(ctx, args, &repository, &manifests, tags)?;
    let lister = Lister { ctx, args, repository: &repository, policies: PolicyStore::new(&manifests) };
    if args.json.json {
        return lister.print_json(found);
    }
    let (identity, had_any) = (repository.identity(), !found.is_empty());
    let is_shown = |source: &SourceInfo| {
        args.all || (source.host == identity.hostname && source.user_name == identity.username)
    };
    let mut shown = 0;
    for selected in found.iter().filter(|(group, _)| is_shown(&group.source)) {
        let separator = if shown == 0 { "" } else { "\n" };
        ctx.stdout().line(format_args!("{separator}{}", selected.0.source))?;
        // As in Kopia: text gives the reasons among all snapshots, JSON those among the ones listed.
        let rows = lister.with_usage(last(args, lister.with_reasons(lister.load(selected)?)?))?;
        Rows::new(ctx, &repository, &args.rows, args.incomplete).print(&rows)?;
        shown += 1;
    }
    if shown == 0 && had_any {
        ctx.talk().line("all snapshots belong to other users or hosts; --all shows them");
    }
    Ok(())
}

/// A snapshot and the way from its root to the path asked for.
type Found = (SnapshotManifest, String);

/// The snapshots of a source and the way from their root to the path asked for.
type Selected<'a> = (SourceGroup<'a>, String);

/// The sources asked for, sorted.
fn select<'a>(
    ctx: &Context,
    args: &Args,
    repository: &Repository,
    manifests: &'a ManifestStore,
    tags: Vec<(String, String)>,
) -> Result<Vec<Selected<'a>>> {
    let catalog = Catalog::new(manifests);
    let Some(text) = &args.source else {
        let filter = SourceFilter { labels: tags, ..SourceFilter::default() };
        return Ok(catalog.groups(&filter).into_iter().map(|group| (group, String::new())).collect());
    };
    let source = parse_source(ctx, repository, text)?;
    if source.path.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = covering(catalog, &source, &tags);
    found.sort_by_cached_key(|(group, _)| group.source.to_string());
    Ok(found)
}

/// Adds to the snapshots what is not in their manifests.
struct Lister<'a> {
    ctx: &'a Context,
    args: &'a Args,
    repository: &'a Repository,
    policies: PolicyStore<'a>,
}

impl Lister<'_> {
    /// The snapshots of one source, sorted by time. A consumer of the list that does not look at `incomplete` would take
    /// half a backup for a whole one, so it is told.
    fn load(&self, (group, below): &Selected<'_>) -> Result<Vec<Found>> {
        let mut snapshots = group.load()?;
        snapshots.sort_by_key(|snapshot| (snapshot.start_time, snapshot.end_time));
        if let Some(newest) = snapshots.last().filter(|newest| !newest.is_complete()) {
            let reason = &newest.incomplete_reason;
            let source = &group.source;
            self.ctx
                .talk()
                .line(format_args!("warning: the newest snapshot of {source} is incomplete: {reason}"));
        }
        if self.args.reverse {
            snapshots.reverse();
        }
        Ok(snapshots.into_iter().map(|snapshot| (snapshot, below.clone())).collect())
    }

    fn with_reasons(&self, group: Vec<Found>) -> Result<Vec<Listed>> {
        let mut reasons = vec![Vec::new(); group.len()];
        if self.args.retention.unwrap_or(true) && !group.is_empty() {
            let retention = self.policies.effective(&group[0].0.source)?.policy.retention;
            let candidates: Vec<_> =
                group.iter().map(|(snapshot, _)| snapshot.retention_candidate()).collect();
            reasons = policy::reasons(&candidates, &retention, &TimeZone::system());
        }
        let listed = |((snapshot, below), reasons)| Listed { snapshot, below, reasons, usage: None };
        Ok(group.into_iter().zip(reasons).map(listed).collect())
    }

    /// Counts, in the order of the list, what each has that those before it have not.
    fn with_usage(&self, mut group: Vec<Listed>) -> Result<Vec<Listed>> {
        if self.args.storage_stats {
            let mut counter = UsageCounter::new(self.repository);
            for listed in &mut group {
                if let Some(root) = &listed.snapshot.root_entry {
                    listed.usage = Some(counter.add(root)?);
                }
            }
        }
        Ok(group)
    }

    /// Prints Kopia's framing, byte for byte. Source: kopia `cli/json_output.go`.
    fn print_json(&self, groups: Vec<Selected<'_>>) -> Result<()> {
        let mut out = self.ctx.stdout();
        let is_indented = self.args.json.json_indent;
        let mut separator = if is_indented { "" } else { "\n " };
        out.text("[")?;
        for selected in groups {
            let found = last(self.args, self.load(&selected)?);
            for listed in self.with_usage(self.with_reasons(found)?)? {
                let document = SnapshotDocument::new(&listed.snapshot, &listed.reasons);
                let document = document.with_usage(listed.usage.as_ref());
                out.text(format_args!("{separator}{}", json_text(&document, is_indented)?))?;
                separator = if is_indented { "," } else { ",\n " };
            }
        }
        out.text(if is_indented { "]" } else { "\n]" })
    }
}

fn json_text(document: &SnapshotDocument<'_>, is_indented: bool) -> Result<String> {
    let json = if is_indented { gojson::to_pretty(document) } else { gojson::to_vec(document) };
    let json = json.map_err(|error| Failure::new(format!("cannot print JSON: {error}")))?;
    let text = String::from_utf8_lossy(&json);
    Ok(if is_indented { text.replace('\n', "\n  ") } else { text.into_owned() })
}

/// The last of a group, as many as asked for.
fn last<T>(args: &Args, mut group: Vec<T>) -> Vec<T> {
    match usize::try_from(args.max_results) {
        Ok(n) if n > 0 && n < group.len() => group.split_off(group.len() - n),
        _ => group,
    }
}
