//! `list`: a stored directory.

use super::Result;
use super::context::Context;
use super::exit::Failure;
use packhorse::object::ObjectId;
use packhorse::repo::Repository;
use packhorse::snapshot::{self, DirEntry, DirSummary, EntryType, SpecialEntry};
use packhorse::source::SpecialKind;
use std::fmt::Write;

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    /// Directory, as ID or ID/path; the id is that of a snapshot, of its root, or of any directory
    object_path: String,
    /// Show modes, sizes, times and ids
    #[arg(short, long)]
    long: bool,
    /// Show sizes in KB, MB …
    #[arg(short, long)]
    human_readable: bool,
    /// Go into directories
    #[arg(short, long)]
    recursive: bool,
    /// Show object ids
    #[arg(short = 'o', long)]
    show_object_id: bool,
    /// Say on stderr what could not be saved; on unless --no-error-summary
    #[arg(long, num_args = 0, default_missing_value = "true")]
    error_summary: Option<bool>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let entry = snapshot::resolve(repository.objects(), &manifests, &args.object_path, false)?;
    if entry.kind != EntryType::Directory {
        return Err(Failure::new(format!("{} is not a directory", args.object_path)));
    }
    // As in Kopia: short recursive listings can be given back to `show` and `restore`.
    let prefix = match args.object_path.as_str() {
        _ if args.long || !args.recursive => String::new(),
        text if text.ends_with('/') => text.to_owned(),
        text => format!("{text}/"),
    };
    Lister { ctx, args, repository: &repository }.directory(&entry, &prefix)
}

struct Lister<'a> {
    ctx: &'a Context,
    args: &'a Args,
    repository: &'a Repository,
}

/// What is still to be printed.
enum Step {
    /// A directory, with the text before the names of its members.
    Directory(ObjectId, String),
    /// Those of its members that are no directories.
    Rest(ObjectId, String),
    /// One entry, and then what is in it.
    Entry(Box<DirEntry>, String),
}

impl Lister<'_> {
    /// Prints a directory and, if asked for, all below it; what is left to be done is on the heap, not on the stack.
    fn directory(&self, root: &DirEntry, prefix: &str) -> Result<()> {
        let mut todo = vec![Step::Directory(root.obj, prefix.to_owned())];
        while let Some(step) = todo.pop() {
            match step {
                Step::Directory(id, prefix) if self.args.recursive => self.inside(id, prefix, &mut todo)?,
                Step::Directory(id, prefix) | Step::Rest(id, prefix) => self.members(id, &prefix)?,
                Step::Entry(entry, prefix) => {
                    self.print(&entry, &prefix)?;
                    todo.push(Step::Directory(entry.obj, format!("{prefix}{}/", entry.name)));
                }
            }
        }
        Ok(())
    }

    /// Prints members as they are read: of a directory with others inside all but those, which come with what is in
    /// them.
    fn members(&self, id: ObjectId, prefix: &str) -> Result<()> {
        let directory = snapshot::stream_directory(self.repository.objects(), id, |member| {
            let comes_by_itself = self.args.recursive && member.kind == EntryType::Directory;
            if comes_by_itself { Ok(()) } else { self.print(&member, prefix) }
        })?;
        for special in directory.specials() {
            self.print_special(special, prefix)?;
        }
        if let Some(summary) = directory.summary.filter(|_| self.args.error_summary.unwrap_or(true)) {
            self.say_errors(&summary);
        }
        Ok(())
    }

    /// Directories come first, as they are stored; then the directory is read again, so that it need not be in memory.
    fn inside(&self, id: ObjectId, prefix: String, todo: &mut Vec<Step>) -> Result<()> {
        let first = todo.len();
        snapshot::stream_directory(self.repository.objects(), id, |member| {
            if member.kind == EntryType::Directory {
                todo.push(Step::Entry(Box::new(member), prefix.clone()));
            }
            Ok::<_, Failure>(())
        })?;
        if todo.len() == first {
            return self.members(id, &prefix);
        }
        todo.push(Step::Rest(id, prefix));
        todo[first..].reverse();
        Ok(())
    }

    fn print(&self, entry: &DirEntry, prefix: &str) -> Result<()> {
        let entry = &entry.clone().as_listed();
        let with_slash = self.args.long || self.args.recursive;
        let slash = if with_slash && entry.kind == EntryType::Directory { "/" } else { "" };
        let mut name = format!("{prefix}{}{slash}", entry.name);
        let failed = entry.summ.as_ref().map_or(0, |summary| summary.num_failed);
        if failed > 0 && self.args.error_summary.unwrap_or(true) {
            write!(name, " ({failed} errors)").expect("writing to a string cannot fail");
        }
        // An id is 32 digits, and one letter more where it is a directory's.
        let object = entry.obj.to_string();
        let mut out = self.ctx.stdout();
        if self.args.long {
            let size = if self.args.human_readable {
                self.ctx.sizes().format(entry.size)
            } else {
                entry.size.to_string()
            };
            let time = self.ctx.zone().format(entry.mtime);
            out.line(format_args!("{} {size:>12} {time} {object:<34} {name}", mode_text(entry)))
        } else if self.args.show_object_id {
            out.line(format_args!("{object:<34} {name}"))
        } else {
            out.line(name)
        }
    }

    /// Where the bytes of a file stand, a device has its numbers; there is no object.
    fn print_special(&self, special: &SpecialEntry, prefix: &str) -> Result<()> {
        let entry = special.as_entry();
        let name = format!("{prefix}{}", entry.name);
        let mut out = self.ctx.stdout();
        if self.args.long {
            let (letters, size) = match special.kind() {
                Some(SpecialKind::Fifo) => ("p", "0".to_owned()),
                Some(SpecialKind::Socket) => ("S", "0".to_owned()),
                Some(SpecialKind::CharDevice { major, minor }) => ("Dc", format!("{major},{minor}")),
                Some(SpecialKind::BlockDevice { major, minor }) => ("D", format!("{major},{minor}")),
                None => ("?", "0".to_owned()),
            };
            let permissions = mode_text(&entry);
            let permissions = permissions.trim_start_matches(['u', 'g', 't']);
            let permissions = permissions.get(permissions.len().saturating_sub(9)..).unwrap_or_default();
            let time = self.ctx.zone().format(entry.mtime);
            out.line(format_args!("{letters}{permissions} {size:>12} {time} {:<34} {name}", ""))
        } else if self.args.show_object_id {
            out.line(format_args!("{:<34} {name}", ""))
        } else {
            out.line(name)
        }
    }

    fn say_errors(&self, summary: &DirSummary) {
        if summary.num_failed == 0 {
            return;
        }
        self.ctx
            .talk()
            .line(format_args!("{} entries of this directory could not be saved:", summary.num_failed));
        for error in &summary.errors {
            self.ctx.talk().line(format_args!("  {}: {}", error.path, error.error));
        }
    }
}

/// Kind and permissions in Go's form: `drwxr-xr-x`, `-rw-r--r--`, `Lrwxrwxrwx`, `dtrwxrwxrwx`.
pub(crate) fn mode_text(entry: &DirEntry) -> String {
    let bits = entry.mode.posix();
    let letters = [
        ('d', entry.kind == EntryType::Directory),
        ('L', entry.kind == EntryType::Symlink),
        ('u', bits & 0o4000 != 0),
        ('g', bits & 0o2000 != 0),
        ('t', bits & 0o1000 != 0),
    ];
    let mut text: String = letters.iter().filter(|(_, is_set)| *is_set).map(|(letter, _)| letter).collect();
    if text.is_empty() {
        text.push('-');
    }
    let permissions = "rwxrwxrwx".chars().enumerate();
    text.extend(permissions.map(|(at, letter)| if bits & (0o400 >> at) != 0 { letter } else { '-' }));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use packhorse::snapshot::Mode;

    #[test]
    fn modes_are_gos() {
        let text =
            |kind, bits| mode_text(&DirEntry { kind, mode: Mode::from_posix(bits), ..DirEntry::default() });
        assert_eq!(text(EntryType::Directory, 0o755), "drwxr-xr-x");
        assert_eq!(text(EntryType::File, 0o640), "-rw-r-----");
        assert_eq!(text(EntryType::Symlink, 0o777), "Lrwxrwxrwx");
        assert_eq!(text(EntryType::Directory, 0o1777), "dtrwxrwxrwx");
        assert_eq!(text(EntryType::File, 0o6755), "ugrwxr-xr-x");
    }
}
