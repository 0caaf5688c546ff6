//! `ignore.json`: trees with rules, and what a snapshot of them contains.

use super::{list, members, report, table, text};
use base64::Engine;
use packhorse::policy::{
    Policy, PolicyTree, SourceInfo, clean_path, effective, hierarchy, nested_relative_path,
};
use packhorse::source::{Directory, Entry, EntryKind, IgnoreContext, Listed, Result, is_cache_directory};
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

#[test]
fn trees_are_kept_as_in_kopia() {
    let table = table("ignore");
    let (mut checked, mut skipped, mut failures) = (0, 0, Vec::new());
    for case in list(&table["cases"]) {
        let base = tempfile::tempdir().unwrap();
        let Some(_mounts) = build(case, base.path()) else {
            skipped += 1;
            continue;
        };
        checked += 1;
        let found = snapshot(case, &base.path().join("src"));
        for difference in differences(case, found.as_ref()) {
            failures.push(format!("{} ({}) {}: {difference}", case["id"], case["group"], case["note"]));
        }
    }
    if skipped > 0 {
        println!("{skipped} cases need mounts, which are not allowed here");
    }
    assert_eq!(checked + skipped, 652);
    report(checked, &failures);
}

/// What differs from the recorded result.
fn differences(case: &Value, found: Option<&Walk>) -> Vec<String> {
    let (Some(found), false) = (found, case["kept"].is_null()) else {
        let agree = found.is_none() && case["kept"].is_null();
        return if agree { vec![] } else { vec![format!("saved: {}", found.is_some())] };
    };
    let mut differences = Vec::new();
    let mut compare = |what: &str, found: Value, wanted: &Value| {
        if found != *wanted {
            differences.push(format!("{what} {found}, wanted {wanted}"));
        }
    };
    compare("kept", found.kept.clone().into(), &case["kept"]);
    let stats = &case["stats"];
    compare("excluded files", found.excluded_files.into(), &stats["excludedFileCount"]);
    compare("excluded directories", found.excluded_directories.into(), &stats["excludedDirCount"]);
    compare("excluded bytes", found.excluded_bytes.into(), &stats["excludedTotalSize"]);
    let wanted: Vec<_> = list(&case["errors"]).map(|error| error["path"].clone()).collect();
    compare("failed", found.failed.clone().into(), &wanted.into());
    differences
}

/// Mounted folders, unmounted at the end.
struct Mounts(Vec<PathBuf>);

impl Drop for Mounts {
    fn drop(&mut self) {
        for mounted in self.0.iter().rev() {
            Command::new("umount").arg(mounted).status().ok();
        }
    }
}

/// Makes the tree of a case below `base/src`; `None` if it needs a mount that is refused.
fn build(case: &Value, base: &Path) -> Option<Mounts> {
    let source = base.join("src");
    std::fs::create_dir(&source).unwrap();
    let mut mounts = Mounts(Vec::new());
    for mount in list(&case["mounts"]).map(text) {
        let (name, bind) = mount.split_once('=').map_or((mount, false), |(name, _)| (name, true));
        std::fs::create_dir_all(source.join(name)).unwrap();
        let mut command = Command::new("mount");
        if bind {
            write(&base.join("bound/inside"), b"x");
            command.arg("--bind").arg(base.join("bound"));
        } else {
            command.args(["-t", "tmpfs", "tmpfs"]);
        }
        if !command.arg(source.join(name)).output().is_ok_and(|output| output.status.success()) {
            return None;
        }
        mounts.0.push(source.join(name));
    }
    for entry in list(&case["tree"]) {
        build_entry(entry, &source);
    }
    for (name, content) in members(&case["files"]) {
        if name.ends_with('/') {
            std::fs::create_dir_all(source.join(name)).unwrap();
        } else {
            write(&source.join(name), &content_of(content));
        }
    }
    Some(mounts)
}

fn build_entry(entry: &Value, source: &Path) {
    let name = entry.as_str().unwrap_or_else(|| text(&entry["path"]));
    let path = source.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    if name.ends_with('/') {
        std::fs::create_dir_all(path).unwrap();
    } else if let Some(target) = entry["symlink"].as_str() {
        symlink(target, path).unwrap();
    } else if entry["fifo"] == true {
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    } else if entry.get("content").is_some() {
        write(&path, &content_of(&entry["content"]));
    } else {
        let size = entry["size"].as_u64().unwrap_or(3);
        write(&path, &vec![b'x'; usize::try_from(size).unwrap()]);
    }
}

#[expect(clippy::disallowed_methods, reason = "a tree to be walked need not be durable")]
fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn content_of(content: &Value) -> Vec<u8> {
    match content.get("base64") {
        Some(encoded) => base64::engine::general_purpose::STANDARD.decode(text(encoded)).unwrap(),
        None => text(content).as_bytes().to_vec(),
    }
}

/// The policies of a case, for a source at the path it had when recorded.
fn policies(case: &Value) -> PolicyTree {
    let source = SourceInfo::new("root", "packhost", format!("/base/{}/src", text(&case["id"])));
    let parse = |policy: &Value| serde_json::from_value::<Policy>(policy.clone()).unwrap();
    let mut defined = Vec::new();
    let global = &case["global_policy"];
    let global = if global.is_null() { Policy::built_in() } else { parse(global) };
    defined.push((SourceInfo::default(), global));
    for (key, target) in
        [("host_policy", SourceInfo::new("", "packhost", "")), ("user_policy", source.with_path(""))]
    {
        if !case[key].is_null() {
            defined.push((target, parse(&case[key])));
        }
    }
    for (relative, policy) in members(&case["policies"]) {
        let path = clean_path(&format!("{}/{relative}", source.path));
        defined.push((source.with_path(path), parse(policy)));
    }
    if let Some(policy) = case.get("cli_result").map(|result| &result["policy"]) {
        defined.push((source.clone(), parse(policy)));
    }
    let of = |target: &SourceInfo| {
        defined
            .iter()
            .filter(|(of, _)| of == target)
            .map(|(of, policy)| (of.clone(), policy.clone()))
            .collect()
    };
    let chain: Vec<_> = hierarchy(&source).iter().flat_map(|target| -> Vec<_> { of(target) }).collect();
    let nested = defined.iter().filter_map(|(target, policy)| {
        nested_relative_path(&source.path, &target.path).map(|path| (path, policy.clone()))
    });
    PolicyTree::new(effective(&source, &chain).policy, nested)
}

/// What a walk found.
#[derive(Default)]
struct Walk {
    kept: Vec<String>,
    failed: Vec<String>,
    excluded_files: u64,
    excluded_directories: u64,
    excluded_bytes: u64,
}

/// Walks a tree as a snapshot does; `None` if its root cannot be read.
fn snapshot(case: &Value, path: &Path) -> Option<Walk> {
    let (root, entry) = Directory::open_root(path).unwrap();
    let mut walk = Walk::default();
    let policies = policies(case);
    walk.directory(&root, entry.device, &mut String::new(), &IgnoreContext::root(), &policies).ok()?;
    walk.kept.sort();
    walk.failed.sort();
    Some(walk)
}

impl Walk {
    fn directory(
        &mut self,
        directory: &Directory,
        device: u64,
        path: &mut String,
        outer: &Arc<IgnoreContext>,
        node: &PolicyTree,
    ) -> Result<()> {
        let names = directory.names()?;
        if node.policy().files.ignore_cache_dirs.unwrap_or(true) && is_cache_directory(directory, &names) {
            self.excluded_directories += 1;
            return Ok(());
        }
        let context = IgnoreContext::enter(outer, directory, &names, path, node.ignore_policy().as_ref())?;
        let length = path.len();
        let listed: Vec<_> = directory.members(&names).collect::<Result<_>>()?;
        for member in listed.iter().flatten() {
            let name = std::str::from_utf8(member.name()).unwrap();
            path.truncate(length);
            path.push('/');
            path.push_str(name);
            if context.includes(path, member, device, &mut |excluded| self.exclude(excluded)) {
                let entry = member.entry().expect("tests run with enough rights");
                self.include(directory, entry, path, &context, node.child(name));
            }
        }
        path.truncate(length);
        Ok(())
    }

    fn include(
        &mut self,
        directory: &Directory,
        entry: &Entry,
        path: &mut String,
        context: &Arc<IgnoreContext>,
        node: &PolicyTree,
    ) {
        let relative = path[1..].to_owned();
        match entry.kind {
            EntryKind::Directory => {
                let below = directory.open_directory(&entry.name).unwrap();
                match self.directory(&below, entry.device, path, context, node) {
                    Ok(()) => self.kept.push(relative + "/"),
                    Err(_) => self.failed.push(relative),
                }
            }
            EntryKind::File | EntryKind::Symlink => self.kept.push(relative),
            EntryKind::Other => {
                if !node.policy().error_handling.ignore_unknown_types.unwrap_or(true) {
                    self.failed.push(relative);
                }
            }
        }
    }

    fn exclude(&mut self, excluded: &Listed) {
        if excluded.is_directory() {
            self.excluded_directories += 1;
        } else {
            self.excluded_files += 1;
            self.excluded_bytes += excluded.entry().map_or(0, |entry| entry.size);
        }
    }
}
