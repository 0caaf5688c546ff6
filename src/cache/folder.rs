//! Files with a tag.

use super::options::TEMPORARY;
use crate::base::Secret;
use crate::blob::BlobId;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const TAG_BYTES: usize = blake3::OUT_LEN;
/// Longest file that is read: the longest index blob that is worth keeping, and its tag.
const FILE_BYTES_MAX: u64 = (64 << 20) + TAG_BYTES as u64;
/// A file that was used within this time is not marked as used again.
///
/// Source: kopia `internal/cache/persistent_lru_cache.go`, `DefaultTouchThreshold`.
const TOUCH_SECONDS: i64 = 10 * 60;
const NAME_HEX: usize = 32;

/// What tells programs that a folder holds nothing worth saving.
const CACHE_TAG: &str = "CACHEDIR.TAG";
const CACHE_TAG_TEXT: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n";

/// A part of the cache: files whose names and tags depend on the key of the repository.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    temporary: PathBuf,
    key: Secret,
}

impl Folder {
    /// The part `name` of the cache in `root`, which need not be there yet. The key has 32 bytes.
    pub(super) fn new(root: &Path, name: &str, key: Secret) -> Self {
        Self { path: root.join(name), temporary: root.join(TEMPORARY), key }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where files lie before they have a name.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The bytes kept for `part` of a blob; none if there are none that can be believed.
    pub(super) fn read(&self, id: &BlobId, part: u64, now_seconds: i64) -> io::Result<Option<Vec<u8>>> {
        let path = self.file(id, part);
        let opened = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = file.metadata()?;
        let mut bytes = Vec::new();
        if stat.is_file() && stat.len() <= FILE_BYTES_MAX {
            bytes.reserve_exact(stat.len() as usize + 1);
            (&file).take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        }
        let data = bytes.len().checked_sub(TAG_BYTES);
        let is_sound = data.and_then(|length| bytes.split_at_checked(length)).is_some_and(|(data, tag)| {
            // Compared in constant time by the type of the hash.
            tag.try_into()
                .is_ok_and(|tag: [u8; TAG_BYTES]| self.tag(id, part, data) == blake3::Hash::from(tag))
        });
        if !is_sound {
            std::fs::remove_file(&path).ok();
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a file in it is not as it was written"));
        }
        bytes.truncate(bytes.len() - TAG_BYTES);
        if now_seconds.saturating_sub(stat.mtime()).abs() > TOUCH_SECONDS {
            mark_used(&file);
        }
        Ok(Some(bytes))
    }

    /// Keeps bytes for `part` of a blob.
    pub(super) fn write(&self, id: &BlobId, part: u64, data: &[u8]) -> io::Result<()> {
        let path = self.file(id, part);
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(io::Error::other)?;
        let temporary = self.temporary.join(hex::encode(suffix));
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let mut file = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make()?;
                create()?
            }
            created => created?,
        };
        let written = file
            .write_all(data)
            .and_then(|()| file.write_all(self.tag(id, part, data).as_bytes()))
            .and_then(|()| rename(&temporary, &path));
        if written.is_err() {
            std::fs::remove_file(&temporary).ok();
        }
        written
    }

    /// Forgets what is kept of a blob.
    pub(super) fn remove(&self, id: &BlobId) {
        let name = self.name(id);
        let Ok(entries) = std::fs::read_dir(self.path.join(&name[..2])) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(|file| file.starts_with(&name)) {
                // What stays is what was stored under this name, which names one blob for ever.
                std::fs::remove_file(entry.path()).ok();
            }
        }
    }

    fn make(&self) -> io::Result<()> {
        let own = self.temporary.parent().unwrap_or(&self.temporary);
        // A folder that others have made may hold what is worth saving.
        let made = own.parent().filter(|above| !above.exists());
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.temporary)?;
        made.into_iter().chain([own]).try_for_each(mark_as_cache)
    }

    fn file(&self, id: &BlobId, part: u64) -> PathBuf {
        let name = self.name(id);
        self.path.join(&name[..2]).join(format!("{name}.{part}"))
    }

    /// Different in each repository, so that several may share a folder, and safe as a file name.
    fn name(&self, id: &BlobId) -> String {
        let mut name = self.keyed(*b"name").update(id.as_str().as_bytes()).finalize().to_hex().to_string();
        name.truncate(NAME_HEX);
        name
    }

    fn tag(&self, id: &BlobId, part: u64, data: &[u8]) -> blake3::Hash {
        let id = id.as_str().as_bytes();
        let mut hasher = self.keyed(*b"file");
        hasher.update(&(id.len() as u64).to_le_bytes()).update(id).update(&part.to_le_bytes());
        hasher.update(data).finalize()
    }

    fn keyed(&self, purpose: [u8; 4]) -> blake3::Hasher {
        let key = self.key.expose().first_chunk().expect("keys of caches are made with 32 bytes");
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&purpose);
        hasher
    }
}

fn mark_as_cache(folder: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(folder.join(CACHE_TAG)) {
        Ok(mut file) => file.write_all(CACHE_TAG_TEXT),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = to.parent().unwrap_or(to);
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            std::fs::rename(from, to)
        }
        renamed => renamed,
    }
}

/// A cache on a read-only volume forgets by age of writing.
fn mark_used(file: &File) {
    let time = |nanos| Timespec { tv_sec: 0, tv_nsec: nanos };
    let times = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
    rustix::fs::futimens(file, &times).ok();
}

/// Bytes that others may still write to the volume of a folder.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let opened = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let volume = rustix::fs::fstatvfs(opened)?;
    Ok(volume.f_frsize.saturating_mul(volume.f_bavail))
}
