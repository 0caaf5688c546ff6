//! Deleting what the snapshot does not have.

use super::Error;
use super::node::{Node, Place};
use super::run::Run;
use super::target::{Member, TargetDirectory};
use hashbrown::HashMap;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::CString;

impl Run<'_> {
    /// Deletes the members of an existing directory that are not `stored`, and those that are a directory in one place
    /// and not in the other. What interrupted restores have left is dealt with elsewhere.
    pub(super) fn delete_extra(
        &self,
        node: &Node,
        directory: &TargetDirectory,
        stored: &HashMap<String, bool>,
    ) {
        let listed = match directory.members() {
            Ok(listed) => listed,
            Err(errno) => {
                return self.fail(Error::File { operation: "list", path: node.path(), source: errno.into() });
            }
        };
        for member in listed {
            let is_directory = member.kind == FileType::Directory;
            let name = member.name.to_string_lossy();
            // What is stored under a name that is no UTF-8 stands for others, too, and must not keep them.
            let is_stored = member.name.to_str().is_ok_and(|name| stored.get(name) == Some(&is_directory));
            if is_stored || node.leftovers().contains(&*name) {
                continue;
            }
            let place = Place { node, name: &name };
            let delete = || self.delete(directory, &member).map_err(place.failed("delete"));
            let deleted = self.check_canceled().and_then(|()| delete());
            if let Err(error) = deleted {
                self.fail(error);
            }
            if self.queue.is_finished() {
                return;
            }
        }
    }

    fn delete(&self, directory: &TargetDirectory, member: &Member) -> Result<(), Errno> {
        match member.kind {
            FileType::Directory => {
                delete_tree(directory, member)?;
                self.count(|stats| stats.deleted_directories += 1);
            }
            kind => {
                directory.unlink(&member.name)?;
                self.count(|stats| match kind {
                    FileType::Symlink => stats.deleted_symlinks += 1,
                    _ => stats.deleted_files += 1,
                });
            }
        }
        Ok(())
    }
}

/// A directory being emptied.
struct Level {
    directory: TargetDirectory,
    name: CString,
    members: Vec<Member>,
}

/// Deletes a directory and everything below it, through handles, so that no link is followed. Levels are kept in a list
/// and not on the stack: how deep the tree is, its owner decides.
fn delete_tree(parent: &TargetDirectory, member: &Member) -> Result<(), Errno> {
    let mut levels = vec![open_level(parent, member)?];
    while let Some(level) = levels.last_mut() {
        let next = match level.members.pop() {
            Some(member) if member.kind == FileType::Directory => open_level(&level.directory, &member)?,
            Some(member) => {
                level.directory.unlink(&member.name)?;
                continue;
            }
            None => {
                let done = levels.pop().expect("the loop runs while there is a level");
                let above = levels.last().map_or(parent, |level| &level.directory);
                above.remove_directory(&done.name)?;
                continue;
            }
        };
        levels.push(next);
    }
    Ok(())
}

fn open_level(parent: &TargetDirectory, member: &Member) -> Result<Level, Errno> {
    let directory = parent.open_directory(member.name.as_c_str())?;
    let members = directory.members()?;
    Ok(Level { directory, name: member.name.clone(), members })
}
