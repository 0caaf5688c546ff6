//! What an entry says beside what Kopia's entries have room for.
//!
//! ```text
//! {"name":"a","type":"f", … ,"obj":"…","ph":{"t":1700000000123456789,"i":4711,"x":{"user.a":"AQ=="}}}
//! ```
//!
//! 1. Kopia passes over the member `ph`; an entry without it is Kopia's byte for byte.
//! 2. What is not known in it survives a rewrite, and so does a value that is no such object: to all others that is as
//!    if there were none.
//! 3. `t` says that everything was looked at. Who kept less wrote the same time under the name `c`: then the data is
//!    what it was if time and inode are, and all else is looked at once more. So did versions that knew only times and
//!    inodes: were their `c` taken for `t`, the extended attributes of a file would be missed until it is changed.

use super::supplement_json::StoredSupplement;
use crate::base::{Collector, ExtraFields};
use crate::source::{Holes, Xattrs};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The member `ph` of an entry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Supplement {
    /// Time of the last change of a file's or link's data or metadata, in nanoseconds since 1970. Not there if it might
    /// have been changed again without another time.
    pub ctime_nanos: Option<i64>,
    /// Whether only the data is as it was at that time, and the rest was not looked at or could not be read.
    pub is_data_only: bool,
    /// Inode of a file or link. Its device is not kept, whose number changes with each mount.
    pub inode: Option<u64>,
    /// Which other names it has, if it has any.
    pub hard_link: Option<Box<HardLink>>,
    /// Extended attributes; see [`Supplement::known_xattrs`].
    pub xattrs: Option<Box<Xattrs>>,
    /// Where the file has holes, if it has any.
    pub holes: Option<Box<Holes>>,
    /// What others have written here, kept.
    pub extra: ExtraFields,
}

/// Files of one snapshot that are one inode have the same device and inode here. Whether they still were when they were
/// read, only their objects tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HardLink {
    /// The device, if it is another than the root's.
    pub device: Option<u64>,
    /// The inode on that device.
    pub inode: u64,
    /// Number of names, those outside the snapshot included.
    pub links: u64,
}

impl Supplement {
    /// Its name in an entry.
    pub(super) const NAME: &str = "ph";

    /// Whether it says which file the entry stood for.
    pub(super) fn identifies(&self) -> bool {
        self.ctime_nanos.is_some() || self.inode.is_some()
    }

    /// All extended attributes that the entry had; `None` if they were not looked at, or not all of them could be read:
    /// then others that are there may stay.
    pub fn known_xattrs(&self) -> Option<&Xattrs> {
        static NONE: Xattrs = Xattrs::new();
        if self.is_data_only {
            return None;
        }
        self.xattrs.as_deref().or_else(|| self.ctime_nanos.is_some().then_some(&NONE))
    }
}

impl Serialize for Supplement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoredSupplement::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Supplement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut extra = ExtraFields::default();
        let known = StoredSupplement::deserialize(Collector::new(deserializer, &mut extra))?;
        known.into_supplement(extra).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DirEntry;

    fn entry(more: &str) -> String {
        format!(r#"{{"name":"a","type":"f","mtime":"2024-01-02T03:04:05Z","obj":"abcd"{more}}}"#)
    }

    #[test]
    fn it_is_the_last_member_and_what_is_not_known_in_it_stays() {
        let json = entry(r#","ph":{"t":-5,"i":18446744073709551615,"q":{"user.a":"AQ=="},"z":1e3}"#);
        let read: DirEntry = serde_json::from_str(&json).unwrap();
        let supplement = read.supplement.as_deref().unwrap();
        assert_eq!((supplement.ctime_nanos, supplement.inode), (Some(-5), Some(u64::MAX)));
        assert!(read.extra.is_empty() && !supplement.extra.is_empty());
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        let among_others: DirEntry = serde_json::from_str(&entry(r#","v":1,"ph":{"i":7},"w":2"#)).unwrap();
        assert_eq!(
            serde_json::to_string(&among_others).unwrap(),
            entry(r#","ph":{"i":7},"v":1,"w":2"#),
            "behind it is only what is not known"
        );
    }

    #[test]
    fn all_of_it_comes_back() {
        let json = entry(concat!(
            r#","ph":{"t":5,"i":7,"h":7,"n":3,"d":2049,"x":{"user.a":"AQ==","user.b%25%FF":""},"#,
            r#""s":[[0,4096],[8192,1]]}"#
        ));
        let read: DirEntry = serde_json::from_str(&json).unwrap();
        let supplement = read.supplement.as_deref().unwrap();
        assert_eq!(
            supplement.hard_link.as_deref(),
            Some(&HardLink { device: Some(2049), inode: 7, links: 3 })
        );
        let xattrs = supplement.known_xattrs().unwrap();
        assert_eq!((xattrs.get(b"user.a"), xattrs.get(b"user.b%\xff")), (Some(&[1][..]), Some(&[][..])));
        assert!(matches!(supplement.holes.as_deref(), Some(Holes::At(holes)) if holes.len() == 2));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        let json = entry(r#","ph":{"x":{},"s":true}"#);
        let read: DirEntry = serde_json::from_str(&json).unwrap();
        assert_eq!(read.supplement.as_deref().unwrap().holes.as_deref(), Some(&Holes::Scattered));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    #[test]
    fn only_a_whole_look_knows_that_there_are_no_attributes() {
        for (ph, is_known) in [
            (r#"{"t":5,"i":7}"#, true),
            (r#"{"c":5,"i":7}"#, false),
            (r#"{"i":7}"#, false),
            (r#"{"x":{}}"#, true),
        ] {
            let json = entry(&format!(r#","ph":{ph}"#));
            let read: DirEntry = serde_json::from_str(&json).unwrap();
            assert_eq!(read.supplement.as_deref().unwrap().known_xattrs().is_some(), is_known, "{ph}");
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }

    #[test]
    fn an_entry_without_it_is_kopias() {
        let read: DirEntry = serde_json::from_str(&entry("")).unwrap();
        assert!(read.supplement.is_none());
        assert_eq!(serde_json::to_string(&read).unwrap(), entry(""));
    }

    #[test]
    fn a_value_that_is_none_is_passed_over_and_stays() {
        for value in [
            "null",
            "7",
            r#""x""#,
            "[]",
            r#"{"c":1.5,"i":7}"#,
            r#"{"t":9223372036854775808,"i":7}"#,
            r#"{"c":1,"i":-1}"#,
            r#"{"c":"1","i":7}"#,
            r#"{"c":1,"c":2,"i":7}"#,
            r#"{"c":1,"t":1,"i":7}"#,
            r#"{"h":1}"#,
            r#"{"n":2,"d":1}"#,
            r#"{"x":{"a":"?"}}"#,
            r#"{"x":{"a":"","a":""}}"#,
            r#"{"x":{"":""}}"#,
            r#"{"x":{"a%fF":""}}"#,
            r#"{"x":{"a%41":""}}"#,
            r#"{"x":{"a%":""}}"#,
            r#"{"s":[]}"#,
            r#"{"s":false}"#,
            r#"{"s":[[0,0]]}"#,
            r#"{"s":[[0,1,2]]}"#,
        ] {
            let json = entry(&format!(r#","ph":{value}"#));
            let read: DirEntry = serde_json::from_str(&json).unwrap();
            assert!(read.supplement.is_none(), "{value}");
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }
}
