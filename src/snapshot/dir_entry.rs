//! One member of a directory, and the totals of a subtree.
//!
//! Source: kopia `snapshot/manifest.go`, `fs/entry.go`. Field order is part of the hashed bytes.

use super::{Mode, Supplement};
use crate::base::gojson::is_zero;
use crate::base::{Collector, ExtraFields, Timestamp, gojson, keeps_extra_fields};
use crate::object::ObjectId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EntryType {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Something that no reader can restore.
    #[default]
    Unknown,
}

impl EntryType {
    fn letter(self) -> &'static str {
        match self {
            Self::File => "f",
            Self::Directory => "d",
            Self::Symlink => "s",
            Self::Unknown => "",
        }
    }
}

impl Serialize for EntryType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.letter())
    }
}

impl<'de> Deserialize<'de> for EntryType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(match text.as_deref() {
            Some("f") => Self::File,
            Some("d") => Self::Directory,
            Some("s") => Self::Symlink,
            _ => Self::Unknown,
        })
    }
}

/// One member of a directory, the root of a snapshot, or the content of a placeholder file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(remote = "Self")]
pub struct DirEntry {
    /// Base name; bytes that are no UTF-8 stand as U+FFFD.
    #[serde(default)]
    pub name: String,
    /// The name of a live entry whose bytes are no UTF-8. It decides the order and how the name is written; what is read
    /// from a repository has none.
    #[serde(skip)]
    pub raw_name: Option<Box<[u8]>>,
    /// What it is.
    #[serde(rename = "type", default)]
    pub kind: EntryType,
    /// Permission bits.
    #[serde(default)]
    pub mode: Mode,
    /// Bytes in a file or in a link's target; 0 in a directory.
    #[serde(default)]
    pub size: u64,
    /// Modification time when the entry was looked at.
    #[serde(default)]
    pub mtime: Timestamp,
    /// Numeric owner.
    #[serde(default)]
    pub uid: u32,
    /// Numeric group.
    #[serde(default)]
    pub gid: u32,
    /// The data, the link's target, or the directory manifest.
    #[serde(default)]
    pub obj: ObjectId,
    /// Totals of a directory, or of a file that is a snapshot's root.
    #[serde(default)]
    pub summ: Option<Box<DirSummary>>,
    /// What Kopia's entries have no room for.
    #[serde(skip)]
    pub supplement: Option<Box<Supplement>>,
    /// What others have written here, kept.
    #[serde(skip)]
    pub extra: ExtraFields,
}

impl<'de> Deserialize<'de> for DirEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut extra = ExtraFields::default();
        let known = Self::deserialize(Collector::new(deserializer, &mut extra))?;
        // Taken from what is not known, where anything else stays that bears its name.
        let supplement = extra.take(Supplement::NAME).map(Box::new);
        Ok(Self { supplement, extra, ..known })
    }
}

impl DirEntry {
    /// As Kopia lists it: a directory has the size and the newest time of what is inside.
    ///
    /// Source: kopia `snapshot/snapshotfs/repofs.go` (`loadLocked`).
    #[must_use]
    pub fn as_listed(self) -> Self {
        let summary = self.summ.as_deref().filter(|_| self.kind == EntryType::Directory);
        let Some((size, mtime)) = summary.map(|summary| (summary.size, summary.max_time)) else {
            return self;
        };
        Self { size, mtime, ..self }
    }

    /// What directories are ordered by.
    pub fn name_bytes(&self) -> &[u8] {
        self.raw_name.as_deref().unwrap_or(self.name.as_bytes())
    }
}

/// An entry as it is written: the fields in Kopia's order, zero values left out.
#[derive(Serialize)]
struct Stored<'a> {
    #[serde(skip_serializing_if = "StoredName::is_empty")]
    name: StoredName<'a>,
    #[serde(rename = "type", skip_serializing_if = "is_zero")]
    kind: EntryType,
    #[serde(skip_serializing_if = "is_zero")]
    mode: Mode,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    mtime: Timestamp,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u32,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u32,
    obj: ObjectId,
    #[serde(skip_serializing_if = "Option::is_none")]
    summ: Option<&'a DirSummary>,
    #[serde(rename = "ph", skip_serializing_if = "Option::is_none")]
    supplement: Option<&'a Supplement>,
}

/// An entry with what others have added to it.
#[derive(Serialize)]
struct Extended<'a> {
    #[serde(flatten)]
    stored: Stored<'a>,
    #[serde(flatten)]
    extra: &'a ExtraFields,
}

impl Serialize for DirEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self { kind, mode, size, mtime, uid, gid, obj, .. } = self;
        let (name, summ, supplement) = (StoredName(self), self.summ.as_deref(), self.supplement.as_deref());
        let stored = Stored { name, kind, mode, size, mtime, uid, gid, obj, summ, supplement };
        if self.extra.is_empty() {
            return stored.serialize(serializer);
        }
        Extended { stored, extra: &self.extra }.serialize(serializer)
    }
}

/// A name in JSON: a byte that is no UTF-8 is escaped, while a character that is U+FFFD stands for itself.
struct StoredName<'a>(&'a DirEntry);

impl StoredName<'_> {
    fn is_empty(&self) -> bool {
        self.0.name.is_empty()
    }
}

impl Serialize for StoredName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.raw_name {
            None => serializer.serialize_str(&self.0.name),
            Some(bytes) => gojson::text_of_bytes(bytes).serialize(serializer),
        }
    }
}

/// An entry that could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryError {
    /// Path relative to the snapshot's root, with slashes.
    pub path: String,
    /// What happened.
    pub error: String,
}

/// Totals of a subtree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, remote = "Self")]
pub struct DirSummary {
    /// Bytes in all files; links do not count.
    pub size: u64,
    /// Files.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Directories, this one included.
    pub dirs: u64,
    /// Newest modification time of anything inside; of an empty directory its own.
    #[serde(rename = "maxTime")]
    pub max_time: Timestamp,
    /// Why the subtree is not complete.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub incomplete: String,
    /// Failures that count.
    #[serde(rename = "numFailed")]
    pub num_failed: u64,
    /// Failures that the policy forgives.
    #[serde(rename = "numIgnoredErrors", skip_serializing_if = "is_zero")]
    pub num_ignored_errors: u64,
    /// The failures, by path.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub errors: Vec<EntryError>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(DirSummary);

pub(super) fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Adds to a total.
pub(super) fn count(total: &mut u64, more: u64) {
    *total = total.saturating_add(more);
}

impl DirSummary {
    /// Counts one member of the directory. Totals of subtrees are taken over from earlier snapshots, which may claim
    /// anything; they stop at the greatest number there is.
    pub fn add(&mut self, entry: &DirEntry) {
        self.max_time = self.max_time.max(entry.mtime);
        match entry.kind {
            EntryType::File => {
                count(&mut self.files, 1);
                count(&mut self.size, entry.size);
            }
            EntryType::Symlink => count(&mut self.symlinks, 1),
            EntryType::Directory => {
                if let Some(child) = &entry.summ {
                    self.add_subtree(child);
                }
            }
            EntryType::Unknown => {}
        }
    }

    fn add_subtree(&mut self, child: &Self) {
        count(&mut self.size, child.size);
        count(&mut self.files, child.files);
        count(&mut self.symlinks, child.symlinks);
        count(&mut self.dirs, child.dirs);
        self.max_time = self.max_time.max(child.max_time);
        count(&mut self.num_failed, child.num_failed);
        count(&mut self.num_ignored_errors, child.num_ignored_errors);
        self.errors.extend(child.errors.iter().cloned());
    }
}
