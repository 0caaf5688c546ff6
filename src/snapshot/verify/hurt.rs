//! Which snapshots and paths hold what is damaged. Trees are gone through once more, but only where there is damage.

use super::report::VerifyError;
use crate::object::{ObjectId, ObjectReader};
use crate::snapshot::{DirEntry, EntryType, read_members};
use std::collections::{HashMap, HashSet};

/// Places named for one damaged object; all are counted.
const NAMED_MAX: usize = 1000;

/// Completes each error with all other places of its object.
pub(super) fn name_all(objects: &ObjectReader, roots: &[(String, DirEntry)], errors: &mut [VerifyError]) {
    if errors.is_empty() {
        return;
    }
    let by_object: HashMap<ObjectId, usize> =
        errors.iter().enumerate().map(|(at, error)| (error.object, at)).collect();
    let bad = by_object.keys().copied().collect();
    let above = directories_above(objects, roots, &bad);
    let mut stack: Vec<(String, DirEntry)> = roots.iter().rev().cloned().collect();
    while let Some((path, entry)) = stack.pop() {
        if let Some(error) = by_object.get(&entry.obj).and_then(|&at| errors.get_mut(at))
            && error.path != path
        {
            error.also_count += 1;
            if error.also.len() < NAMED_MAX {
                error.also.push(path.clone());
            }
        }
        if above.contains(&entry.obj) {
            let below = |member: &DirEntry| bad.contains(&member.obj) || above.contains(&member.obj);
            // What cannot be read is an error itself.
            let read = read_members(objects, entry.obj, |member| {
                if below(&member) {
                    stack.push((format!("{path}/{}", member.name), DirEntry { summ: None, ..member }));
                }
            });
            drop(read);
        }
    }
}

/// A directory being looked through.
struct Level {
    id: ObjectId,
    directories: Vec<ObjectId>,
    is_above: bool,
}

/// All directories with something bad anywhere below. Each is read once; levels are kept in a list and not on the stack,
/// because how deep a tree is, its writer decides.
fn directories_above(
    objects: &ObjectReader,
    roots: &[(String, DirEntry)],
    bad: &HashSet<ObjectId>,
) -> HashSet<ObjectId> {
    let look = |id: ObjectId| {
        let (mut directories, mut is_above) = (Vec::new(), false);
        // A directory that cannot be read is bad itself, and its parent knows.
        let read = read_members(objects, id, |member| {
            is_above |= bad.contains(&member.obj);
            if member.kind == EntryType::Directory {
                directories.push(member.obj);
            }
        });
        drop(read);
        Level { id, directories, is_above }
    };
    let (mut above, mut seen) = (HashSet::new(), HashSet::new());
    for (_, root) in roots {
        if root.kind != EntryType::Directory || !seen.insert(root.obj) {
            continue;
        }
        let mut levels = vec![look(root.obj)];
        while let Some(level) = levels.last_mut() {
            if let Some(next) = level.directories.pop() {
                level.is_above |= above.contains(&next);
                if seen.insert(next) {
                    levels.push(look(next));
                }
                continue;
            }
            let Some(done) = levels.pop() else { break };
            if done.is_above {
                above.insert(done.id);
                if let Some(parent) = levels.last_mut() {
                    parent.is_above = true;
                }
            }
        }
    }
    above
}
