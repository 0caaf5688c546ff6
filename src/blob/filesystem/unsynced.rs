//! Folders whose entries have changed and may not be on the medium yet.
//!
//! A folder is marked before anyone relies on the change and unmarked only after a sync that began after the mark, so
//! two barriers at once both wait for what was put before them, and a failed sync leaves its mark. No lock is held
//! while syncing.

use parking_lot::Mutex;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// How often a folder whose handle has become stale is opened.
const STALE_ATTEMPTS_MAX: u32 = 5;

/// The marked folders.
#[derive(Debug, Default)]
pub(super) struct Unsynced(Mutex<Marks>);

#[derive(Debug, Default)]
struct Marks {
    counter: u64,
    folders: HashMap<PathBuf, u64>,
}

impl Unsynced {
    /// Remembers that the entries of `folder` change.
    pub(super) fn mark(&self, folder: &Path) {
        let mut marks = self.0.lock();
        marks.counter += 1;
        let counter = marks.counter;
        if let Some(mark) = marks.folders.get_mut(folder) {
            *mark = counter;
        } else {
            marks.folders.insert(folder.to_owned(), counter);
        }
    }

    /// Syncs every marked folder.
    pub(super) fn sync_all(&self) -> Result<(), (PathBuf, io::Error)> {
        let marked: Vec<_> =
            self.0.lock().folders.iter().map(|(folder, mark)| (folder.clone(), *mark)).collect();
        self.sync(marked)
    }

    /// Syncs `folder` and the folders above it, up to `root`, as far as they are marked.
    ///
    /// The ones above matter when another call has just made this folder.
    pub(super) fn sync_up(&self, folder: &Path, root: &Path) -> Result<(), (PathBuf, io::Error)> {
        let marked = {
            let marks = self.0.lock();
            let lineage = folder.ancestors().take_while(|above| above.starts_with(root));
            lineage
                .filter_map(|above| marks.folders.get(above).map(|mark| (above.to_owned(), *mark)))
                .collect()
        };
        self.sync(marked)
    }

    fn sync(&self, marked: Vec<(PathBuf, u64)>) -> Result<(), (PathBuf, io::Error)> {
        for (folder, mark) in marked {
            if let Err(error) = sync_folder(&folder) {
                return Err((folder, error));
            }
            let mut marks = self.0.lock();
            if marks.folders.get(&folder) == Some(&mark) {
                marks.folders.remove(&folder);
            }
        }
        Ok(())
    }
}

/// Makes the entries of `folder` durable. File systems that cannot sync a folder at all are taken at their word.
///
/// A stale handle says nothing about what is durable, only that the folder must be opened anew; after every other
/// failure the system may have forgotten what it could not write.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let mut outcome = sync_once(folder);
    for _ in 1..STALE_ATTEMPTS_MAX {
        if !outcome.as_ref().is_err_and(|error| errno(error) == Some(Errno::STALE)) {
            break;
        }
        outcome = sync_once(folder);
    }
    outcome
}

fn sync_once(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(errno(&error), Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)) => Ok(()),
        outcome => outcome,
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(unsynced: &Unsynced) -> Vec<PathBuf> {
        let mut folders: Vec<_> = unsynced.0.lock().folders.keys().cloned().collect();
        folders.sort();
        folders
    }

    #[test]
    fn a_sync_takes_marks_away_and_a_failure_leaves_them() {
        let root = tempfile::tempdir().unwrap();
        let (shard, other, gone) = (root.path().join("p/012"), root.path().join("q"), root.path().join("zz"));
        std::fs::create_dir_all(&shard).unwrap();
        std::fs::create_dir(&other).unwrap();
        let unsynced = Unsynced::default();
        for folder in [root.path(), &shard, &other, &shard] {
            unsynced.mark(folder);
        }
        unsynced.sync_up(&shard, root.path()).unwrap();
        assert_eq!(marked(&unsynced), [&*other]);
        unsynced.mark(&gone);
        let (folder, error) = unsynced.sync_all().unwrap_err();
        assert_eq!((folder, error.kind()), (gone.clone(), io::ErrorKind::NotFound));
        assert!(marked(&unsynced).contains(&gone));
        std::fs::create_dir(&gone).unwrap();
        unsynced.sync_all().unwrap();
        assert!(marked(&unsynced).is_empty());
    }

    #[test]
    fn a_mark_set_during_a_sync_stays() {
        let root = tempfile::tempdir().unwrap();
        let unsynced = Unsynced::default();
        unsynced.mark(root.path());
        let stale = vec![(root.path().to_owned(), 1)];
        unsynced.mark(root.path());
        unsynced.sync(stale).unwrap();
        assert_eq!(marked(&unsynced), [root.path()]);
    }
}
