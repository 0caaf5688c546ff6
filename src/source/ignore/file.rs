//! Ignore files: where they are found and what their lines say.

use super::pattern::Pattern;
use crate::source::directory::entry_error;
use crate::source::{Directory, EntryKind, Names, Result};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// Longer lines end the reading, as Go's line scanner does. Bytes, without the line feed.
const MAX_LINE_BYTES: usize = (64 << 10) - 1;

/// More rules in one file are refused rather than held in memory.
const MAX_RULES: usize = 200_000;

/// Opens the ignore file `name` of a directory, or says that there is none. `names` are the directory's: a look at them is
/// cheaper than a question to the file system.
pub(super) fn open(directory: &Directory, names: &Names, name: &str) -> Result<Option<File>> {
    let Some(path) = below(name) else { return Ok(None) };
    let is_there = path.contains('/') || names.contains(path.as_bytes());
    let kind = is_there.then(|| directory.stat(path.as_bytes()).ok()).flatten().map(|entry| entry.kind);
    match kind {
        Some(EntryKind::File) => directory.open_file(path.as_bytes()).map(Some),
        // The one place where the walk follows a link below its root.
        Some(EntryKind::Symlink) => directory.open_linked_file(path.as_bytes()).map(Some),
        _ => Ok(None),
    }
}

/// A name of an ignore file as a clean path below its directory; `None` if it names the directory itself.
fn below(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Appends the rules of an ignore file to `patterns`.
///
/// A failing read ends the reading like the end of the file, as in Kopia: the directory is then saved with too much in
/// it rather than not at all.
pub(super) fn read(file: impl Read, name: &str, base: &str, patterns: &mut Vec<Pattern>) -> Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let most = patterns.len() + MAX_RULES;
    while let Some(text) = next_line(&mut reader, &mut line) {
        if text.starts_with(b"#") || String::from_utf8_lossy(text).trim().is_empty() {
            continue;
        }
        if patterns.len() >= most {
            return Err(entry_error("hold all rules of", name.as_bytes(), Errno::FBIG));
        }
        patterns.push(Pattern::new(text, base)?);
    }
    Ok(())
}

/// The next line without its end, or `None` at the end of what can be read.
fn next_line<'a>(reader: &mut impl BufRead, line: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    line.clear();
    let mut limited = std::io::Read::take(&mut *reader, MAX_LINE_BYTES as u64 + 1);
    let read = limited.read_until(b'\n', line).ok()?;
    if line.pop_if(|last| *last == b'\n').is_none() && (read == 0 || read > MAX_LINE_BYTES) {
        return None;
    }
    line.pop_if(|last| *last == b'\r');
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let (mut reader, mut line, mut found) = (text, Vec::new(), Vec::new());
        while let Some(line) = next_line(&mut reader, &mut line) {
            found.push(line.to_vec());
        }
        found
    }

    #[test]
    fn lines_end_as_in_go() {
        assert_eq!(lines(b"a\r\nb\n\nc\r"), [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(lines(b""), [b""; 0]);
        let (fits, too_long) = ("x".repeat(65_535), "x".repeat(65_536));
        assert_eq!(lines(format!("a\n{fits}\nb").as_bytes()).len(), 3);
        assert_eq!(lines(format!("a\n{fits}").as_bytes()).len(), 2);
        assert_eq!(lines(format!("a\n{too_long}\nb").as_bytes()), [b"a"]);
        assert_eq!(lines(format!("a\n{too_long}").as_bytes()), [b"a"]);
    }

    #[test]
    fn names_stay_below_their_directory() {
        for (name, path) in [
            (".kopiaignore", Some(".kopiaignore")),
            ("/sub//.rules", Some("sub/.rules")),
            ("x/../y", Some("y")),
            ("../y", Some("../y")),
            ("", None),
            ("./", None),
        ] {
            assert_eq!(below(name).as_deref(), path, "{name}");
        }
    }
}
