//! What an entry says beside what Kopia's entries have room for.
//!
//! ```text
//! {"name":"a","type":"f", … ,"obj":"…","ph":{"c":1700000000123456789,"i":4711}}
//! ```
//!
//! 1. Kopia passes over the member `ph`; an entry without it is Kopia's byte for byte.
//! 2. What is not known in it survives a rewrite, and so does a value that is no such object: to all others that is as
//!    if there were none.

use crate::base::{ExtraFields, keeps_extra_fields};
use serde::{Deserialize, Serialize};

/// The member `ph` of an entry.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Supplement {
    /// Time of the last change of a file's data or metadata, in nanoseconds since 1970. Not there if the file might have
    /// been changed again without another time.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub ctime_nanos: Option<i64>,
    /// Inode of a file. Its device is not kept, whose number changes with each mount.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(Supplement);

impl Supplement {
    /// Its name in an entry.
    pub(super) const NAME: &str = "ph";

    /// Whether it says which file the entry stood for.
    pub(super) fn identifies(&self) -> bool {
        self.ctime_nanos.is_some() || self.inode.is_some()
    }
}

#[cfg(test)]
mod tests {
    use crate::snapshot::DirEntry;

    fn entry(more: &str) -> String {
        format!(r#"{{"name":"a","type":"f","mtime":"2024-01-02T03:04:05Z","obj":"abcd"{more}}}"#)
    }

    #[test]
    fn it_is_the_last_member_and_what_is_not_known_in_it_stays() {
        let json = entry(r#","ph":{"c":-5,"i":18446744073709551615,"x":{"user.a":"AQ=="},"n":1e3}"#);
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
            r#"{"c":9223372036854775808,"i":7}"#,
            r#"{"c":1,"i":-1}"#,
            r#"{"c":"1","i":7}"#,
            r#"{"c":1,"c":2,"i":7}"#,
        ] {
            let json = entry(&format!(r#","ph":{value}"#));
            let read: DirEntry = serde_json::from_str(&json).unwrap();
            assert!(read.supplement.is_none(), "{value}");
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }
}
