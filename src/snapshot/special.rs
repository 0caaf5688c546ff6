//! What a directory holds beside the members that Kopia knows: FIFOs, sockets and devices.
//!
//! ```text
//! {"stream":"kopia:directory","entries":[…],"summary":{…},"ph":{"specials":[{"name":"p","type":"p","mode":"0644",…}]}}
//! ```
//!
//! As entries of a type that it does not know they would make Kopia fail. Here it passes over them, and drops them from
//! what it rewrites. They count in no summary.

use super::dir_entry::null_is_empty;
use super::{DirEntry, Mode, Supplement, byte_name};
use crate::base::gojson::is_zero;
use crate::base::{ExtraFields, Timestamp, gojson, keeps_extra_fields};
use crate::source::SpecialKind;
use serde::{Deserialize, Serialize};

/// The member `ph` of a directory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self", default)]
pub struct DirectorySupplement {
    /// By the bytes of their names.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub specials: Vec<SpecialEntry>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(DirectorySupplement);

impl DirectorySupplement {
    /// Of a directory with `specials` in any order; `None` without any.
    pub fn of(mut specials: Vec<SpecialEntry>) -> Option<Box<Self>> {
        specials.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        (!specials.is_empty()).then(|| Box::new(Self { specials, extra: ExtraFields::default() }))
    }
}

/// One special file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self", default)]
pub struct SpecialEntry {
    /// Base name, all its bytes.
    #[serde(with = "byte_name")]
    pub name: Box<[u8]>,
    /// `p` FIFO, `s` socket, `c` character device, `b` block device.
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "is_zero")]
    major: u32,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u32,
    /// Permission bits.
    #[serde(skip_serializing_if = "is_zero")]
    pub mode: Mode,
    /// Modification time.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtime: Timestamp,
    /// Numeric owner.
    #[serde(skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Numeric group.
    #[serde(skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Extended attributes and hard links.
    #[serde(rename = "ph", skip_serializing_if = "Option::is_none")]
    pub supplement: Option<Box<Supplement>>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(SpecialEntry);

impl SpecialEntry {
    /// One of a kind, without name and attributes.
    pub fn new(kind: SpecialKind) -> Self {
        let (letter, major, minor) = match kind {
            SpecialKind::Fifo => ("p", 0, 0),
            SpecialKind::Socket => ("s", 0, 0),
            SpecialKind::CharDevice { major, minor } => ("c", major, minor),
            SpecialKind::BlockDevice { major, minor } => ("b", major, minor),
        };
        Self { kind: letter.to_owned(), major, minor, ..Self::default() }
    }

    /// The entry that it would be if entries had a type for it.
    pub fn as_entry(&self) -> DirEntry {
        let (name, is_text) = match std::str::from_utf8(&self.name) {
            Ok(name) => (name.to_owned(), true),
            Err(_) => (gojson::lossy(&self.name).into_owned(), false),
        };
        let raw_name = (!is_text).then(|| self.name.clone());
        let &Self { mode, mtime, uid, gid, .. } = self;
        let supplement = self.supplement.clone();
        DirEntry { name, raw_name, mode, mtime, uid, gid, supplement, ..DirEntry::default() }
    }

    /// What it is; `None` if that is not known here.
    pub fn kind(&self) -> Option<SpecialKind> {
        let &Self { major, minor, .. } = self;
        match self.kind.as_str() {
            "p" => Some(SpecialKind::Fifo),
            "s" => Some(SpecialKind::Socket),
            "c" => Some(SpecialKind::CharDevice { major, minor }),
            "b" => Some(SpecialKind::BlockDevice { major, minor }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DirectoryManifest;

    fn directory(ph: &str) -> String {
        let summary =
            r#"{"size":0,"files":0,"symlinks":0,"dirs":1,"maxTime":"2024-01-02T03:04:05Z","numFailed":0}"#;
        format!(r#"{{"stream":"kopia:directory","entries":null,"summary":{summary}{ph},"z":1}}"#) + "\n"
    }

    fn read(json: &str) -> DirectoryManifest {
        let manifest = DirectoryManifest::parse(json.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(manifest.to_bytes()).unwrap(), json);
        manifest
    }

    #[test]
    fn they_come_back_as_they_were() {
        let json = directory(concat!(
            r#","ph":{"specials":[{"name":"a%FF","type":"b","major":8,"minor":1,"mode":"0660","mtime":"2024-01-02T"#,
            r#"03:04:05Z","gid":6,"ph":{"x":{"user.a":""}}},{"name":"d","type":"p"},{"name":"e","type":"door","#,
            r#""mode":"0644","to":[1]}],"more":{}}"#
        ));
        let supplement = read(&json).supplement.unwrap();
        let [device, fifo, door] = &supplement.specials[..] else { panic!("{supplement:?}") };
        assert_eq!((&*device.name, device.gid), (&b"a\xff"[..], 6));
        assert_eq!(device.kind(), Some(SpecialKind::BlockDevice { major: 8, minor: 1 }));
        assert_eq!((fifo.kind(), door.kind()), (Some(SpecialKind::Fifo), None));
        let of = |kind| SpecialEntry { name: (*b"d").into(), ..SpecialEntry::new(kind) };
        assert_eq!(&of(SpecialKind::Fifo), fifo);
        for kind in [SpecialKind::Socket, SpecialKind::CharDevice { major: 1, minor: u32::MAX }] {
            assert_eq!(of(kind).kind(), Some(kind));
        }
    }

    #[test]
    fn what_is_no_such_thing_stays_as_it_is() {
        for ph in [
            "null",
            "7",
            r#"{"specials":{}}"#,
            r#"{"specials":[{"name":7}]}"#,
            r#"{"specials":[{"name":"%"}]}"#,
            r#"{"specials":[{"name":"a","type":"c","major":-1}]}"#,
        ] {
            assert!(read(&directory(&format!(r#","ph":{ph}"#))).supplement.is_none(), "{ph}");
        }
        assert!(read(&directory("")).supplement.is_none());
        assert_eq!(read(&directory(r#","ph":{}"#)).supplement.unwrap().specials, []);
    }
}
