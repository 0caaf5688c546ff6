//! Directory manifests entry by entry: a directory of a million members is never in memory as JSON.

use super::directory::{STREAM, complete};
use super::{DirEntry, DirSummary, DirectorySupplement, EntryError, Error, Result};
use crate::base::{Timestamp, error_chain, gojson};
use crate::object::{self, ObjectId, ObjectReader, ObjectStream};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::IoRead;
use std::fmt;
use std::io::BufReader;

/// What a directory holds beside its members.
pub(super) struct Directory<'a> {
    /// Failures among the members, with whether the policy forgives them.
    pub(super) failures: Vec<(EntryError, bool)>,
    /// Its own modification time.
    pub(super) mtime: Timestamp,
    /// Why it is not complete.
    pub(super) incomplete: &'a str,
    /// What Kopia's directories have no room for.
    pub(super) supplement: Option<Box<DirectorySupplement>>,
}

/// Writes the manifest of a directory with `members` in stored order: the bytes of
/// [`DirectoryManifest::to_bytes`](super::DirectoryManifest::to_bytes).
pub(super) fn write_members(
    mut stream: ObjectStream<'_>,
    members: impl Iterator<Item = DirEntry>,
    directory: Directory<'_>,
) -> object::Result<(ObjectId, DirSummary)> {
    let mut summary = DirSummary::default();
    let mut separator = "[";
    stream.write_with(|out| {
        out.extend_from_slice(format!(r#"{{"stream":"{STREAM}","entries":"#).as_bytes());
    })?;
    for entry in members {
        summary.add(&entry);
        stream.write_with(|out| {
            out.extend_from_slice(separator.as_bytes());
            gojson::append(&entry, out).expect("an entry has only texts and numbers");
        })?;
        separator = ",";
    }
    let is_empty = separator == "[";
    complete(&mut summary, is_empty, directory.failures.into(), directory.mtime, directory.incomplete);
    stream.write_with(|out| {
        // Go writes a slice that was never appended to as null.
        out.extend_from_slice(if is_empty { b"null" } else { b"]" });
        out.extend_from_slice(br#","summary":"#);
        gojson::append(&summary, out).expect("totals are texts and numbers");
        if let Some(supplement) = &directory.supplement {
            out.extend_from_slice(br#","ph":"#);
            gojson::append(supplement, out).expect("special files are texts and numbers");
        }
        out.extend_from_slice(b"}\n");
    })?;
    Ok((stream.finish()?, summary))
}

/// Hands out the members of the directory behind `id` in the order in which they are stored.
///
/// # Errors
/// [`Error::Object`] when it cannot be read, [`Error::BrokenDirectory`] when it is no directory; members may have been
/// handed out before.
pub fn read_members(objects: &ObjectReader, id: ObjectId, each: impl FnMut(DirEntry)) -> Result<()> {
    let broken = |error: serde_json::Error| Error::BrokenDirectory { id, reason: error_chain(&error) };
    if id.list().is_none() {
        // Most directories, and faster.
        let json = objects.read_content(id)?;
        return parse(serde_json::de::SliceRead::new(&json), each).map_err(broken);
    }
    parse(IoRead::new(BufReader::with_capacity(64 << 10, objects.read(id)?)), each).map_err(broken)
}

/// What follows the first JSON value is ignored, as Kopia does.
fn parse<'de>(json: impl serde_json::de::Read<'de>, each: impl FnMut(DirEntry)) -> serde_json::Result<()> {
    serde_json::Deserializer::new(json).deserialize_map(Manifest(each))
}

/// The whole document.
struct Manifest<F>(F);

impl<'de, F: FnMut(DirEntry)> Visitor<'de> for Manifest<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a directory")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut stream = String::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "stream" => stream = map.next_value()?,
                "entries" => map.next_value_seed(Members(&mut self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if stream == STREAM { Ok(()) } else { Err(A::Error::custom(format!("its stream is {stream:?}"))) }
    }
}

/// The list of members, or `null`.
struct Members<'f, F>(&'f mut F);

impl<'de, F: FnMut(DirEntry)> DeserializeSeed<'de> for Members<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(DirEntry)> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of members")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element()? {
            (self.0)(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{DirectoryManifest, EntryType};

    fn members(number: usize) -> Vec<DirEntry> {
        let member = |number: usize| DirEntry {
            name: format!("file <{number:06}>"),
            kind: EntryType::File,
            size: number as u64,
            obj: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            ..DirEntry::default()
        };
        (0..number).map(member).collect()
    }

    #[test]
    fn what_is_read_is_what_the_whole_manifest_says() {
        for number in [0, 1, 1000] {
            let json = DirectoryManifest::build(members(number), Vec::new(), Timestamp::EPOCH, "").to_bytes();
            let (mut from_slice, mut from_stream) = (Vec::new(), Vec::new());
            parse(serde_json::de::SliceRead::new(&json), |entry| from_slice.push(entry)).unwrap();
            parse(IoRead::new(json.as_slice()), |entry| from_stream.push(entry)).unwrap();
            assert_eq!((&from_slice, &from_stream), (&members(number), &members(number)));
        }
        for bad in [
            r#"{"stream":"kopia:indirect","entries":[]}"#,
            "[]",
            "",
            r#"{"stream":"kopia:directory","entries":[{"#,
        ] {
            assert!(parse(serde_json::de::SliceRead::new(bad.as_bytes()), |_| {}).is_err(), "{bad}");
        }
    }
}
