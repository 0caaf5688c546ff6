//! The documents point at what exists: files, folders and headings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The documents in the root and below `docs`, relative to the root.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new(), PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            } else if folder.starts_with("docs") && entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// The text without blocks of code.
fn prose(document: &Path) -> String {
    let text = fs::read_to_string(root().join(document)).unwrap();
    text.split("\n```").step_by(2).collect()
}

/// Where the links of a text lead that stay in the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

/// Paths in the text, each brace opened into its members.
fn paths(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let ours = |path: &&str| {
        ["src/", "tests/", "docs/", "benches/", "fuzz/"].iter().any(|folder| path.starts_with(folder))
            && !path.contains(['<', '*', ' ', '…'])
    };
    let open = |path: &str| match (path.find('{'), path.find('}')) {
        (Some(from), Some(to)) => path[from + 1..to]
            .split(',')
            .map(|member| format!("{}{member}{}", &path[..from], &path[to + 1..]))
            .collect(),
        _ => vec![path.to_owned()],
    };
    quoted.filter(ours).flat_map(open).collect()
}

/// The names by which headings are linked to.
fn anchors(document: &Path) -> BTreeSet<String> {
    let text = prose(document);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(|&c| kept(c)).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            clean.pop();
        } else if part != Component::CurDir {
            clean.push(part);
        }
    }
    clean
}

#[test]
fn links_and_paths_lead_somewhere() {
    let mut bad = Vec::new();
    let mut checked = 0;
    for document in documents() {
        let text = prose(&document);
        for link in links(&text) {
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let below = document.parent().unwrap();
            let target = if path.is_empty() { document.clone() } else { without_dots(&below.join(path)) };
            let is_there = root().join(&target).exists();
            if !is_there || !(anchor.is_empty() || anchors(&target).contains(anchor)) {
                bad.push(format!("{}: ({link})", document.display()));
            }
        }
        for path in paths(&text) {
            checked += 1;
            if !root().join(&path).exists() {
                bad.push(format!("{}: `{path}`", document.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} links and paths were found: the reader is broken");
    assert!(bad.is_empty(), "these lead nowhere:\n{}", bad.join("\n"));
}
