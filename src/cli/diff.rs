//! `diff`: what differs between two stored directories, in Kopia's words.

use super::Result;
use super::context::Context;
use super::exit::{Explain, Failure};
use super::list::mode_text;
use super::output::{JsonFlags, JsonList};
use super::private_folder::PrivateFolder;
use packhorse::base::Timestamp;
use packhorse::object::ObjectReader;
use packhorse::repo::Repository;
use packhorse::snapshot::{self, DiffStats, Difference, DirEntry, EntryType, MetadataDiff};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

/// What compares two files where neither the flag nor `KOPIA_DIFF` says otherwise.
const DEFAULT_COMMAND: &str = "diff -u";

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Older directory, as ID or ID/path; the id is that of a snapshot, of its root, or of any directory
    object_path1: String,
    /// Newer directory
    object_path2: String,
    /// Compare the files that differ, too, with the command
    #[arg(short, long)]
    files: bool,
    /// Print the numbers only
    #[arg(long)]
    stats_only: bool,
    /// Command that compares two files; `diff -u` unless `KOPIA_DIFF` says otherwise
    #[arg(long)]
    diff_command: Option<String>,
    #[command(flatten)]
    json: JsonFlags,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let old = directory(&repository, &args.object_path1)?;
    let new = directory(&repository, &args.object_path2)?;
    let objects = repository.objects();
    if args.json.json {
        return print_json(ctx, args, objects, old, new);
    }
    let files = if args.files { Some(FileDiff::prepare(ctx, args, objects)?) } else { None };
    let stats = snapshot::diff(objects, old, new, |difference| {
        if !args.stats_only {
            for line in lines(&difference) {
                ctx.stdout().line(line)?;
            }
        }
        match &files {
            Some(files) if !difference.has_same_content() => files.compare(ctx, &difference),
            _ => Ok(()),
        }
    })?;
    // Kopia ends without a line feed.
    ctx.stdout().json_text(&stats, false)
}

fn directory(repository: &Repository, text: &str) -> Result<DirEntry> {
    let manifests = repository.load_manifests()?;
    let entry = snapshot::resolve(repository.objects(), &manifests, text, false)?;
    if entry.kind == EntryType::Directory {
        return Ok(entry);
    }
    Err(Failure::new(format!("{text} is not a directory, and only directories can be compared"))
        .with_hint("print files with `packhorse show` and compare what it prints"))
}

/// One difference in JSON: what is the same in both is not repeated.
#[derive(Serialize)]
struct Item<'a> {
    path: &'a str,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<&'a DirEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<&'a DirEntry>,
}

fn print_json(
    ctx: &Context,
    args: &Args,
    objects: &ObjectReader,
    old: DirEntry,
    new: DirEntry,
) -> Result<()> {
    let mut out = ctx.stdout();
    if args.stats_only {
        let stats = snapshot::diff(objects, old, new, |_| Ok::<_, Failure>(()))?;
        return out.json(&stats, args.json.json_indent);
    }
    out.text("{\"differences\":")?;
    let mut list = JsonList::begin(&mut out, args.json)?;
    let stats: DiffStats = snapshot::diff(objects, old, new, |difference| {
        let Difference { path, old, new } = difference;
        let change = match (old, new) {
            (None, _) => "added",
            (_, None) => "removed",
            _ if difference.has_same_content() => "metadata",
            _ => "changed",
        };
        list.item(&Item { path, change, old, new })
    })?;
    list.end()?;
    out.text(",\"stats\":")?;
    out.json_text(&stats, args.json.json_indent)?;
    out.text("}\n")
}

/// What Kopia says about a difference; nothing where only metadata differ.
fn lines(difference: &Difference<'_>) -> Vec<String> {
    let path = difference.path;
    match (difference.old, difference.new) {
        _ if difference.has_same_content() => Vec::new(),
        (None, Some(new)) => vec![came_or_went("added", path, new)],
        (Some(old), None) => vec![came_or_went("removed", path, old)],
        (Some(old), Some(new)) => changed(path, old, new),
        (None, None) => Vec::new(),
    }
}

fn came_or_went(what: &str, path: &str, entry: &DirEntry) -> String {
    match entry.kind {
        EntryType::Directory => format!("{what} directory {path}"),
        _ => format!("{what} file {path} ({} bytes)", entry.size),
    }
}

fn changed(path: &str, old: &DirEntry, new: &DirEntry) -> Vec<String> {
    let differs = MetadataDiff::of(old, new);
    let mut lines = Vec::new();
    let mut differ = |is_so: bool, what: &str, old: String, new: String| {
        if is_so {
            lines.push(format!("{path} {what} differ: {old} {new}"));
        }
    };
    differ(differs.mode, "modes", mode_text(old), mode_text(new));
    differ(differs.size, "sizes", old.size.to_string(), new.size.to_string());
    differ(differs.mtime, "modification times", go_time(old.mtime), go_time(new.mtime));
    differ(differs.uid, "owner users", old.uid.to_string(), new.uid.to_string());
    differ(differs.gid, "owner groups", old.gid.to_string(), new.gid.to_string());
    match (old.kind, new.kind) {
        (EntryType::Directory, EntryType::Directory) => {}
        (EntryType::Directory, _) => {
            lines.push(format!("changed {path} from directory to non-directory"));
        }
        (_, EntryType::Directory) => {
            lines.push(format!("changed {path} from non-directory to a directory"));
        }
        (EntryType::File, EntryType::File) => lines.push(format!(
            "changed {path} at {} (size {} -> {})",
            go_time(new.mtime),
            old.size,
            new.size
        )),
        _ => {}
    }
    lines
}

/// As Go prints a time: `2023-11-14 22:13:20.5 +0000 UTC`.
fn go_time(time: Timestamp) -> String {
    time.to_string().replacen('T', " ", 1).replace('Z', " +0000 UTC")
}

/// Compares files that differ with a command.
struct FileDiff<'a> {
    objects: &'a ObjectReader,
    program: String,
    arguments: Vec<String>,
    folder: PrivateFolder,
}

impl<'a> FileDiff<'a> {
    fn prepare(ctx: &Context, args: &Args, objects: &'a ObjectReader) -> Result<Self> {
        let command = args.diff_command.as_ref().or(ctx.environment().diff_command.as_ref());
        let mut words = command.map_or(DEFAULT_COMMAND, String::as_str).split(' ').map(str::to_owned);
        let program = words.next().unwrap_or_default();
        Ok(Self { objects, program, arguments: words.collect(), folder: PrivateFolder::create(ctx)? })
    }

    fn compare(&self, ctx: &Context, difference: &Difference<'_>) -> Result<()> {
        let is_no_file = |entry: Option<&DirEntry>| entry.is_some_and(|entry| entry.kind != EntryType::File);
        if is_no_file(difference.old) || is_no_file(difference.new) {
            return Ok(());
        }
        let old = self.place("old", difference.path, difference.old)?;
        let new = self.place("new", difference.path, difference.new)?;
        // What is printed here and by the command comes in order.
        ctx.stdout().flush()?;
        Command::new(&self.program)
            .args(&self.arguments)
            .args([&old, &new])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .status()
            .explain(format_args!("cannot start {}", self.program))?;
        for copy in [old, new].iter().filter(|copy| copy.is_relative()) {
            std::fs::remove_file(self.folder.path().join(copy)).explain("cannot remove a copy")?;
        }
        Ok(())
    }

    /// Writes a file's data where the command finds it; its path from the folder, or `/dev/null` for no file.
    fn place(&self, side: &str, path: &str, entry: Option<&DirEntry>) -> Result<PathBuf> {
        let Some(entry) = entry else { return Ok(PathBuf::from("/dev/null")) };
        let relative = Path::new(side).join(path.trim_start_matches("./"));
        if relative.components().any(|component| !matches!(component, Component::Normal(_))) {
            return Err(Failure::new(format!("{path:?} is no path that a file can be copied to")));
        }
        let copy = self.folder.path().join(&relative);
        self.write(&copy, entry).explain(format_args!("cannot write {}", copy.display()))?;
        Ok(relative)
    }

    fn write(&self, copy: &Path, entry: &DirEntry) -> Result<()> {
        if let Some(parent) = copy.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(copy)?;
        io::copy(&mut self.objects.read(entry.obj)?, &mut file)?;
        file.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_gos() {
        for (time, text) in [
            ("2023-11-14T22:13:20Z", "2023-11-14 22:13:20 +0000 UTC"),
            ("2023-11-14T22:13:20.5Z", "2023-11-14 22:13:20.5 +0000 UTC"),
        ] {
            assert_eq!(go_time(time.parse().unwrap()), text);
        }
    }
}
