//! What users do to a tree between snapshots.

use super::tree::{Gardener, mtime};
use crate::support::live_tree::write;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes so many changes below `root`.
pub(super) fn edit(root: &Path, gardener: &mut Gardener, edits: u64) {
    let before = directory_times(root);
    for _ in 0..edits {
        let paths = paths(root);
        let path = gardener.dice.pick(&paths);
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            edit_directory(&path, gardener, path == root);
        } else if kind.is_file() {
            edit_file(&path, gardener);
        } else {
            fs::remove_file(&path).unwrap();
            gardener.link(&path);
            gardener.dress(&path);
        }
    }
    // The time of the day is nothing that a seed gives.
    for (path, time) in directory_times(root).iter().rev() {
        if edits > 0 && before.get(path) != Some(time) {
            gardener.touch(path);
        }
    }
}

/// Everything in a tree, the root first, in an order that is always the same.
pub(super) fn paths(root: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(root).sort_by_file_name();
    walk.into_iter().map(|entry| entry.unwrap().into_path()).collect()
}

fn directory_times(root: &Path) -> BTreeMap<PathBuf, i64> {
    let directories = paths(root).into_iter().filter(|path| fs::symlink_metadata(path).unwrap().is_dir());
    directories.map(|path| (path.clone(), mtime(&path))).collect()
}

fn edit_directory(path: &Path, gardener: &mut Gardener, is_root: bool) {
    match gardener.dice.below(if is_root { 6 } else { 9 }) {
        0..4 => gardener.plant(path, 20_000),
        4 => {
            gardener.set_mode(path);
            gardener.own(path);
        }
        5 => gardener.touch(path),
        6 => fs::remove_dir_all(path).unwrap(),
        7 => fs::rename(path, path.with_file_name(gardener.name())).unwrap(),
        _ => {
            fs::remove_dir_all(path).unwrap();
            write(path, b"it was a directory\n");
            gardener.dress(path);
        }
    }
}

fn edit_file(path: &Path, gardener: &mut Gardener) {
    match gardener.dice.below(13) {
        0 => fs::remove_file(path).unwrap(),
        1 => fs::rename(path, path.with_file_name(gardener.name())).unwrap(),
        2 => gardener.touch_after(path, mtime(path)),
        3 => gardener.set_mode(path),
        4 => gardener.own(path),
        5 => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            gardener.plant(path, 5000);
            gardener.dress(path);
        }
        6 => {
            fs::remove_file(path).unwrap();
            gardener.link(path);
            gardener.dress(path);
        }
        _ => rewrite(path, gardener),
    }
}

/// Changes bytes in place, so that all hard links see it.
fn rewrite(path: &Path, gardener: &mut Gardener) {
    let (mut bytes, old) = (fs::read(path).unwrap(), mtime(path));
    let at = gardener.dice.below(bytes.len() as u64 + 1) as usize;
    let few = gardener.dice.below(3000) as usize;
    match gardener.dice.below(5) {
        0 => bytes.truncate(at),
        1 => bytes.extend(gardener.bytes(few)),
        2 => drop(bytes.splice(at..at, gardener.bytes(few))),
        3 => bytes = gardener.bytes(few),
        _ => bytes.iter_mut().skip(at).take(10).for_each(|byte| *byte ^= 0xff),
    }
    write(path, &bytes);
    gardener.touch_after(path, old);
}

/// The directories or files below `root` that are listed under their own names.
pub(super) fn targets(root: &Path, want_files: bool) -> Vec<PathBuf> {
    let plain = |name: &OsStr| name.to_str().is_some_and(|name| !name.contains(['\n', '\t']));
    let is_plain = |path: &Path| path.strip_prefix(root).unwrap().iter().all(plain);
    let is_wanted = |path: &PathBuf| {
        let kind = fs::symlink_metadata(path).unwrap().file_type();
        is_plain(path) && if want_files { kind.is_file() } else { kind.is_dir() }
    };
    paths(root).into_iter().skip(1).filter(is_wanted).collect()
}
