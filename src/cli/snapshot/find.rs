//! `snapshot find`: the versions of a file in all snapshots of a source.

use super::parse_source;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Failure, Status};
use crate::cli::list::mode_text;
use crate::cli::output::{JsonFlags, JsonList, Output};
use packhorse::base::Timestamp;
use packhorse::manifest::ManifestId;
use packhorse::object::ObjectId;
use packhorse::policy;
use packhorse::repo::Repository;
use packhorse::snapshot::{
    Catalog, EntryType, Holder, Mode, NamePattern, SourceFilter, SourceInfo, Version, Wanted, find_versions,
};
use serde::Serialize;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to look for: a name, perhaps with wildcards (`*.txt`), anywhere; or, if there is a slash in it, one path,
    /// absolute or below the roots of the snapshots
    pattern: String,
    /// Only snapshots of this source, as `snapshot list` takes it; may be repeated
    #[arg(long)]
    source: Vec<String>,
    /// Look through the snapshots of other users and hosts too
    #[arg(short, long)]
    all: bool,
    /// At most so many versions of each path: the last ones
    #[arg(short = 'n', long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    #[command(flatten)]
    json: JsonFlags,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let filters = filters(ctx, args, &repository)?;
    let mut failures = 0_u64;
    let mut out = ctx.stdout();
    let mut printer = Printer::begin(ctx, args, &mut out)?;
    let catalog = Catalog::new(&manifests);
    for group in filters.iter().flat_map(|filter| catalog.groups(filter)) {
        let Some(wanted) = wanted(&args.pattern, &group.source)? else { continue };
        let versions = find_versions(repository.objects(), group.load()?, &wanted, |error| {
            failures += 1;
            ctx.talk().warning(Failure::from(error));
            Ok::<_, Failure>(())
        })?;
        printer.source(&group.source, last_of_each(&versions, args.limit))?;
    }
    printer.end()?;
    match failures {
        0 => Ok(()),
        _ => Err(Failure::new(format!("{failures} directories could not be searched"))
            .with_status(Status::Corrupt)),
    }
}

fn filters(ctx: &Context, args: &Args, repository: &Repository) -> Result<Vec<SourceFilter>> {
    if !args.source.is_empty() {
        let parse = |text: &String| Ok(SourceFilter::from(&parse_source(ctx, repository, text)?));
        return args.source.iter().map(parse).collect();
    }
    let identity = repository.identity();
    let (host, user_name) = (identity.hostname.clone(), identity.username.clone());
    let own = SourceFilter { host, user_name, ..SourceFilter::default() };
    Ok(vec![if args.all { SourceFilter::default() } else { own }])
}

/// What that is in a source; `None` if the path lies elsewhere.
fn wanted(pattern: &str, source: &SourceInfo) -> Result<Option<Wanted>> {
    if !pattern.contains('/') {
        return Ok(Some(Wanted::Name(NamePattern::parse(pattern)?)));
    }
    if !pattern.starts_with('/') {
        return Ok(Some(Wanted::Path(pattern.trim_start_matches("./").trim_end_matches('/').to_owned())));
    }
    let path = match pattern.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    if path == source.path {
        return Ok(Some(Wanted::Path(String::new())));
    }
    Ok(policy::nested_relative_path(&source.path, path).map(Wanted::Path))
}

/// Versions come by path.
fn last_of_each(versions: &[Version], limit: usize) -> Vec<Version> {
    let groups = versions.chunk_by(|a, b| a.path == b.path);
    groups.flat_map(|of_path| &of_path[of_path.len().saturating_sub(limit)..]).cloned().collect()
}

/// One version in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    source: &'a SourceInfo,
    path: &'a str,
    #[serde(rename = "type")]
    kind: EntryType,
    mode: Mode,
    size: u64,
    mtime: Timestamp,
    obj: ObjectId,
    first: SnapshotName<'a>,
    last: SnapshotName<'a>,
    snapshots: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_since: Option<SnapshotName<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotName<'a> {
    id: &'a ManifestId,
    start_time: Timestamp,
}

impl<'a> From<&'a Holder> for SnapshotName<'a> {
    fn from(holder: &'a Holder) -> Self {
        Self { id: &holder.id, start_time: holder.start_time }
    }
}

/// Prints versions, source by source.
enum Printer<'a> {
    Text { ctx: &'a Context, out: &'a mut Output, is_first: bool },
    Json(JsonList<'a>),
}

impl<'a> Printer<'a> {
    fn begin(ctx: &'a Context, args: &Args, out: &'a mut Output) -> Result<Self> {
        if args.json.json {
            return Ok(Self::Json(JsonList::begin(out, args.json)?));
        }
        Ok(Self::Text { ctx, out, is_first: true })
    }

    fn source(&mut self, source: &SourceInfo, versions: Vec<Version>) -> Result<()> {
        if versions.is_empty() {
            return Ok(());
        }
        match self {
            Self::Json(list) => versions.iter().try_for_each(|version| list.item(&item(source, version))),
            Self::Text { ctx, out, is_first } => {
                let separator = if std::mem::take(is_first) { "" } else { "\n" };
                out.line(format_args!("{separator}{source}"))?;
                versions.into_iter().try_for_each(|version| out.line(line(ctx, version)))
            }
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Json(list) => list.end(),
            Self::Text { .. } => Ok(()),
        }
    }
}

fn item<'a>(source: &'a SourceInfo, version: &'a Version) -> Item<'a> {
    let Version { path, entry, first, last, snapshots, gone_since } = version;
    Item {
        source,
        path,
        kind: entry.kind,
        mode: entry.mode,
        size: entry.size,
        mtime: entry.mtime,
        obj: entry.obj,
        first: first.into(),
        last: last.into(),
        snapshots: *snapshots,
        gone_since: gone_since.as_ref().map(SnapshotName::from),
    }
}

/// The entry as `ls -l` has it, and then the snapshots.
fn line(ctx: &Context, version: Version) -> String {
    let Version { path, entry, first, last, snapshots, gone_since } = version;
    let zone = ctx.zone();
    let entry = entry.as_listed();
    let (mode, size, time) = (mode_text(&entry), entry.size, zone.format(entry.mtime));
    let path = if path.is_empty() { "." } else { &path };
    let name = |holder: &Holder| format!("{} {}", zone.format(holder.start_time), holder.id);
    let holders = match snapshots {
        1 => format!("in 1 snapshot: {}", name(&first)),
        _ => format!("in {snapshots} snapshots: {} to {}", name(&first), name(&last)),
    };
    let gone =
        gone_since.map_or_else(String::new, |gone| format!(", gone since {}", zone.format(gone.start_time)));
    let object = entry.obj.to_string();
    format!("  {mode} {size:>12} {time} {object:<34} {path}  {holders}{gone}")
}
