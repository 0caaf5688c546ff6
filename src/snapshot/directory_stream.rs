//! Directory manifests entry by entry: a directory of a million members is never in memory as JSON.

use super::directory::{STREAM, complete};
use super::{DirEntry, DirSummary, DirectoryManifest, DirectorySupplement, EntryError, Error, Result};
use crate::base::{Timestamp, error_chain, gojson};
use crate::object::{self, ObjectId, ObjectReader, ObjectStream};
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::IoRead;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
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
    read(objects, id, Manifest { each: going_on(each), rest: None })
}

fn going_on(mut each: impl FnMut(DirEntry)) -> impl FnMut(DirEntry) -> bool {
    move |entry| {
        each(entry);
        true
    }
}

/// Hands out the members of the directory behind `id` in the order in which they are stored, until `each` fails; the
/// directory without its members.
///
/// # Errors
/// Those of [`read_directory`](super::read_directory), after some members perhaps, and what `each` says.
pub fn stream_directory<E: From<Error>>(
    objects: &ObjectReader,
    id: ObjectId,
    mut each: impl FnMut(DirEntry) -> Result<(), E>,
) -> Result<DirectoryManifest, E> {
    let (mut failed, mut rest) = (None, Vec::new());
    let each = |entry| {
        failed = each(entry).err();
        failed.is_none()
    };
    let outcome = read(objects, id, Manifest { each, rest: Some(&mut rest) });
    if let Some(error) = failed {
        return Err(error);
    }
    outcome?;
    Ok(DirectoryManifest::parse(&rest).map_err(|reason| Error::BrokenDirectory { id, reason })?)
}

/// What came of looking for a member.
pub(super) enum Sought {
    /// It is there.
    Found(Box<DirEntry>),
    /// It is not, but this is beside the members.
    Missing(Box<DirectoryManifest>),
}

/// Looks for the member of a name; what comes behind it is not read.
pub(super) fn find_member(objects: &ObjectReader, id: ObjectId, name: &str) -> Result<Sought> {
    /// Why reading ended early.
    enum Stop {
        Found(Box<DirEntry>),
        Failed(Error),
    }

    impl From<Error> for Stop {
        fn from(error: Error) -> Self {
            Self::Failed(error)
        }
    }

    let outcome = stream_directory(objects, id, |entry| {
        if entry.name == name { Err(Stop::Found(Box::new(entry))) } else { Ok(()) }
    });
    match outcome {
        Ok(rest) => Ok(Sought::Missing(Box::new(rest))),
        Err(Stop::Found(entry)) => Ok(Sought::Found(entry)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn read<F: FnMut(DirEntry) -> bool>(
    objects: &ObjectReader,
    id: ObjectId,
    manifest: Manifest<'_, F>,
) -> Result<()> {
    let broken = |error: serde_json::Error| Error::BrokenDirectory { id, reason: error_chain(&error) };
    if id.list().is_none() {
        // Most directories, and faster.
        let json = objects.read_content(id)?;
        return parse(serde_json::de::SliceRead::new(&json), manifest).map_err(broken);
    }
    parse(IoRead::new(BufReader::with_capacity(64 << 10, objects.read(id)?)), manifest).map_err(broken)
}

/// What follows the first JSON value is ignored, as Kopia does.
fn parse<'de, F: FnMut(DirEntry) -> bool>(
    json: impl serde_json::de::Read<'de>,
    manifest: Manifest<'_, F>,
) -> serde_json::Result<()> {
    serde_json::Deserializer::new(json).deserialize_map(manifest)
}

/// The whole document.
struct Manifest<'a, F> {
    /// Takes a member; says whether it wants another.
    each: F,
    /// The document without its members, if it is wanted.
    rest: Option<&'a mut Vec<u8>>,
}

impl<'de, F: FnMut(DirEntry) -> bool> Visitor<'de> for Manifest<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a directory")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut stream = String::new();
        let mut rest = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "entries" => map.next_value_seed(Members(&mut self.each))?,
                "stream" => stream = map.next_value()?,
                _ if self.rest.is_some() => drop(rest.insert(key, map.next_value::<Box<RawValue>>()?)),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if stream != STREAM {
            return Err(A::Error::custom(format!("its stream is {stream:?}")));
        }
        if let Some(out) = self.rest {
            let document = Rest { stream: STREAM, rest };
            gojson::append(&document, out).expect("texts and what was JSON already");
        }
        Ok(())
    }
}

/// A directory without its members.
#[derive(Serialize)]
struct Rest {
    stream: &'static str,
    #[serde(flatten)]
    rest: BTreeMap<String, Box<RawValue>>,
}

/// The list of members, or `null`.
struct Members<'f, F>(&'f mut F);

impl<'de, F: FnMut(DirEntry) -> bool> DeserializeSeed<'de> for Members<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(DirEntry) -> bool> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of members")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element()? {
            if !(self.0)(entry) {
                return Err(A::Error::custom("no more members are wanted"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::EntryType;

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
            let each = going_on(|entry| from_slice.push(entry));
            let mut rest = Vec::new();
            let manifest = Manifest { each, rest: Some(&mut rest) };
            parse(serde_json::de::SliceRead::new(&json), manifest).unwrap();
            let each = going_on(|entry| from_stream.push(entry));
            parse(IoRead::new(json.as_slice()), Manifest { each, rest: None }).unwrap();
            let mut without = DirectoryManifest::parse(&json).unwrap();
            without.entries.clear();
            assert_eq!(DirectoryManifest::parse(&rest).unwrap(), without);
            assert_eq!((&from_slice, &from_stream), (&members(number), &members(number)));
        }
        for bad in [
            r#"{"stream":"kopia:indirect","entries":[]}"#,
            "[]",
            "",
            r#"{"stream":"kopia:directory","entries":[{"#,
        ] {
            let manifest = Manifest { each: |_| true, rest: None };
            assert!(parse(serde_json::de::SliceRead::new(bad.as_bytes()), manifest).is_err(), "{bad}");
        }
    }
}
