//! Directory manifests.
//!
//! ```text
//! {"stream":"kopia:directory","entries":[…]|null,"summary":{…}}\n
//! ```
//!
//! Source: kopia `snapshot/snapshotfs/dir_manifest_builder.go`, `dir_reader.go`. The bytes are hashed: two writers that
//! see the same directory must write the same bytes.

use super::dir_entry::{count, null_is_empty};
use super::{
    DirEntry, DirSummary, DirectorySupplement, EntryError, EntryType, Error, Result, SpecialEntry, Supplement,
};
use crate::base::{Collector, ExtraFields, Timestamp, gojson};
use crate::object::{ObjectId, ObjectReader};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashSet;

pub(super) const STREAM: &str = "kopia:directory";
/// A broken disk must not make every ancestor's manifest a megabyte long; all failures are counted all the same.
const MAX_LISTED_ERRORS: usize = 1000;

/// A directory as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct DirectoryManifest {
    stream: String,
    /// The members, directories first, each group by the bytes of the names.
    #[serde(serialize_with = "empty_is_null", deserialize_with = "null_is_empty", default)]
    pub entries: Vec<DirEntry>,
    /// Totals of the subtree.
    #[serde(default)]
    pub summary: Option<DirSummary>,
    /// What Kopia's directories have no room for.
    #[serde(rename = "ph", skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub supplement: Option<Box<DirectorySupplement>>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

impl Serialize for DirectoryManifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for DirectoryManifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut extra = ExtraFields::default();
        let known = Self::deserialize(Collector::new(deserializer, &mut extra))?;
        // As in an entry: anything else that bears its name stays.
        let supplement = extra.take(Supplement::NAME).map(Box::new);
        Ok(Self { supplement, extra, ..known })
    }
}

impl Default for DirectoryManifest {
    /// An empty directory of which nothing is known.
    fn default() -> Self {
        let (entries, extra) = (Vec::new(), ExtraFields::default());
        Self { stream: STREAM.to_owned(), entries, summary: None, supplement: None, extra }
    }
}

/// Go writes a slice that was never appended to as `null`.
fn empty_is_null<S: Serializer>(entries: &[DirEntry], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    if entries.is_empty() { serializer.serialize_none() } else { entries.serialize(serializer) }
}

impl DirectoryManifest {
    /// Builds the manifest of a directory from its members in any order and its own failures.
    pub fn build(
        entries: Vec<DirEntry>,
        failures: Vec<(EntryError, bool)>,
        own_mtime: Timestamp,
        incomplete: &str,
    ) -> Self {
        Self::assemble(entries, failures.into(), own_mtime, incomplete)
    }

    fn assemble(
        mut entries: Vec<DirEntry>,
        own: OwnFailures,
        own_mtime: Timestamp,
        incomplete: &str,
    ) -> Self {
        entries.sort_unstable_by(|a, b| {
            let group = |entry: &DirEntry| entry.kind != EntryType::Directory;
            (group(a), a.name_bytes()).cmp(&(group(b), b.name_bytes()))
        });
        let mut summary = DirSummary::default();
        for entry in &entries {
            summary.add(entry);
        }
        complete(&mut summary, entries.is_empty(), own, own_mtime, incomplete);
        Self { entries, summary: Some(summary), ..Self::default() }
    }

    /// The special files.
    pub fn specials(&self) -> &[SpecialEntry] {
        self.supplement.as_ref().map_or(&[], |supplement| &supplement.specials)
    }

    /// Takes the members out, and keeps what is known of failures in the directory itself.
    pub(super) fn take_members(&mut self) -> (Vec<DirEntry>, OwnFailures) {
        let own = self.summary.as_ref().map(|summary| OwnFailures::of(summary, &self.entries));
        (std::mem::take(&mut self.entries), own.unwrap_or_default())
    }

    /// The same directory with other members. What others have added stays, and so does what is known of failures in
    /// the directory itself; everything else is counted anew.
    pub(super) fn with_members(self, entries: Vec<DirEntry>, own: OwnFailures, own_mtime: Timestamp) -> Self {
        let old = self.summary.unwrap_or_default();
        let mut built = Self::assemble(entries, own, own_mtime, &old.incomplete);
        if let Some(summary) = &mut built.summary {
            summary.extra = old.extra;
        }
        Self { supplement: self.supplement, extra: self.extra, ..built }
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * 200 + 200);
        gojson::append(self, &mut out).expect("a directory has only texts and numbers");
        out.push(b'\n');
        out
    }

    /// Reads a manifest; what follows the first JSON value is ignored, as Kopia does.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(json: &[u8]) -> std::result::Result<Self, String> {
        let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Self>();
        let manifest = values.next().ok_or("it is empty")?.map_err(|error| error.to_string())?;
        if manifest.stream == STREAM {
            Ok(manifest)
        } else {
            Err(format!("its stream is {:?}", manifest.stream))
        }
    }
}

/// What failed in a directory itself, not below its sub-directories.
#[derive(Debug, Default)]
pub(super) struct OwnFailures {
    failed: u64,
    ignored: u64,
    errors: Vec<EntryError>,
}

impl OwnFailures {
    fn of(summary: &DirSummary, members: &[DirEntry]) -> Self {
        let children = || members.iter().filter_map(|member| member.summ.as_deref());
        let sum = |count: fn(&DirSummary) -> u64| children().map(count).fold(0, u64::saturating_add);
        let below: HashSet<(&str, &str)> = children()
            .flat_map(|child| &child.errors)
            .map(|error| (error.path.as_str(), error.error.as_str()))
            .collect();
        let is_own = |error: &&EntryError| !below.contains(&(error.path.as_str(), error.error.as_str()));
        Self {
            failed: summary.num_failed.saturating_sub(sum(|child| child.num_failed)),
            ignored: summary.num_ignored_errors.saturating_sub(sum(|child| child.num_ignored_errors)),
            errors: summary.errors.iter().filter(is_own).cloned().collect(),
        }
    }
}

impl From<Vec<(EntryError, bool)>> for OwnFailures {
    /// From failures with whether the policy forgives them.
    fn from(failures: Vec<(EntryError, bool)>) -> Self {
        let mut own = Self::default();
        for (error, ignored) in failures {
            count(if ignored { &mut own.ignored } else { &mut own.failed }, 1);
            own.errors.push(error);
        }
        own
    }
}

/// Adds to the totals of the members what a directory counts itself.
pub(super) fn complete(
    summary: &mut DirSummary,
    is_empty: bool,
    own: OwnFailures,
    own_mtime: Timestamp,
    incomplete: &str,
) {
    if is_empty {
        summary.max_time = own_mtime;
    }
    count(&mut summary.dirs, 1);
    count(&mut summary.num_failed, own.failed);
    count(&mut summary.num_ignored_errors, own.ignored);
    summary.errors.extend(own.errors);
    summary.errors.sort_by(|a, b| a.path.cmp(&b.path));
    summary.errors.truncate(MAX_LISTED_ERRORS);
    incomplete.clone_into(&mut summary.incomplete);
}

/// Reads the directory behind `id`.
///
/// # Errors
/// [`Error::Object`] when it cannot be read, [`Error::BrokenDirectory`] when it is no directory.
pub fn read_directory(objects: &ObjectReader, id: ObjectId) -> Result<DirectoryManifest> {
    let json = objects.read_all(id)?;
    DirectoryManifest::parse(&json).map_err(|reason| Error::BrokenDirectory { id, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Mode;

    fn entry(name: &str, kind: EntryType, size: u64, mode: u32, mtime: &str, obj: &str) -> DirEntry {
        DirEntry {
            name: name.to_owned(),
            raw_name: None,
            kind,
            mode: Mode::from_posix(mode),
            size,
            mtime: mtime.parse().unwrap(),
            uid: 1000,
            gid: 1000,
            obj: obj.parse().unwrap(),
            summ: None,
            supplement: None,
            extra: ExtraFields::default(),
        }
    }

    #[test]
    fn the_bytes_are_kopias() {
        let at = "2024-01-02T03:04:05Z";
        let empty = DirectoryManifest::build(Vec::new(), Vec::new(), at.parse().unwrap(), "");
        let empty_json = r#"{"stream":"kopia:directory","entries":null,"summary":{"size":0,"files":0,"symlinks":0,"dirs":1,"maxTime":"2024-01-02T03:04:05Z","numFailed":0}}"#;
        assert_eq!(empty.to_bytes(), format!("{empty_json}\n").into_bytes());

        let mut sub = entry("sub", EntryType::Directory, 0, 0o755, at, "kabcd");
        sub.summ = empty.summary.clone().map(Box::new);
        let file = entry("a&b", EntryType::File, 5, 0o644, "2024-01-02T03:04:06.5Z", "abcd");
        let link = entry("link", EntryType::Symlink, 3, 0o777, "2024-01-02T03:04:04Z", "abce");
        let full = DirectoryManifest::build(vec![link, file, sub], Vec::new(), at.parse().unwrap(), "");
        let json = concat!(
            r#"{"stream":"kopia:directory","entries":[{"name":"sub","type":"d","mode":"0755","mtime":"2024-01-02T03:04:05Z","uid":1000,"gid":1000,"obj":"kabcd","summ":{"size":0,"files":0,"symlinks":0,"dirs":1,"maxTime":"2024-01-02T03:04:05Z","numFailed":0}},"#,
            r#"{"name":"a\u0026b","type":"f","mode":"0644","size":5,"mtime":"2024-01-02T03:04:06.5Z","uid":1000,"gid":1000,"obj":"abcd"},"#,
            r#"{"name":"link","type":"s","mode":"0777","size":3,"mtime":"2024-01-02T03:04:04Z","uid":1000,"gid":1000,"obj":"abce"}],"#,
            r#""summary":{"size":5,"files":1,"symlinks":1,"dirs":2,"maxTime":"2024-01-02T03:04:06.5Z","numFailed":0}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(full.to_bytes()).unwrap(), json);
        assert_eq!(DirectoryManifest::parse(json.as_bytes()).unwrap(), full);
        assert!(DirectoryManifest::parse(br#"{"stream":"kopia:indirect","entries":[]}"#).is_err());
    }

    #[test]
    fn what_others_have_added_survives_a_rewrite() {
        let json = concat!(
            r#"{"stream":"kopia:directory","entries":[{"name":"f","type":"f","mode":"0644","#,
            r#""mtime":"2024-01-02T03:04:05Z","obj":"abcd","xattr":{"user.a":"AQ=="},"n":1e3}],"#,
            r#""summary":{"size":0,"files":1,"symlinks":0,"dirs":1,"maxTime":"2024-01-02T03:04:05Z","numFailed":0,"#,
            r#""more":[ ]},"later":true}"#,
            "\n"
        );
        let manifest = DirectoryManifest::parse(json.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(manifest.to_bytes()).unwrap(), json);
    }

    #[test]
    fn names_that_are_no_text_are_written_and_ordered_by_their_bytes() {
        let file = |name: &str| entry(name, EntryType::File, 0, 0o644, "2024-01-02T03:04:05Z", "abcd");
        let latin = DirEntry { raw_name: Some((*b"caf\xe9").into()), ..file("caf\u{fffd}") };
        let members = vec![file("caf\u{fffd}"), latin, file("caf\u{6f22}")];
        let built = DirectoryManifest::build(members, Vec::new(), Timestamp::EPOCH, "");
        let json = String::from_utf8(built.to_bytes()).unwrap();
        let at = |text: &str| json.find(text).unwrap_or_else(|| panic!("{text} is not in {json}"));
        let (han, bad_byte, replacement) = (at("caf\u{6f22}"), at(r"caf\ufffd"), at("caf\u{fffd}"));
        assert!(han < bad_byte && bad_byte < replacement, "{json}");
    }

    /// What an earlier snapshot says of a subtree is taken over without looking.
    #[test]
    fn absurd_totals_stop_at_the_greatest_number() {
        let all = u64::MAX;
        let summary = DirSummary {
            size: all,
            files: all,
            symlinks: all,
            dirs: all,
            num_failed: all,
            ..DirSummary::default()
        };
        let summary = DirSummary { num_ignored_errors: all, ..summary };
        let sub = |name| {
            let sub = entry(name, EntryType::Directory, 0, 0o755, "2024-01-02T03:04:05Z", "kabcd");
            DirEntry { summ: Some(Box::new(summary.clone())), ..sub }
        };
        let file = entry("f", EntryType::File, all, 0o644, "2024-01-02T03:04:05Z", "abcd");
        let failure = |ignored| (EntryError { path: "x".to_owned(), error: "y".to_owned() }, ignored);
        let failures = vec![failure(true), failure(false)];
        let built = DirectoryManifest::build(vec![sub("a"), sub("b"), file], failures, Timestamp::EPOCH, "");
        let built = DirSummary { errors: Vec::new(), max_time: summary.max_time, ..built.summary.unwrap() };
        assert_eq!(built, summary);
    }

    #[test]
    fn failures_are_counted_and_listed() {
        let error = |path: &str| EntryError { path: path.to_owned(), error: "permission denied".to_owned() };
        let failures = vec![(error("b"), true), (error("a/b"), false), (error("c"), true)];
        let summary = DirectoryManifest::build(Vec::new(), failures, Timestamp::EPOCH, "").summary.unwrap();
        assert_eq!((summary.num_failed, summary.num_ignored_errors), (1, 2));
        assert_eq!(summary.errors[0].path, "a/b");
    }
}
