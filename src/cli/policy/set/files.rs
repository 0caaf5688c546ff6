//! Which files are left out, and which errors are forgiven.

use super::change::{Changes, ListEdit};
use super::setting::{Setting, bytes, switch};
use packhorse::policy::Policy;

/// Flags of the sections.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Files and errors")]
pub(super) struct FilesFlags {
    /// Leave out what matches, in the language of .gitignore.
    #[arg(long, value_name = "PATTERN")]
    add_ignore: Vec<String>,
    /// Take a pattern from the list again.
    #[arg(long, value_name = "PATTERN")]
    remove_ignore: Vec<String>,
    /// Empty the list of patterns.
    #[arg(long)]
    clear_ignore: bool,
    /// Read patterns from files of this name.
    #[arg(long, value_name = "FILENAME")]
    add_dot_ignore: Vec<String>,
    /// Take a file name from the list again.
    #[arg(long, value_name = "FILENAME")]
    remove_dot_ignore: Vec<String>,
    /// Empty the list of file names.
    #[arg(long)]
    clear_dot_ignore: bool,
    /// Leave out larger files, in bytes.
    #[arg(long, value_name = "N", value_parser = bytes)]
    max_file_size: Option<Setting<i64>>,
    /// Stay on the file system of the source.
    #[arg(long, value_name = "BOOL", value_parser = switch)]
    one_file_system: Option<Setting<bool>>,
    /// Leave out folders marked as caches.
    #[arg(long, value_name = "BOOL", value_parser = switch)]
    ignore_cache_dirs: Option<Setting<bool>>,
    /// Go on when a file cannot be read.
    #[arg(long, value_name = "BOOL", value_parser = switch)]
    ignore_file_errors: Option<Setting<bool>>,
    /// Go on when a folder cannot be read.
    #[arg(long, value_name = "BOOL", value_parser = switch)]
    ignore_dir_errors: Option<Setting<bool>>,
    /// Pass over what is no file, folder or link.
    #[arg(long, value_name = "BOOL", value_parser = switch)]
    ignore_unknown_types: Option<Setting<bool>>,
}

impl FilesFlags {
    pub(super) fn apply(&self, policy: &mut Policy, changes: &mut Changes) {
        let files = &mut policy.files;
        changes.set_number("max-file-size", self.max_file_size.as_ref(), &mut files.max_file_size);
        let names = ListEdit {
            clear: self.clear_dot_ignore,
            add: &self.add_dot_ignore,
            remove: &self.remove_dot_ignore,
        };
        changes.set_list("dot-ignore", &names, &mut files.ignore_dot_files);
        let patterns =
            ListEdit { clear: self.clear_ignore, add: &self.add_ignore, remove: &self.remove_ignore };
        changes.set_list("ignore", &patterns, &mut files.ignore);
        changes.set("ignore-cache-dirs", self.ignore_cache_dirs.as_ref(), &mut files.ignore_cache_dirs);
        changes.set("one-file-system", self.one_file_system.as_ref(), &mut files.one_file_system);
        let errors = &mut policy.error_handling;
        changes.set("ignore-file-errors", self.ignore_file_errors.as_ref(), &mut errors.ignore_file_errors);
        let directories = &mut errors.ignore_directory_errors;
        changes.set("ignore-dir-errors", self.ignore_dir_errors.as_ref(), directories);
        let types = &mut errors.ignore_unknown_types;
        changes.set("ignore-unknown-types", self.ignore_unknown_types.as_ref(), types);
    }
}
