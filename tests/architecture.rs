//! The layers keep their order: a folder of `src/` names only the folders that its row allows.
//!
//! The compiler lets modules of one crate use each other in circles; this reads the paths in the source instead.

mod paths;

use paths::PathUse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a folder may name besides itself, lowest layer first; a row may only refer to rows above it.
///
/// Wider than the table of the design in two places: every folder may use `base`, which has no domain words, and
/// `manifest` picks the compressor of its batches by name, as `object` does for its lists.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("blob", &["base"]),
    ("splitter", &["base"]),
    ("compression", &["base"]),
    ("crypto", &["base"]),
    ("source", &["base"]), // never snapshot: a live tree knows nothing of repositories
    ("format", &["base", "crypto"]), // no blob: the vocabulary does no I/O
    ("cache", &["base", "blob"]), // a store around a store, which needs no words of the repository
    ("index", &["base", "blob", "compression", "crypto", "format"]), // never content: it builds on index
    ("content", &["base", "blob", "compression", "crypto", "format", "index"]),
    ("object", &["base", "compression", "splitter", "format", "content"]), // never blob: objects are contents
    ("manifest", &["base", "compression", "format", "content"]),
    (
        "repo",
        &[
            "base",
            "blob",
            "cache",
            "splitter",
            "compression",
            "crypto",
            "format",
            "index",
            "content",
            "object",
            "manifest",
        ],
    ),
    // The rules of a source are compiled by `source`; what is saved are manifests of a repository.
    ("policy", &["base", "source", "manifest", "repo"]),
    ("actions", &["base", "policy"]), // the only one that starts processes
    ("snapshot", EVERYTHING_BELOW_SNAPSHOT),
    ("restore", EVERYTHING_BELOW_RESTORE),
    ("mount", EVERYTHING_BELOW_RESTORE),
    ("maintenance", EVERYTHING_BELOW_RESTORE),
];

const EVERYTHING_BELOW_SNAPSHOT: &[&str] = &[
    "base",
    "blob",
    "cache",
    "splitter",
    "compression",
    "crypto",
    "source",
    "format",
    "index",
    "content",
    "object",
    "manifest",
    "repo",
    "policy",
    "actions",
];

/// `restore`, `mount` and `maintenance` do not know each other.
const EVERYTHING_BELOW_RESTORE: &[&str] = &[
    "base",
    "blob",
    "cache",
    "splitter",
    "compression",
    "crypto",
    "source",
    "format",
    "index",
    "content",
    "object",
    "manifest",
    "repo",
    "policy",
    "actions",
    "snapshot",
];

/// Folders of the binary. They see the library from outside, as any other program does; only `cli` starts the others.
const BINARY_MAY_IMPORT: &[(&str, &[&str])] =
    &[("mover", &[]), ("server", &[]), ("cli", &["mover", "server"]), ("main", &["cli", "mover", "server"])];

/// The name under which the binary sees the library.
const LIBRARY: &str = "packhorse";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn allowed(table: &'static [(&str, &[&str])], folder: &str) -> Option<&'static [&'static str]> {
    table.iter().find(|(name, _)| *name == folder).map(|(_, may)| *may)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The folders that `lib.rs` declares; everything else beside it belongs to the binary.
fn library_folders() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = |line: &str| Some(line.trim().strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    text.lines().filter_map(declared).collect()
}

/// Why `folder` must not name `target`, if so.
fn forbidden(library: bool, folder: &str, target: &str) -> Option<String> {
    if target == folder {
        return None;
    }
    let (table, kind) =
        if library { (MAY_IMPORT, "layer") } else { (BINARY_MAY_IMPORT, "part of the binary") };
    let Some(may) = allowed(table, folder) else {
        return Some(format!("`{folder}` has no row in the table"));
    };
    if target == LIBRARY {
        return library.then(|| "inside the library its folders are `crate::…`".to_owned());
    }
    if may.contains(&target) {
        return None;
    }
    let position = |name: &str| table.iter().position(|(row, _)| *row == name);
    Some(match (position(target), position(folder)) {
        (None, _) => format!("`{target}` is no {kind}"),
        (Some(target_row), Some(own)) if target_row > own => {
            format!("`{target}` is a higher {kind} and builds on `{folder}`")
        }
        _ => format!("`{folder}` may name only: {}", may.join(", ")),
    })
}

/// The folder of `src/` that a file belongs to, and the module path of the file.
fn module_of(file: &Path) -> (String, Vec<String>) {
    let relative = file.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut module: Vec<String> =
        relative.iter().map(|part| part.to_str().expect("our names are ASCII").to_owned()).collect();
    let folder = module[0].clone();
    if module.last().is_some_and(|last| last == "mod") || module == ["main"] {
        module.pop();
    }
    (folder, module)
}

#[test]
fn folders_name_only_what_the_table_allows() {
    let library = library_folders();
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let (mut edges, mut bad) = (0, Vec::new());
    for file in files.iter().filter(|file| !file.ends_with("src/lib.rs")) {
        let (folder, module) = module_of(file);
        let inside = library.contains(&folder);
        let name = file.strip_prefix(root()).unwrap().display();
        for PathUse { line, target } in paths::uses(&fs::read_to_string(file).unwrap(), &module) {
            edges += 1;
            if let Some(reason) = forbidden(inside, &folder, &target) {
                bad.push(format!("{name}:{line}: `{folder}` → `{target}`: {reason}"));
            }
        }
    }
    assert!(edges > 100, "only {edges} paths were found: the reader is broken");
    assert!(bad.is_empty(), "forbidden paths:\n{}", bad.join("\n"));
}

#[test]
fn the_table_has_no_circle_and_every_folder_a_row() {
    for table in [MAY_IMPORT, BINARY_MAY_IMPORT] {
        let mut above = BTreeSet::new();
        for (folder, may) in table {
            for target in *may {
                assert!(
                    above.contains(target),
                    "`{folder}` → `{target}`, which is not above it in the table"
                );
            }
            above.insert(*folder);
        }
    }
    for folder in library_folders() {
        assert!(allowed(MAY_IMPORT, &folder).is_some(), "`{folder}` has no row in the table");
    }
}

#[test]
fn every_test_file_is_declared() {
    let main = fs::read_to_string(root().join("tests/main.rs")).unwrap();
    let declared: BTreeSet<&str> = main
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let is_module =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("mod.rs").is_file();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if is_module && stem != "main" {
            files.insert(stem, path);
        }
    }
    let forgotten: Vec<_> = files.iter().filter(|(stem, _)| !declared.contains(stem.as_str())).collect();
    assert!(forgotten.is_empty(), "not declared in tests/main.rs, so never run: {forgotten:?}");
}

#[test]
fn the_reader_of_paths_sees_what_the_compiler_sees() {
    let text = r##"
        //! See [`crate::snapshot`].
        use crate::{blob, index::{self, Entry}, crate_like};
        use super::{sibling, deep::{X, Y}}; use super::super::format::X; use crate::*;
        /* crate::policy */ const A: &str = "crate::repo"; // crate::restore
        const B: &str = r#"crate::repo " crate::repo"#;
        const C: char = '"';
        mod tests {
            use super::super::super::object as o;
            fn f() { crate::content::get::<'a', { 1 }>(); let _ = packhorse::base::MIB; x::crate_::y(); }
        }
        use super::super::source;
        pub(in crate::crypto) fn g<'a>() {}
    "##;
    let module = ["index".to_owned(), "epoch".to_owned()];
    let found: Vec<String> = paths::uses(text, &module)
        .into_iter()
        .map(|found| format!("{}:{}", found.line, found.target))
        .collect();
    let expected = [
        "3:blob",
        "3:index",
        "3:crate_like",
        "4:index",
        "4:index",
        "4:format",
        "4:*",
        "9:object",
        "10:content",
        "10:packhorse",
        "12:source",
        "13:crypto",
    ];
    assert_eq!(found, expected);
    assert!(forbidden(true, "index", "content").is_some_and(|reason| reason.contains("builds on")));
    assert!(forbidden(true, "object", "blob").is_some() && forbidden(true, "object", "content").is_none());
    assert!(forbidden(false, "mover", "cli").is_some() && forbidden(false, "cli", LIBRARY).is_none());
}
