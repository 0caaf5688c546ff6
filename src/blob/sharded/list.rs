//! Listing: level by level over the folders that can hold names with the wanted prefix, several folders at once.

use super::{Entry, Files, Sharded};
use crate::blob::backoff::Backoff;
use crate::blob::layout::{Layout, SUFFIX};
use crate::blob::remote::Fault;
use crate::blob::{BlobId, BlobMetadata, Error, Result};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// Folders asked for at once when the options leave the choice.
const DEFAULT_PARALLELISM: u32 = 8;
/// More only costs memory, whatever the options say.
const MAX_PARALLELISM: u32 = 64;
/// What some file systems put into their root for themselves.
const FOREIGN_FOLDER: &str = "lost+found";
/// No blob lies deeper: names have at most 255 bytes.
const LEVELS_MAX: usize = 255;

/// A folder to read.
#[derive(Debug, Default, Clone)]
struct Folder {
    path: String,
    /// The names of the folders from the root to here, joined: what the names of its blobs start with.
    name: String,
}

/// What one folder holds.
struct Page {
    blobs: Vec<(BlobMetadata, bool)>,
    folders: Vec<Folder>,
}

impl<F: Files> Sharded<F> {
    pub(super) fn list_blobs(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(BlobMetadata) -> Result<()>,
    ) -> Result<()> {
        let layout = self.layout(false)?;
        // Blobs that lie where another layout would put them, so that each is named once.
        let mut strays = HashSet::new();
        let mut deliver = |blobs: Vec<(BlobMetadata, bool)>| -> Result<()> {
            blobs.into_iter().try_for_each(|(blob, is_home)| {
                if is_home || strays.insert(blob.id.clone()) { visit(blob) } else { Ok(()) }
            })
        };
        let mut level = vec![Folder::default()];
        for _ in 0..=LEVELS_MAX {
            level = match level.as_slice() {
                [] => break,
                [one] => {
                    let page = self.read_folder(&layout, prefix, one)?;
                    deliver(page.blobs)?;
                    page.folders
                }
                _ => self.read_level(&layout, prefix, level, &mut deliver)?,
            };
        }
        Ok(())
    }

    /// Reads folders with several threads; the callback runs on the caller's.
    fn read_level(
        &self,
        layout: &Layout,
        prefix: &str,
        level: Vec<Folder>,
        deliver: &mut dyn FnMut(Vec<(BlobMetadata, bool)>) -> Result<()>,
    ) -> Result<Vec<Folder>> {
        let wanted = Some(self.options.list_parallelism).filter(|wanted| *wanted > 0);
        let threads = wanted.unwrap_or(DEFAULT_PARALLELISM).min(MAX_PARALLELISM) as usize;
        let threads = threads.min(level.len());
        let (queue, is_over) = (Mutex::new(level), AtomicBool::new(false));
        let mut below = Vec::new();
        std::thread::scope(|scope| {
            let (sender, receiver) = crossbeam_channel::bounded(threads);
            for _ in 0..threads {
                let (queue, is_over, sender) = (&queue, &is_over, sender.clone());
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let Some(folder) = queue.lock().pop() else { return };
                        if sender.send(self.read_folder(layout, prefix, &folder)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let outcome = receiver.iter().try_for_each(|page: Result<Page>| {
                let page = page?;
                below.extend(page.folders);
                deliver(page.blobs)
            });
            is_over.store(true, Ordering::Relaxed);
            outcome
        })?;
        Ok(below)
    }

    /// Reads one folder, again after passing faults: nothing of it has been delivered yet.
    fn read_folder(&self, layout: &Layout, prefix: &str, folder: &Folder) -> Result<Page> {
        let entries = Backoff::KOPIA.run(&*self.clock, || match self.files.list(&folder.path) {
            // A shard folder that has vanished holds nothing, unless everything has.
            Err(Fault::Missing) => self.check_root().map(|()| Vec::new()),
            outcome => {
                outcome.map_err(|fault| self.failed("list", &format!("folder /{}", folder.path), fault))
            }
        })?;
        let mut page = Page { blobs: Vec::new(), folders: Vec::new() };
        for entry in entries {
            if entry.is_folder {
                page.folders.extend(folder.below(&entry.name, prefix));
            } else if let Some(found) = self.blob(layout, prefix, folder, &entry)? {
                page.blobs.push(found);
            }
        }
        Ok(page)
    }

    /// The blob that a file is, and whether it lies where `get` will look for it.
    fn blob(
        &self,
        layout: &Layout,
        prefix: &str,
        folder: &Folder,
        entry: &Entry,
    ) -> Result<Option<(BlobMetadata, bool)>> {
        let Some(stem) = entry.name.strip_suffix(SUFFIX) else { return Ok(None) };
        let id = BlobId::from(format!("{}{stem}", folder.name));
        if !id.is_valid() || !id.as_str().starts_with(prefix) {
            return Ok(None);
        }
        let Some(home) = layout.path(&id).ok().and_then(|path| path.to_str().map(str::to_owned)) else {
            return Ok(None);
        };
        let is_home = home == folder.path_of(&entry.name);
        if !is_home && self.is_there(&home)? {
            return Ok(None);
        }
        let blob = BlobMetadata { id, length: entry.length, timestamp: entry.timestamp };
        Ok(Some((blob, is_home)))
    }

    fn is_there(&self, path: &str) -> Result<bool> {
        Backoff::KOPIA.run(&*self.clock, || match self.files.stat(path) {
            Ok(_) => Ok(true),
            Err(Fault::Missing) => Ok(false),
            Err(fault) => Err::<bool, Error>(self.failed("look at", path, fault)),
        })
    }
}

impl Folder {
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    /// The folder `name` in here, if blobs with the wanted prefix can be in it.
    fn below(&self, name: &str, prefix: &str) -> Option<Self> {
        let joined = format!("{}{name}", self.name);
        let is_foreign = self.name.is_empty() && name == FOREIGN_FOLDER;
        let can_match = joined.starts_with(prefix) || prefix.starts_with(&joined);
        if is_foreign || !can_match || matches!(name, "." | "..") || !BlobId::from(joined.as_str()).is_valid()
        {
            return None;
        }
        Some(Self { path: self.path_of(name), name: joined })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_can_hold_blobs_are_read() {
        let root = Folder::default();
        assert_eq!(root.below("p", "").unwrap().path, "p");
        let p = root.below("p", "p01").unwrap();
        assert_eq!(p.below("012", "p01").unwrap().path, "p/012");
        assert!(p.below("112", "p01").is_none() && root.below("q", "p01").is_none());
        for foreign in ["..", ".", ".git", "lost+found", "a/b", "a b", ""] {
            assert!(root.below(foreign, "").is_none(), "{foreign}");
        }
    }
}
