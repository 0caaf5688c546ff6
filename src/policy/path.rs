//! Paths of sources, lexically: policies may be for paths of other machines and systems.

use super::SourceInfo;
use std::path::Path;

/// Cleans a path as Go's `filepath.Clean` does: no `.`, no `..` that can be resolved, no doubled or final separators.
pub fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// A local path, absolute and clean.
pub(super) fn absolute(path: &str, current_dir: &Path) -> String {
    if path.starts_with('/') {
        clean_path(path)
    } else {
        clean_path(&format!("{}/{path}", current_dir.to_string_lossy()))
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// Splits off a Windows volume (`X:`) that a separator follows.
fn split_volume(path: &str) -> (&str, &str) {
    match path.as_bytes() {
        [_, b':', separator, ..] if is_separator(*separator) && path.is_char_boundary(1) => path.split_at(2),
        _ => ("", path),
    }
}

/// The parent of a policy path of any system; a root is its own parent.
///
/// Source: kopia `snapshot/policy/policy_manager.go` (`getParentPathOSIndependent`).
pub fn parent_path(path: &str) -> String {
    let (volume, mut rest) = split_volume(path);
    let mut last = rest.rfind(['/', '\\']);
    if let Some(at) = last.filter(|at| *at != 0 && at + 1 == rest.len()) {
        rest = &rest[..at];
        last = rest.rfind(['/', '\\']);
    }
    match last {
        None => path.to_owned(),
        Some(0) => format!("{volume}{}", &rest[..1]),
        Some(at) => format!("{volume}{}", &rest[..at]),
    }
}

/// Whether the path is the root of a system or volume.
pub fn is_root(path: &str) -> bool {
    match split_volume(path) {
        ("", path) => path == "/",
        (_, rest) => matches!(rest, "/" | "\\"),
    }
}

/// Whether a policy path ends with a separator although it is no root.
pub(super) fn has_trailing_separator(path: &str) -> bool {
    path.as_bytes().last().is_some_and(|last| is_separator(*last)) && !is_root(path)
}

/// The way from `parent` down to `child`, with slashes, or `None` if `child` is not strictly below.
///
/// Source: kopia `snapshot/policy/policy_manager.go` (`nestedRelativePathNormalizedToSlashes`).
pub fn nested_relative_path(parent: &str, child: &str) -> Option<String> {
    let windows = !split_volume(parent).0.is_empty();
    let parent = parent.strip_suffix('/').unwrap_or(parent);
    let parent = parent.strip_suffix('\\').unwrap_or(parent);
    let below = child.strip_prefix(parent)?.strip_prefix(['/', '\\']).filter(|below| !below.is_empty())?;
    Some(if windows { below.replace('\\', "/") } else { below.to_owned() })
}

/// The targets whose policies apply to `target`, most specific first: the path and its parents, the user, the host,
/// everything.
///
/// Source: kopia `snapshot/policy/policy_manager.go` (`GetPolicyHierarchy`).
pub fn hierarchy(target: &SourceInfo) -> Vec<SourceInfo> {
    let mut targets = Vec::new();
    if !target.path.is_empty() {
        let mut path = target.path.clone();
        loop {
            targets.push(target.with_path(path.clone()));
            let parent = parent_path(&path);
            if parent == path {
                break;
            }
            path = parent;
        }
    }
    targets.push(target.with_path(""));
    targets.push(SourceInfo::new("", target.host.clone(), ""));
    targets.push(SourceInfo::default());
    // A host is its own user@host, everything is its own host.
    targets.dedup();
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_found_on_any_system() {
        for (path, parent) in [
            ("/a/b", "/a"),
            ("/a/b/", "/a"),
            ("/a", "/"),
            ("/", "/"),
            ("C:\\", "C:\\"),
            ("C:\\x", "C:\\"),
            ("C:/x/y", "C:/x"),
            ("C:\\x\\y\\", "C:\\x"),
            ("x", "x"),
            ("", ""),
            ("a/b", "a"),
            ("\\\\server\\share", "\\\\server"),
            ("é:/x", "é:"),
        ] {
            assert_eq!(parent_path(path), parent, "{path}");
        }
        assert!(is_root("/") && is_root("C:\\") && is_root("C:/") && !is_root("/a") && !is_root("\\"));
        assert!(
            has_trailing_separator("/a/") && has_trailing_separator("a\\") && !has_trailing_separator("/")
        );
    }

    #[test]
    fn nested_paths_are_relative() {
        for (parent, child, relative) in [
            ("/a", "/a/b", Some("b")),
            ("/a", "/a/b/c", Some("b/c")),
            ("/a/", "/a/b", Some("b")),
            ("/", "/x", Some("x")),
            ("/a", "/a", None),
            ("/a", "/ab", None),
            ("/", "/", None),
            ("C:\\a", "C:\\a\\b\\c", Some("b/c")),
            ("/a", "/a\\b\\c", Some("b\\c")),
        ] {
            assert_eq!(nested_relative_path(parent, child).as_deref(), relative, "{parent} {child}");
        }
    }

    #[test]
    fn hierarchy_climbs_to_everything() {
        let texts = |user: &str, host: &str, path: &str| -> Vec<String> {
            hierarchy(&SourceInfo::new(user, host, path)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            texts("u", "h", "/a/b"),
            ["u@h:/a/b", "u@h:/a", "u@h:/", "u@h", "@h", "(global)"].map(str::to_owned)
        );
        assert_eq!(texts("", "h", ""), ["@h", "(global)"].map(str::to_owned));
        assert_eq!(texts("", "", ""), ["(global)"].map(str::to_owned));
    }
}
