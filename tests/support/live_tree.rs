//! Trees on disk: a fixture's snapshot made real again, and small trees for tests of their own.

use super::compare;
use packhorse::repo::Repository;
use packhorse::snapshot::DirEntry;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// Writes a file; its folder is made.
#[expect(clippy::disallowed_methods, reason = "a source to be backed up, which nobody needs to keep")]
pub(crate) fn write(path: &Path, data: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, data).unwrap();
}

/// Sets the modification time of anything, links included.
pub(crate) fn set_mtime(path: &Path, nanos: i64) {
    let at = Timespec { tv_sec: nanos.div_euclid(1_000_000_000), tv_nsec: nanos.rem_euclid(1_000_000_000) };
    let times = Timestamps { last_access: at, last_modification: at };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Whether this process may give files away, without which a tree of others' files cannot be made.
pub(crate) fn can_change_owners() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes the tree of a fixture in `folder`, as Kopia's list of it says, with the bytes that `repository` holds.
pub(crate) fn materialize(repository: &Repository, tree: &Value, folder: &Path) {
    let entries: Vec<_> =
        tree.as_array().unwrap().iter().map(|entry| (path_of(folder, entry), entry)).collect();
    for (path, facts) in &entries {
        let object = facts["object"].as_str().unwrap().parse().unwrap();
        let entry = DirEntry { obj: object, ..DirEntry::default() };
        match facts["type"].as_str() {
            Some("d") => fs::create_dir_all(path).unwrap(),
            Some("f") => write(path, &compare::bytes(repository, &entry).unwrap()),
            _ => {
                let target = compare::bytes(repository, &entry).unwrap();
                symlink(OsString::from_vec(target), path).unwrap();
            }
        }
    }
    // Members before their directory, whose time they change.
    for (path, facts) in entries.iter().rev() {
        let number = |key: &str| facts[key].as_i64().unwrap();
        let owner = |key: &str| Some(u32::try_from(number(key)).unwrap());
        lchown(path, owner("uid"), owner("gid")).unwrap();
        if facts["type"] != "s" {
            let mode = u32::from_str_radix(facts["mode"].as_str().unwrap(), 8).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        set_mtime(path, number("mtime_ns"));
    }
}

/// Names that are no UTF-8 are listed mangled, with their bytes beside.
fn path_of(folder: &Path, facts: &Value) -> PathBuf {
    let relative = match facts["source_path_hex"].as_str() {
        Some(hex) => OsString::from_vec(hex::decode(hex).unwrap()),
        None => OsString::from(facts["path"].as_str().unwrap()),
    };
    if relative.is_empty() { folder.to_owned() } else { folder.join(relative) }
}
