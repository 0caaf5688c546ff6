//! What snapshots hold and take, each counted for what those before it do not have.
//!
//! Source: kopia `snapshot/snapshotfs/snapshot_storage_stats.go`.

use super::{DirEntry, EntryType, Result, read_directory};
use crate::format::ContentId;
use crate::object::ObjectId;
use crate::repo::Repository;
use serde::Serialize;
use std::collections::HashSet;

/// Distinct objects and contents. The contents of directories count by number only, as in Kopia.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageUsage {
    /// Bytes in files and links.
    pub object_bytes: u64,
    /// Bytes in their contents before compression.
    pub original_content_bytes: u64,
    /// Bytes their contents take in packs.
    pub packed_content_bytes: u64,
    /// Files and links.
    pub file_objects: u64,
    /// Directories.
    pub dir_objects: u64,
    /// Contents.
    pub contents: u64,
}

/// The usage of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageStats {
    /// What no snapshot before it had.
    pub new_data: StorageUsage,
    /// The same with all those before it.
    pub running_total: StorageUsage,
}

/// Counts snapshot after snapshot.
#[derive(Debug)]
pub struct UsageCounter<'a> {
    repository: &'a Repository,
    objects: HashSet<ObjectId>,
    contents: HashSet<ContentId>,
    total: StorageUsage,
}

impl<'a> UsageCounter<'a> {
    /// Begins to count.
    pub fn new(repository: &'a Repository) -> Self {
        Self { repository, objects: HashSet::new(), contents: HashSet::new(), total: StorageUsage::default() }
    }

    /// Counts the tree below `root`, each object and content only once in the life of this counter.
    ///
    /// # Errors
    /// What reading a directory or finding a content says.
    pub fn add(&mut self, root: &DirEntry) -> Result<StorageStats> {
        let mut new_data = StorageUsage::default();
        let mut stack = vec![root.clone()];
        while let Some(entry) = stack.pop() {
            if !self.objects.insert(entry.obj) {
                continue;
            }
            self.count(&entry, &mut new_data)?;
            if entry.kind == EntryType::Directory {
                stack.extend(read_directory(self.repository.objects(), entry.obj)?.entries);
            }
        }
        self.total.add(&new_data);
        Ok(StorageStats { new_data, running_total: self.total })
    }

    fn count(&mut self, entry: &DirEntry, usage: &mut StorageUsage) -> Result<()> {
        let is_directory = entry.kind == EntryType::Directory;
        if is_directory {
            usage.dir_objects += 1;
        } else {
            usage.file_objects += 1;
            usage.object_bytes += entry.size;
        }
        for content in self.repository.objects().content_ids(entry.obj)? {
            if !self.contents.insert(content) {
                continue;
            }
            usage.contents += 1;
            if !is_directory {
                let info = self.repository.contents().info(&content)?;
                usage.original_content_bytes += u64::from(info.original_length);
                usage.packed_content_bytes += u64::from(info.packed_length);
            }
        }
        Ok(())
    }
}

impl StorageUsage {
    fn add(&mut self, other: &Self) {
        self.object_bytes += other.object_bytes;
        self.original_content_bytes += other.original_content_bytes;
        self.packed_content_bytes += other.packed_content_bytes;
        self.file_objects += other.file_objects;
        self.dir_objects += other.dir_objects;
        self.contents += other.contents;
    }
}
