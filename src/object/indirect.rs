//! Lists of parts.
//!
//! ```text
//! {"stream":"kopia:indirect","entries":[{"l":4194304,"o":"…"},{"s":4194304,"l":1000,"o":"…"}]}\n
//! ```
//!
//! Source: kopia `repo/object/indirect.go`.

use super::ObjectId;
use crate::base::gojson::is_zero;
use serde::{Deserialize, Serialize};

const STREAM: &str = "kopia:indirect";

/// One part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// First byte of the part in the object.
    #[serde(rename = "s", default, skip_serializing_if = "is_zero")]
    pub start: u64,
    /// Bytes in the part.
    #[serde(rename = "l", default, skip_serializing_if = "is_zero")]
    pub length: u64,
    /// The part.
    #[serde(rename = "o")]
    pub object: ObjectId,
}

/// The parts of an object, in order and without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentList {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    entries: Vec<Segment>,
}

impl SegmentList {
    /// Wraps parts that follow each other.
    pub fn new(entries: Vec<Segment>) -> Self {
        Self { stream: STREAM.to_owned(), entries }
    }

    /// Reads a list and proves that it is in order and without gaps.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Self>();
        let list = values.next().ok_or("it is empty")?.map_err(|error| error.to_string())?;
        if list.entries.is_empty() {
            return Err("it names no parts".to_owned());
        }
        let mut end = 0_u64;
        for segment in &list.entries {
            if segment.start != end {
                return Err(format!("a part starts at {} where the one before ends at {end}", segment.start));
            }
            end = end.checked_add(segment.length).ok_or("its parts are longer than any object")?;
        }
        Ok(list)
    }

    /// The parts.
    pub fn segments(&self) -> &[Segment] {
        &self.entries
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.start + last.length)
    }

    /// The parts themselves.
    pub fn into_segments(self) -> Vec<Segment> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    #[test]
    fn the_json_is_kopias() {
        let part = |start, length, id: &str| Segment { start, length, object: id.parse().unwrap() };
        let list = SegmentList::new(vec![part(0, 4_194_304, "abcd"), part(4_194_304, 1000, "ef01")]);
        let json = r#"{"stream":"kopia:indirect","entries":[{"l":4194304,"o":"abcd"},{"s":4194304,"l":1000,"o":"ef01"}]}"#;
        assert_eq!(gojson::to_line(&list).unwrap(), format!("{json}\n").into_bytes());
        assert_eq!(SegmentList::parse(format!("{json}\ntrailing").as_bytes()).unwrap(), list);
        assert_eq!(list.length(), 4_195_304);
    }

    #[test]
    fn gaps_and_overlaps_are_refused() {
        for bad in [
            r#"{"stream":"kopia:indirect","entries":null}"#,
            r#"{"stream":"kopia:indirect","entries":[]}"#,
            r#"{"entries":[{"s":1,"l":1,"o":"abcd"}]}"#,
            r#"{"entries":[{"l":18446744073709551615,"o":"abcd"},{"s":18446744073709551615,"l":2,"o":"abcd"}]}"#,
            r#"{"entries":[{"l":-1,"o":"abcd"}]}"#,
            "",
        ] {
            assert!(SegmentList::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
