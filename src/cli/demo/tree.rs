//! What a folder holds, to be compared with what another holds.

use crate::cli::Result;
use crate::cli::exit::Explain;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

const READ_BYTES: usize = 1 << 20;
const PERMISSION_BITS: u32 = 0o7777;

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Data {
    Directory,
    File { size: u64, digest: blake3::Hash },
    Link { target: PathBuf },
}

/// Everything about an entry that a restore must bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    data: Data,
    owner: (u32, u32),
    /// A link has no permissions of its own.
    permissions: u32,
    modified_nanos: i128,
}

/// All entries below a folder by relative path, the folder itself under the empty path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// Reads every byte below `root`, except in what `leave_out` names.
    pub(super) fn scan(root: &Path, leave_out: &dyn Fn(&DirEntry) -> bool) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut buffer = vec![0; READ_BYTES];
        for found in WalkDir::new(root).into_iter().filter_entry(|entry| !leave_out(entry)) {
            let found = found.map_err(std::io::Error::from).explain("cannot read a folder")?;
            let path = found.path().strip_prefix(root).expect("a walk stays below its root");
            if let Some(entry) = Entry::read(&found, &mut buffer)? {
                entries.insert(path.to_owned(), entry);
            }
        }
        Ok(Self { entries })
    }

    /// How many files.
    pub(super) fn files(&self) -> u64 {
        self.entries.values().filter(|entry| matches!(entry.data, Data::File { .. })).count() as u64
    }

    /// How many bytes in files.
    pub(super) fn bytes(&self) -> u64 {
        self.entries
            .values()
            .map(|entry| match entry.data {
                Data::File { size, .. } => size,
                Data::Directory | Data::Link { .. } => 0,
            })
            .sum()
    }

    /// Where `restored` differs from this tree, one line each.
    pub(super) fn differences(&self, restored: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, expected) in &self.entries {
            match restored.entries.get(path) {
                None => lines.push(format!("{}: was not restored", path.display())),
                Some(found) => lines.extend(
                    expected.differences(found).into_iter().map(|what| format!("{}: {what}", path.display())),
                ),
            }
        }
        let unexpected = restored.entries.keys().filter(|path| !self.entries.contains_key(*path));
        lines.extend(unexpected.map(|path| format!("{}: should not be there", path.display())));
        lines
    }
}

impl Entry {
    /// `None` for what no backup holds: devices, sockets, pipes.
    fn read(found: &DirEntry, buffer: &mut [u8]) -> Result<Option<Self>> {
        let path = found.path();
        let unreadable = || format!("cannot read {}", path.display());
        let metadata = found.metadata().map_err(std::io::Error::from).explain(unreadable())?;
        let data = if metadata.is_dir() {
            Data::Directory
        } else if metadata.is_symlink() {
            Data::Link { target: std::fs::read_link(path).explain(unreadable())? }
        } else if metadata.is_file() {
            let (size, digest) = digest(path, buffer).explain(unreadable())?;
            Data::File { size, digest }
        } else {
            return Ok(None);
        };
        let is_link = matches!(data, Data::Link { .. });
        Ok(Some(Self {
            data,
            owner: (metadata.uid(), metadata.gid()),
            permissions: if is_link { 0 } else { metadata.mode() & PERMISSION_BITS },
            modified_nanos: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }))
    }

    fn differences(&self, found: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.data != found.data {
            lines.push(self.data.difference(&found.data));
        }
        if self.permissions != found.permissions {
            lines.push(format!("permissions {:04o} became {:04o}", self.permissions, found.permissions));
        }
        if self.owner != found.owner {
            lines.push(format!("owner {:?} became {:?}", self.owner, found.owner));
        }
        if self.modified_nanos != found.modified_nanos {
            lines.push(format!("modification time {} became {}", self.modified_nanos, found.modified_nanos));
        }
        lines
    }
}

impl Data {
    fn difference(&self, found: &Self) -> String {
        match (self, found) {
            (Self::File { size: a, .. }, Self::File { size: b, .. }) if a != b => {
                format!("{a} bytes became {b}")
            }
            (Self::File { .. }, Self::File { .. }) => "other bytes".to_owned(),
            (Self::Link { target: a }, Self::Link { target: b }) => {
                format!("link to {} became a link to {}", a.display(), b.display())
            }
            _ => "became another kind of entry".to_owned(),
        }
    }
}

fn digest(path: &Path, buffer: &mut [u8]) -> std::io::Result<(u64, blake3::Hash)> {
    let (mut file, mut hasher, mut size) = (File::open(path)?, blake3::Hasher::new(), 0);
    loop {
        let length = file.read(buffer)?;
        if length == 0 {
            return Ok((size, hasher.finalize()));
        }
        hasher.update(&buffer[..length]);
        size += length as u64;
    }
}

/// Whether a walk met a folder of build output, which the demonstration leaves out of its backup.
pub(super) fn is_build_output(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_type().is_dir() && entry.file_name().as_bytes() == b"target"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn every_kind_of_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for root in [&a, &b] {
            std::fs::create_dir_all(root.join("target")).unwrap();
            put(&root.join("same"), "same");
            put(&root.join("target/left-out"), &root.to_string_lossy());
        }
        put(&a.join("bytes"), "one");
        put(&b.join("bytes"), "two");
        put(&a.join("gone"), "");
        put(&b.join("new"), "");
        symlink("x", a.join("link")).unwrap();
        symlink("y", b.join("link")).unwrap();
        std::fs::set_permissions(b.join("same"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let scan = |root| Tree::scan(root, &is_build_output).unwrap();
        let (a, b) = (scan(&a), scan(&b));
        assert_eq!((a.files(), a.bytes()), (3, 7));
        assert!(a.differences(&a).is_empty());
        let text = a.differences(&b).join("\n");
        for expected in [
            "bytes: other bytes",
            "gone: was not restored",
            "new: should not be there",
            "link to x became a link to y",
            "same: permissions 0644 became 0600",
        ] {
            assert!(text.contains(expected), "{expected:?} in {text}");
        }
        assert!(!text.contains("target"), "{text}");
    }

    fn put(path: &Path, text: &str) {
        packhorse::base::file::replace(path, text.as_bytes(), 0o644).unwrap();
    }
}
