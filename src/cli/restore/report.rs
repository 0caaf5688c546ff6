//! What a restore did, in its last lines.

use crate::cli::context::Context;
use crate::cli::units::Sizes;
use packhorse::restore::RestoreStats;
use packhorse::snapshot::SnapshotManifest;
use std::fmt::{Arguments, Write};

/// Which snapshot it was.
pub(super) fn describe_snapshot(ctx: &Context, snapshot: &SnapshotManifest) -> String {
    let time = ctx.zone().format(snapshot.start_time);
    format!("Restored from snapshot {} of {}, begun {time}.", snapshot.id, snapshot.source)
}

/// What was restored, and what was not.
pub(super) fn describe(sizes: Sizes, stats: &RestoreStats) -> String {
    let mut text = format!(
        "Restored {} files, {} directories and {} symbolic links ({})",
        stats.files,
        stats.directories,
        stats.symlinks,
        sizes.format(stats.bytes)
    );
    let mut more = |text_of: Arguments<'_>, count: u64| {
        if count > 0 {
            write!(text, ", {text_of}").expect("writing to a string cannot fail");
        }
    };
    let &RestoreStats { skipped_files, deleted_directories, deleted_files, deleted_symlinks, .. } = stats;
    let &RestoreStats { hard_links, specials, xattrs, placeholders, .. } = stats;
    let &RestoreStats { unchanged_files, unchanged_symlinks, ignored_errors, .. } = stats;
    more(format_args!("{hard_links} hard links"), hard_links);
    more(format_args!("{specials} special files"), specials);
    more(format_args!("{xattrs} extended attributes"), xattrs);
    more(format_args!("{placeholders} placeholders"), placeholders);
    more(
        format_args!("unchanged {unchanged_files} files ({})", sizes.format(stats.unchanged_bytes)),
        unchanged_files,
    );
    more(format_args!("unchanged {unchanged_symlinks} symbolic links"), unchanged_symlinks);
    more(
        format_args!("skipped {skipped_files} ({}) that were there", sizes.format(stats.skipped_bytes)),
        skipped_files,
    );
    more(format_args!("deleted directories {deleted_directories}"), deleted_directories);
    more(format_args!("deleted files {deleted_files}"), deleted_files);
    more(format_args!("deleted symbolic links {deleted_symlinks}"), deleted_symlinks);
    more(format_args!("ignored {ignored_errors} errors"), ignored_errors);
    let attributes = stats.ignored_permission_errors;
    more(format_args!("without permission to set {attributes} attributes"), attributes);
    let lost = stats.ignored_xattr_errors;
    more(format_args!("could not set {lost} extended attributes"), lost);
    let missing = stats.ignored_specials;
    more(format_args!("could not make {missing} special files"), missing);
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_happen_is_not_named() {
        let stats = RestoreStats { files: 1, bytes: 6, ..RestoreStats::default() };
        let text = describe(Sizes::default(), &stats);
        assert_eq!(text, "Restored 1 files, 0 directories and 0 symbolic links (6 B).");
        let stats = RestoreStats {
            placeholders: 2,
            unchanged_files: 3,
            skipped_files: 4,
            deleted_files: 5,
            ignored_specials: 6,
            ..stats
        };
        let text = describe(Sizes::default(), &stats);
        let more = ", 2 placeholders, unchanged 3 files (0 B), skipped 4 (0 B) that were there, deleted files 5, \
                    could not make 6 special files.";
        assert!(text.ends_with(more), "{text}");
    }
}
