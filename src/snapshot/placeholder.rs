//! Placeholders: what stands on disk for a stored entry that a shallow restore left out.
//!
//! For a file `f` that is the file `f.kopia-entry`, for a directory `d` the directory `d.kopia-entry` with the file
//! `.kopia-entry` in it. Either file holds the entry as a directory manifest would, and a line feed.
//!
//! Source: kopia `fs/localfs/shallow_fs.go`.

use super::{DirEntry, EntryType};
use crate::base::gojson;
use std::io::Read;

/// What the name of a placeholder ends with, and the name of the file in that of a directory.
pub const PLACEHOLDER_SUFFIX: &str = ".kopia-entry";
/// Longer ones are none: an entry is a few hundred bytes, and the failures in its summary are few.
const BYTES_MAX: u64 = 4 << 20;

/// The name of what a placeholder with this name stands for; `None` if no placeholder has such a name.
pub fn placeholder_target(name: &str) -> Option<&str> {
    name.strip_suffix(PLACEHOLDER_SUFFIX).filter(|target| !target.is_empty())
}

/// What a placeholder for `entry` contains.
pub fn write_placeholder(entry: &DirEntry) -> Vec<u8> {
    gojson::to_line(entry).expect("entries are texts and numbers")
}

/// Reads a placeholder for something of a kind.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_placeholder(file: impl Read, kind: EntryType) -> Result<DirEntry, String> {
    let mut json = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut json).map_err(|error| error.to_string())?;
    if json.len() as u64 > BYTES_MAX {
        return Err(format!("it is longer than {BYTES_MAX} bytes"));
    }
    let entry: DirEntry = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    if entry.kind != kind || entry.obj.is_none() {
        return Err("it does not hold the entry of what it stands for".to_owned());
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        r#"{"name":"a<b","type":"f","mode":"0644","size":3,"mtime":"2024-01-02T03:04:05Z","obj":"abcd"}"#;

    #[test]
    fn only_the_end_of_a_name_makes_a_placeholder() {
        assert_eq!(placeholder_target("a.kopia-entry"), Some("a"));
        assert_eq!(placeholder_target("a.kopia-entry.kopia-entry"), Some("a.kopia-entry"));
        for name in [".kopia-entry", "a.kopia-entry2", "a", ""] {
            assert_eq!(placeholder_target(name), None, "{name}");
        }
    }

    #[test]
    fn the_entry_comes_back_and_nothing_else_is_taken_for_one() {
        let entry = read_placeholder(FILE.as_bytes(), EntryType::File).unwrap();
        let written = String::from_utf8(write_placeholder(&entry)).unwrap();
        assert!(written.ends_with('\n') && written.contains(r"a\u003cb"), "{written}");
        assert_eq!(read_placeholder(written.as_bytes(), EntryType::File).unwrap(), entry);
        let none = FILE.replace("abcd", "");
        for (json, kind) in [
            (FILE, EntryType::Directory),
            ("", EntryType::File),
            ("{}", EntryType::File),
            ("[1]", EntryType::File),
            (none.as_str(), EntryType::File),
            (&FILE[..40], EntryType::File),
        ] {
            read_placeholder(json.as_bytes(), kind).unwrap_err();
        }
        read_placeholder(std::io::repeat(b' '), EntryType::File).unwrap_err();
    }
}
