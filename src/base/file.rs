//! Small local files that must never be half written: connection files, password files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Longest piece handed to one write call, in bytes. Much longer ones are ten times slower on some kernels, where they
/// make the page cache take its pages in large blocks.
pub const WRITE_BYTES: usize = 512 * 1024;

/// Replaces `path` by `data`, durably and atomically, with permission bits `mode`.
///
/// Writes a temporary file beside it, syncs, renames, and syncs the directory, so that a crash leaves the old content
/// or the new.
///
/// # Errors
/// Any error of the file system; the temporary file is removed.
pub fn replace(path: &Path, data: &[u8], mode: u32) -> io::Result<()> {
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".tmp.{}", hex::encode(suffix)));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).and_then(|mut file| {
            file.write_all(data)?;
            file.sync_all()
        });
    if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, path)) {
        // The first error is the one that matters; a leftover is harmless.
        std::fs::remove_file(&temporary).ok();
        return Err(error);
    }
    File::open(dir)?.sync_all()
}
