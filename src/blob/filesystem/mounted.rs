//! Whether a folder that should be a mounted volume is one.
//!
//! A repository made in the empty folder under a volume that is not mounted fills the wrong disk, and vanishes when the
//! volume comes back. Three things say that a volume should be there: the caller, the tables of the system, and a
//! marker file that the administrator put into the folder underneath.

use crate::blob::{Error, Result};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// In the folder under a mount point it says that nothing is mounted there.
const MARKER: &str = ".packhorse-not-mounted";
/// How many folders above the repository's may be the mount point that the system's table names.
const LEVELS: usize = 3;
const TABLE: &str = "/etc/fstab";
const MOUNTS: &str = "/proc/self/mountinfo";
/// A file system that only waits for the real one.
const AUTOMOUNT: &str = "autofs";

/// Refuses a folder that says itself that its volume is missing.
///
/// # Errors
/// [`Error::Root`].
pub(super) fn check_marker(root: &Path) -> Result<()> {
    let marked = near(root).find(|folder| folder.join(MARKER).exists());
    let Some(folder) = marked else { return Ok(()) };
    let message = format!("no volume is mounted at {}: it shows the file {MARKER}", folder.display());
    Err(refused(root, message))
}

/// Refuses a folder for which the tables of the system name a volume that is not mounted.
///
/// # Errors
/// [`Error::Root`].
pub(super) fn check_tables(root: &Path) -> Result<()> {
    // A system without these tables expects no volumes.
    let table = std::fs::read_to_string(TABLE).unwrap_or_default();
    let expected = expected(&table);
    for folder in near(root) {
        wake(folder);
    }
    let Ok(mounts) = std::fs::read_to_string(MOUNTS) else { return Ok(()) };
    let mounted = mounted(&mounts);
    let missing = |folder: &&Path| {
        let is_automount = mounted.automounts.iter().any(|path| path == folder);
        (is_automount || expected.iter().any(|path| path == folder))
            && !mounted.volumes.iter().any(|path| path == folder)
    };
    let Some(folder) = near(root).find(missing) else { return Ok(()) };
    let message = format!(
        "{} should be a mounted volume, says {TABLE} or an automounter, and is none; mount it first",
        folder.display()
    );
    Err(refused(root, message))
}

/// Refuses a folder that is on the same volume as `/`: somebody has said that it must be on another.
///
/// # Errors
/// [`Error::Root`]; [`Error::Unsupported`] where the system does not tell what is mounted.
pub fn require_mount(root: &Path) -> Result<()> {
    wake(root);
    let unsupported = |_| Error::Unsupported { option: "asking what is mounted" };
    let mounts = std::fs::read_to_string(MOUNTS).map_err(unsupported)?;
    let volumes = mounted(&mounts).volumes;
    let is_below = |volume: &PathBuf| volume != Path::new("/") && root.starts_with(volume);
    if volumes.iter().any(is_below) {
        return Ok(());
    }
    Err(refused(root, "neither it nor a folder above it is a mounted volume, and one is required".to_owned()))
}

fn refused(root: &Path, message: String) -> Error {
    let source = io::Error::new(io::ErrorKind::NotFound, message);
    Error::Root { path: root.to_owned(), source }
}

/// The folder and those close above it, but never `/`.
fn near(root: &Path) -> impl Iterator<Item = &Path> {
    root.ancestors().take(LEVELS + 1).filter(|folder| folder.parent().is_some())
}

/// Lets an automounter mount: opening does, looking does not.
fn wake(folder: &Path) {
    File::open(folder).ok();
}

/// The mount points of a table as in fstab(5).
fn expected(table: &str) -> Vec<PathBuf> {
    let lines = table.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let points = lines.filter_map(|line| line.split_whitespace().nth(1));
    points.filter(|point| point.starts_with('/') && *point != "/").map(unescape).collect()
}

/// What is mounted, as in `proc_pid_mountinfo`(5).
#[derive(Default)]
struct Mounted {
    automounts: Vec<PathBuf>,
    volumes: Vec<PathBuf>,
}

fn mounted(table: &str) -> Mounted {
    let mut mounted = Mounted::default();
    for line in table.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(point) = before.split(' ').nth(4).map(unescape) else { continue };
        match after.split(' ').next() {
            Some(AUTOMOUNT) => mounted.automounts.push(point),
            _ => mounted.volumes.push(point),
        }
    }
    mounted
}

/// Undoes the octal escapes of both tables, such as `\040` for a blank.
fn unescape(text: &str) -> PathBuf {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        match after
            .split_at_checked(3)
            .and_then(|(code, rest)| Some((u8::from_str_radix(code, 8).ok()?, rest)))
        {
            Some((byte, behind)) if byte.is_ascii() => {
                plain.push(char::from(byte));
                rest = behind;
            }
            _ => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    // A slash at the end means nothing.
    PathBuf::from(plain).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_read() {
        let table = "# /dev/x /no ext4\n\n/dev/a / ext4 rw 0 1\nnas:/b\t/mnt/my\\040backup/ nfs noauto,x-systemd.automount\n\
                     /dev/s none swap sw\nnas:/c /srv/c nfs\n";
        assert_eq!(expected(table), [Path::new("/mnt/my backup"), Path::new("/srv/c")]);
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/a rw\n\
                      30 22 0:40 / /mnt/my\\040backup rw - autofs systemd-1 rw\n\
                      31 30 0:41 / /mnt/my\\040backup rw - nfs4 nas:/b rw\nnonsense\n\
                      32 22 0:42 / /srv/d rw - autofs auto rw\n";
        let found = mounted(mounts);
        assert_eq!(found.automounts, [Path::new("/mnt/my backup"), Path::new("/srv/d")]);
        assert_eq!(found.volumes, [Path::new("/"), Path::new("/mnt/my backup")]);
        assert_eq!(unescape("/a\\b\\04"), Path::new("/a\\b\\04"));
    }

    #[test]
    fn a_marker_in_the_folder_or_close_above_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b/c");
        std::fs::create_dir_all(&root).unwrap();
        check_marker(&root).unwrap();
        crate::base::file::replace(&dir.path().join(MARKER), b"", 0o600).unwrap();
        let error = check_marker(&root).unwrap_err();
        assert!(crate::base::error_chain(&error).contains(MARKER), "{error}");
        check_marker(&root.join("d")).unwrap();
    }

    #[test]
    fn the_root_volume_is_not_enough_when_a_mount_is_required() {
        require_mount(Path::new("/proc/self")).unwrap();
        let error = require_mount(Path::new("/no-such-folder-anywhere")).unwrap_err();
        assert!(matches!(error, Error::Root { .. }), "{error}");
    }
}
