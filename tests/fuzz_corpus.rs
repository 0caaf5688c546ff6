//! The fuzz targets' checks, run on the corpus that is kept: what was ever found stays fixed, on stable and without a
//! fuzzer. How targets are fuzzed is in `docs/testing.md`.

#[path = "../fuzz/checks/mod.rs"]
#[expect(unreachable_pub, reason = "the checks are a library for the fuzzer")]
pub(crate) mod checks;
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The corpus is a part of every checkout.
const CORPUS_BYTES_MAX: u64 = 1 << 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Names in a folder, sorted, without a suffix that all must have.
fn names(folder: &Path, suffix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        name.strip_suffix(suffix).unwrap_or_else(|| panic!("{name} does not end in {suffix}")).to_owned()
    };
    let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

/// Runs one target on each file of its folder.
fn replay(target: &str, check: checks::Check) {
    let folder = fuzz().join("corpus").join(target);
    let files = names(&folder, "");
    assert!(!files.is_empty(), "{target} has no corpus");
    for file in files {
        let data = fs::read(folder.join(&file)).unwrap();
        let outcome = std::panic::catch_unwind(|| check(&data));
        assert!(outcome.is_ok(), "fuzz/corpus/{target}/{file}");
    }
}

#[test]
fn the_corpus_passes() {
    std::thread::scope(|scope| {
        let runs: Vec<_> = checks::ALL
            .iter()
            .map(|&(target, check)| (target, scope.spawn(move || replay(target, check))))
            .collect();
        let failed: Vec<_> =
            runs.into_iter().filter_map(|(target, run)| run.join().is_err().then_some(target)).collect();
        assert!(failed.is_empty(), "the corpus of {failed:?} fails, see above");
    });
}

#[test]
fn targets_folders_and_the_table_agree() {
    let table: Vec<_> = checks::ALL.iter().map(|(target, _)| (*target).to_owned()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets"), ".rs"), table, "files in fuzz/fuzz_targets");
    assert_eq!(names(&fuzz().join("corpus"), ""), table, "folders in fuzz/corpus");
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let declared = manifest.split("[[bin]]\n").skip(1).map(|bin| bin.split('"').nth(1).unwrap().to_owned());
    assert_eq!(declared.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), table, "fuzz/Cargo.toml");
    for target in &table {
        let body = fs::read_to_string(fuzz().join("fuzz_targets").join(format!("{target}.rs"))).unwrap();
        assert!(body.contains(&format!("checks::{target}::check(data)")), "{target} runs another check");
    }
}

#[test]
fn the_corpus_is_small() {
    let folder = fuzz().join("corpus");
    let sizes = names(&folder, "").into_iter().flat_map(|target| {
        fs::read_dir(folder.join(target)).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len())
    });
    let bytes: u64 = sizes.sum();
    assert!(bytes < CORPUS_BYTES_MAX, "{bytes} bytes: minimise it with `cargo fuzz cmin`");
}
