//! Placeholders and archives of either program, read by the other or beside the other's.

use super::{assert_equal, paths};
use crate::support::programs::Program;
use crate::support::trees::{self, Dice, Times};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

fn placeholders(root: &Path) -> Vec<PathBuf> {
    let is_such =
        |path: &Path| path.to_string_lossy().ends_with(".kopia-entry") && !path.ends_with(".kopia-entry");
    let walk = walkdir::WalkDir::new(root).into_iter().map(|found| found.unwrap().into_path());
    walk.filter(|path| is_such(path)).collect()
}

#[test]
fn either_fills_in_what_the_other_has_left_out() {
    for is_ours in [true, false] {
        let Some(kopia) = Program::kopia() else { return };
        let ours = Program::packhorse().plain();
        let base = tempfile::tempdir().unwrap();
        let (repository, source) = paths(base.path());
        trees::make(&source, &mut Dice::new(31));
        ours.create(&repository, &[]);
        let snapshot = ours.snapshot(&source);
        kopia.connect(&repository);
        let (leaver, filler) = if is_ours { (&ours, &kopia) } else { (&kopia, &ours) };
        for depth in 0..2 {
            let target = base.path().join(format!("target{depth}"));
            let id = snapshot["id"].as_str().unwrap();
            leaver.ok(["restore", id, target.to_str().unwrap(), &format!("--shallow={depth}")]);
            assert!(!placeholders(&target).is_empty());
            // Saved by either, it is the tree that it stands for.
            for saver in [&ours, &kopia] {
                let again = saver.snapshot(&target);
                let count = |snapshot: &serde_json::Value| {
                    let summary = &snapshot["rootEntry"]["summ"];
                    (summary["size"].clone(), summary["files"].clone(), summary["numFailed"].clone())
                };
                assert_eq!(count(&again), count(&snapshot));
            }
            loop {
                let found = placeholders(&target);
                if found.is_empty() {
                    break;
                }
                let args = ["restore".to_owned()].into_iter();
                filler.ok(args.chain(found.iter().map(|path| path.display().to_string())));
            }
            assert_equal(&source, &target, Times::Kopia);
        }
    }
}

/// What an archive says of a member: type, permissions, seconds, size, and where it leads.
type Facts = (char, u32, i64, u64, String);

fn tar(path: &Path) -> BTreeMap<String, Facts> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let header = entry.header().clone();
        let kind = char::from(header.entry_type().as_byte());
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        // Kopia writes Go's numbers, which may need another notation.
        let mode = header.mode().unwrap_or_else(|_| {
            let [.., high, low] = header.as_old().mode;
            u32::from(high) << 8 | u32::from(low)
        }) & 0o777;
        let data = link.unwrap_or_else(|| blake3::hash(&data).to_string());
        // Directories have another time there.
        let time = if kind == '5' { 0 } else { header.mtime().unwrap().cast_signed() };
        (name, (kind, mode, time, header.size().unwrap(), data))
    });
    entries.collect()
}

fn zip(path: &Path) -> BTreeMap<String, Facts> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    (0..archive.len())
        .map(|number| {
            let mut file = archive.by_index(number).unwrap();
            let mut data = Vec::new();
            file.read_to_end(&mut data).unwrap();
            let time = file.last_modified().unwrap();
            let time = i64::from(time.datepart()) << 16 | i64::from(time.timepart());
            let mode = file.unix_mode().unwrap();
            let kind = char::from_digit(mode >> 12, 36).unwrap();
            let facts = (kind, mode & 0o777, time, file.size(), blake3::hash(&data).to_string());
            (file.name().unwrap().into_owned(), facts)
        })
        .collect()
}

#[test]
fn archives_hold_what_kopias_hold() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = paths(base.path());
    trees::make(&source, &mut Dice::new(32));
    ours.create(&repository, &[]);
    let snapshot = ours.snapshot(&source);
    kopia.connect(&repository);
    let id = snapshot["id"].as_str().unwrap();
    for name in ["a.tar", "a.zip"] {
        let (our, theirs) = (base.path().join("ours").join(name), base.path().join(format!("kopias {name}")));
        ours.ok(["restore", id, our.to_str().unwrap()]);
        kopia.ok(["restore", id, theirs.to_str().unwrap()]);
        let read = if name == "a.tar" { tar } else { zip };
        let (our, theirs) = (read(&our), read(&theirs));
        assert!(theirs.len() > 5);
        for (path, wanted) in &theirs {
            let found = our.get(path).unwrap_or_else(|| panic!("{name} has no {path}"));
            let (time, other) = (found.2, wanted.2);
            assert_eq!(
                (found.0, found.1, found.3, &found.4),
                (wanted.0, wanted.1, wanted.3, &wanted.4),
                "{path}"
            );
            // Go rounds to the nearest second.
            assert!((time - other).abs() <= 1, "{name} {path}: {time} {other}");
        }
        let more: Vec<_> = our.iter().filter(|(path, _)| !theirs.contains_key(*path)).collect();
        let is_file = |facts: &Facts| facts.0 == '0' || facts.0 == '8';
        assert!(more.iter().all(|(_, facts)| name == "a.zip" && !is_file(facts)), "{more:?}");
    }
}
