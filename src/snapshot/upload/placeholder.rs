//! Placeholders of shallow restores: what they stand for is saved without having been there.
//!
//! Source: kopia `snapshot/upload/upload.go` (`uploadShallowDirInternal`, `uploadFileInternal`).

use super::context::Context;
use super::node::Node;
use crate::base::error_chain;
use crate::snapshot::{DirEntry, EntryType, PLACEHOLDER_SUFFIX, placeholder_target, read_placeholder};
use crate::source::{EntryKind, Listed, Names};

/// The name of what a member stands for, if it looks like a placeholder.
pub(super) fn target_of(member: &Listed) -> Option<&str> {
    let is_such = |kind| matches!(kind, EntryKind::File | EntryKind::Directory);
    member.entry().filter(|entry| is_such(entry.kind))?;
    placeholder_target(std::str::from_utf8(member.name()).ok()?)
}

/// The entry that the placeholder of `name` stands for, if this repository has what belongs to it.
pub(super) fn entry_behind(
    context: &Context<'_>,
    node: &Node,
    is_directory: bool,
    name: &str,
    names: &Names,
) -> Result<DirEntry, String> {
    if names.contains(name.as_bytes()) {
        return Err(format!(
            "its placeholder {name}{PLACEHOLDER_SUFFIX} is beside it: a restore was interrupted; remove one of them"
        ));
    }
    let own = format!("{name}{PLACEHOLDER_SUFFIX}");
    let (file, kind) = if is_directory {
        let inside = node.directory.open_directory(own.as_bytes());
        (inside.and_then(|inside| inside.open_file(PLACEHOLDER_SUFFIX.as_bytes())), EntryType::Directory)
    } else {
        (node.directory.open_file(own.as_bytes()), EntryType::File)
    };
    let file = file.map_err(|error| error_chain(&error))?;
    let entry =
        read_placeholder(file, kind).map_err(|reason| format!("its placeholder cannot be used: {reason}"))?;
    let objects = context.repository().objects();
    let contents = objects.content_ids(entry.obj).map_err(|error| error_chain(&error))?;
    for content in contents {
        objects.contents().info(&content).map_err(|error| {
            format!("its placeholder stands for what this repository does not have: {}", error_chain(&error))
        })?;
    }
    Ok(DirEntry { name: name.to_owned(), ..entry })
}
