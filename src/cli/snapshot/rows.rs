//! Snapshots as lines of text.

use super::list::Listed;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::list::mode_text;
use packhorse::base::Timestamp;
use packhorse::object::ObjectId;
use packhorse::policy::compact_reasons;
use packhorse::repo::Repository;
use packhorse::snapshot::{self, DirEntry, EntryType, StorageUsage};

/// What the lines are to have.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(super) struct RowArgs {
    /// Show sizes in KB, MB …; on unless --no-human-readable
    #[arg(long, num_args = 0, default_missing_value = "true")]
    human_readable: Option<bool>,
    /// Show how much bigger each is than the one before
    #[arg(short, long)]
    delta: bool,
    /// Show manifest ids
    #[arg(short, long)]
    manifest_id: bool,
    /// Show modification times
    #[arg(long)]
    mtime: bool,
    /// Show owners
    #[arg(long)]
    owner: bool,
    /// Show equal snapshots one by one
    #[arg(short = 'l', long)]
    show_identical: bool,
}

/// Prints the snapshots of one source.
pub(super) struct Rows<'a> {
    ctx: &'a Context,
    repository: &'a Repository,
    args: &'a RowArgs,
    with_incomplete: bool,
}

/// One line, which may stand for several equal snapshots.
struct Row {
    first: Timestamp,
    last: Timestamp,
    count: usize,
    object: ObjectId,
    bits: Vec<String>,
    reasons: Vec<String>,
    pins: Vec<String>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        repository: &'a Repository,
        args: &'a RowArgs,
        with_incomplete: bool,
    ) -> Self {
        Self { ctx, repository, args, with_incomplete }
    }

    pub(super) fn print(&self, group: &[Listed]) -> Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        let mut previous_bytes = 0;
        for listed in group {
            let snapshot = &listed.snapshot;
            let entry = match self.entry(listed) {
                Ok(entry) => entry,
                Err(error) => {
                    let time = self.ctx.zone().format(snapshot.start_time);
                    self.ctx.stdout().line(format_args!("  {time} <ERROR> {error}"))?;
                    continue;
                }
            };
            if !snapshot.is_complete() && !self.with_incomplete {
                continue;
            }
            let row = self.row(listed, &entry, previous_bytes);
            if snapshot.is_complete() {
                previous_bytes = snapshot.stats.total_size;
            }
            match rows.last_mut().filter(|last| last.object == row.object && !self.args.show_identical) {
                Some(last) => last.absorb(row),
                None => rows.push(row),
            }
        }
        rows.into_iter().try_for_each(|row| self.print_row(row))
    }

    fn entry(&self, listed: &Listed) -> Result<DirEntry> {
        let root = listed.snapshot.root_entry.clone().ok_or_else(|| Failure::new("it has no root"))?;
        Ok(snapshot::resolve_path(self.repository.objects(), root, &listed.below)?)
    }

    fn row(&self, listed: &Listed, entry: &DirEntry, previous_bytes: i64) -> Row {
        let Listed { snapshot, reasons, .. } = listed;
        Row {
            first: snapshot.start_time,
            last: snapshot.start_time,
            count: 1,
            object: entry.obj,
            bits: self.bits(listed, entry, previous_bytes),
            reasons: reasons.clone(),
            pins: snapshot.pins.clone(),
        }
    }

    fn bits(&self, listed: &Listed, entry: &DirEntry, previous_bytes: i64) -> Vec<String> {
        let snapshot = &listed.snapshot;
        let mut bits = Vec::new();
        if !snapshot.is_complete() {
            bits.push(format!("incomplete:{}", snapshot.incomplete_reason));
        }
        let bytes = entry.summ.as_ref().map_or(entry.size, |summary| summary.size);
        bits.push(match self.args.human_readable {
            Some(false) => bytes.to_string(),
            _ => self.ctx.sizes().format(bytes),
        });
        bits.push(mode_text(entry));
        if self.args.owner {
            bits.extend([format!("uid:{}", entry.uid), format!("gid:{}", entry.gid)]);
        }
        if self.args.mtime {
            bits.push(format!("modified:{}", self.ctx.zone().format(entry.mtime)));
        }
        if self.args.manifest_id {
            bits.push(format!("manifest:{}", snapshot.id));
        }
        let grown = u64::try_from(bytes as i64 - previous_bytes).unwrap_or(0);
        if self.args.delta && grown > 0 {
            bits.push(format!("(+{})", self.ctx.sizes().format(grown)));
        }
        if let Some(summary) = entry.summ.as_ref().filter(|_| entry.kind == EntryType::Directory) {
            bits.extend([format!("files:{}", summary.files), format!("dirs:{}", summary.dirs)]);
            if summary.num_failed > 0 {
                bits.push(format!("errors:{}", summary.num_failed));
            }
        }
        if let Some(usage) = &listed.usage {
            bits.extend(self.usage_bits(&usage.new_data));
        }
        bits
    }

    fn usage_bits(&self, new: &StorageUsage) -> [String; 4] {
        [
            format!("new-data:{}", self.ctx.sizes().format(new.packed_content_bytes)),
            format!("new-files:{}", new.file_objects),
            format!("new-dirs:{}", new.dir_objects),
            format!("compression:{}", saved(new.original_content_bytes, new.packed_content_bytes)),
        ]
    }

    fn print_row(&self, mut row: Row) -> Result<()> {
        if !self.args.show_identical {
            row.reasons = compact_reasons(&row.reasons);
            row.pins.sort();
            row.pins.dedup();
        }
        if !row.reasons.is_empty() {
            row.bits.push(format!("({})", row.reasons.join(",")));
        }
        if !row.pins.is_empty() {
            row.bits.push(format!("pins:{}", row.pins.join(",")));
        }
        let (zone, mut out) = (self.ctx.zone(), self.ctx.stdout());
        out.line(format_args!("  {} {} {}", zone.format(row.first), row.object, row.bits.join(" ")))?;
        if row.count > 1 {
            let (more, last) = (row.count - 1, zone.format(row.last));
            out.line(format_args!("  + {more} identical snapshots until {last}"))?;
        }
        Ok(())
    }
}

/// The share of `original` bytes that is not stored, as Kopia prints it.
fn saved(original: u64, stored: u64) -> String {
    if stored >= original {
        return "0%".to_owned();
    }
    format!("{:.1}%", 100.0 * (1.0 - stored as f64 / original as f64))
}

impl Row {
    fn absorb(&mut self, next: Self) {
        self.last = next.last;
        self.count += next.count;
        self.reasons.extend(next.reasons);
        self.pins.extend(next.pins);
    }
}
