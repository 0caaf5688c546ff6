//! Which folder a blob lives in: the `.shards` file.
//!
//! Source: kopia `repo/blob/sharded/sharded_parameters.go`.

use crate::base::gojson;
use crate::blob::{BlobId, Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The file that holds the layout; it has no [`SUFFIX`].
pub(in crate::blob) const LAYOUT_FILE: &str = ".shards";
/// What the name of every blob's file ends in.
pub(in crate::blob) const SUFFIX: &str = ".f";
/// A layout file is a line; a larger one is not a layout.
pub(in crate::blob) const MAX_LAYOUT_BYTES: u64 = 1 << 20;
/// Folder widths of a store made now.
const CREATED_WIDTHS: &[u32] = &[1, 3];
/// Folder widths of a store that is older than the `.shards` file.
const LEGACY_WIDTHS: &[u32] = &[3, 3];
/// Names up to this many bytes stay in the root when a layout is made.
pub(super) const MAX_NON_SHARDED_LENGTH: i64 = 20;

/// The widths of a store without a `.shards` file: what the options say, else what the age of the store says.
pub(in crate::blob) fn default_widths(given: Option<&[u32]>, is_new: bool) -> Vec<u32> {
    given.unwrap_or(if is_new { CREATED_WIDTHS } else { LEGACY_WIDTHS }).to_vec()
}

/// How names are cut into folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::blob) struct Layout {
    default: Vec<u32>,
    #[serde(rename = "maxNonShardedLength")]
    max_non_sharded_length: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<Override>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Override {
    prefix: String,
    shards: Vec<u32>,
}

/// The document as Go reads it: everything may be absent or null.
#[derive(Deserialize)]
struct Document {
    default: Option<Vec<u32>>,
    #[serde(rename = "maxNonShardedLength")]
    max_non_sharded_length: Option<i64>,
    overrides: Option<Vec<OverrideDocument>>,
}

#[derive(Deserialize)]
struct OverrideDocument {
    prefix: Option<String>,
    shards: Option<Vec<u32>>,
}

impl Layout {
    /// The layout of a store that has none yet.
    pub(in crate::blob) fn of_widths(widths: &[u32]) -> Self {
        Self {
            default: widths.to_vec(),
            max_non_sharded_length: MAX_NON_SHARDED_LENGTH,
            overrides: Vec::new(),
        }
    }

    /// Reads a `.shards` file. Bytes after the first JSON value are ignored, as Kopia does; negative widths, on which
    /// Kopia panics, are refused.
    pub(in crate::blob) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let document = Document::deserialize(&mut serde_json::Deserializer::from_slice(text))?;
        let overrides = document.overrides.unwrap_or_default().into_iter().map(|entry| Override {
            prefix: entry.prefix.unwrap_or_default(),
            shards: entry.shards.unwrap_or_default(),
        });
        Ok(Self {
            default: document.default.unwrap_or_default(),
            max_non_sharded_length: document.max_non_sharded_length.unwrap_or_default(),
            overrides: overrides.collect(),
        })
    }

    /// The content of the `.shards` file, as Kopia writes it.
    pub(in crate::blob) fn to_file(&self) -> Vec<u8> {
        gojson::to_line(self).expect("numbers and strings always serialise")
    }

    /// The names of the folders above a blob's file, and what is left of its name.
    pub(in crate::blob) fn split<'a>(&self, id: &'a str) -> (Vec<&'a str>, &'a str) {
        let mut folders = Vec::new();
        let mut rest = id;
        if i64::try_from(id.len()).is_ok_and(|length| length <= self.max_non_sharded_length) {
            return (folders, rest);
        }
        for &width in self.widths(id) {
            let width = width as usize;
            if rest.len() <= width {
                break;
            }
            let Some((folder, remainder)) = rest.split_at_checked(width) else { break };
            if !folder.is_empty() {
                folders.push(folder);
            }
            rest = remainder;
        }
        (folders, rest)
    }

    /// The path of a blob's file below the root.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when a piece of the name would be the folder `.` or `..`.
    pub(in crate::blob) fn path(&self, id: &BlobId) -> Result<PathBuf> {
        let (folders, rest) = self.split(id.as_str());
        if folders.iter().any(|folder| matches!(*folder, "." | "..")) {
            return Err(Error::InvalidName { name: id.as_str().to_owned() });
        }
        let mut path: PathBuf = folders.iter().collect();
        path.push(format!("{rest}{SUFFIX}"));
        Ok(path)
    }

    /// Folder widths of blobs without an override.
    pub(in crate::blob) fn set_default(&mut self, widths: Vec<u32>) {
        self.default = widths;
    }

    /// Names up to so many bytes stay in the root.
    pub(in crate::blob) fn set_max_non_sharded_length(&mut self, length: i64) {
        self.max_non_sharded_length = length;
    }

    /// Takes the widths of a prefix away.
    pub(in crate::blob) fn remove_override(&mut self, prefix: &str) {
        self.overrides.retain(|entry| entry.prefix != prefix);
    }

    /// Gives a prefix widths of its own.
    pub(in crate::blob) fn set_override(&mut self, prefix: &str, shards: Vec<u32>) {
        self.remove_override(prefix);
        self.overrides.push(Override { prefix: prefix.to_owned(), shards });
    }

    fn widths(&self, id: &str) -> &[u32] {
        let special = self.overrides.iter().find(|entry| id.starts_with(&entry.prefix));
        special.map_or(&self.default, |entry| &entry.shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(layout: &Layout, id: &str) -> String {
        layout.path(&id.into()).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn new_layouts_are_written_as_kopia_writes_them() {
        for (widths, text) in [
            (&[1, 3][..], "{\"default\":[1,3],\"maxNonShardedLength\":20}\n"),
            (&[], "{\"default\":[],\"maxNonShardedLength\":20}\n"),
        ] {
            let layout = Layout::of_widths(widths);
            assert_eq!(String::from_utf8(layout.to_file()).unwrap(), text);
            assert_eq!(Layout::parse(text.as_bytes()).unwrap(), layout);
        }
    }

    #[test]
    fn names_become_paths() {
        let layout = Layout::of_widths(&[1, 3]);
        for (id, wanted) in [
            ("kopia.repository", "kopia.repository.f"),
            ("kopia.maintenance", "kopia.maintenance.f"),
            ("xw1700000000", "xw1700000000.f"),
            ("x2345678901234567890", "x2345678901234567890.f"),
            ("x23456789012345678901", "x/234/56789012345678901.f"),
            ("p0123456789abcdef0123456789abcdef-s01", "p/012/3456789abcdef0123456789abcdef-s01.f"),
            ("xn0_0123456789abcdef0123456789abcdef-s1-c1", "x/n0_/0123456789abcdef0123456789abcdef-s1-c1.f"),
            ("_log_20260101000000_abcd", "_/log/_20260101000000_abcd.f"),
        ] {
            assert_eq!(path(&layout, id), wanted);
        }
    }

    #[test]
    fn the_first_override_wins_and_short_rests_stay_whole() {
        let text = br#"{"default":[3,2,1],"maxNonShardedLength":2,
            "overrides":[{"prefix":"p","shards":[2,2]},{"prefix":"x","shards":[1,0,1,1]},{"prefix":"f"}]} trailing"#;
        let layout = Layout::parse(text).unwrap();
        for (id, wanted) in [
            ("ab", "ab.f"),
            ("defaultsharded", "def/au/l/tsharded.f"),
            ("phello", "ph/el/lo.f"),
            ("xbye", "x/b/y/e.f"),
            ("xo", "xo.f"),
            ("abc", "abc.f"),
            ("abcd", "abc/d.f"),
            ("flat-as-can-be", "flat-as-can-be.f"),
        ] {
            assert_eq!(path(&layout, id), wanted);
        }
        assert_eq!(
            path(&Layout::parse(b"{}").unwrap(), "abcdefghijklmnopqrstuvwxyz"),
            "abcdefghijklmnopqrstuvwxyz.f"
        );
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        let layout = Layout::parse(br#"{"default":[1,2]}"#).unwrap();
        assert!(matches!(layout.path(&"p..etc".into()), Err(Error::InvalidName { .. })));
        assert!(layout.path(&"p...".into()).is_err());
        assert!(layout.path(&"pq.etc".into()).is_ok());
    }

    #[test]
    fn nonsense_is_no_layout() {
        for bad in [&b""[..], b"\x01\x02\x03", b"[1,3]", br#"{"default":[-1]}"#, br#"{"default":[1"#] {
            assert!(Layout::parse(bad).is_err(), "{bad:?}");
        }
    }
}
