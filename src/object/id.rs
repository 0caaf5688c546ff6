//! Names of objects.

use crate::format::{ContentId, IdPrefix};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The name of an object: nothing, a content, a content that compresses itself, or a list of parts.
///
/// Source: kopia `repo/object/objectid.go`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectId {
    content: Option<ContentId>,
    indirection: u8,
    compressed: bool,
}

impl ObjectId {
    /// No object; written as the empty text.
    pub const NONE: Self = Self { content: None, indirection: 0, compressed: false };

    /// An object that is one content.
    pub const fn direct(content: ContentId) -> Self {
        Self { content: Some(content), indirection: 0, compressed: false }
    }

    /// An object that is one content holding its own compression header (index version 1 only).
    pub const fn compressed(content: ContentId) -> Self {
        Self { content: Some(content), indirection: 0, compressed: true }
    }

    /// The object whose list of parts is `list`, or `None` at absurd depth or when `list` compresses itself.
    pub fn indirect(list: Self) -> Option<Self> {
        let indirection = list.indirection.checked_add(1)?;
        (!list.compressed).then_some(Self { indirection, ..list })
    }

    /// The object that lists this one's parts; `None` when this is a single content.
    pub fn list(self) -> Option<Self> {
        Some(Self { indirection: self.indirection.checked_sub(1)?, ..self })
    }

    /// The content under all levels of lists.
    pub const fn content(&self) -> Option<ContentId> {
        self.content
    }

    /// Whether the content holds its own compression header.
    pub const fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Whether there is no object.
    pub const fn is_none(&self) -> bool {
        self.content.is_none()
    }

    /// Whether this is a directory manifest, in one content or in several.
    pub fn is_directory(&self) -> bool {
        self.content.is_some_and(|content| content.prefix() == IdPrefix::DIRECTORY)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for _ in 0..self.indirection {
            f.write_str("I")?;
        }
        if self.compressed {
            f.write_str("Z")?;
        }
        self.content.map_or(Ok(()), |content| content.fmt(f))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// The text names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an object id")]
pub struct ParseObjectIdError(String);

impl FromStr for ObjectId {
    type Err = ParseObjectIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::NONE);
        }
        let rest = text.trim_start_matches('I');
        let indirection = u8::try_from(text.len() - rest.len());
        let (compressed, rest) = rest.strip_prefix('Z').map_or((false, rest), |rest| (true, rest));
        // Old versions wrote D for a single content. Hex is never written in capitals, so this is not taken for a digit.
        let rest = rest.strip_prefix('D').unwrap_or(rest);
        match (indirection, rest.parse()) {
            (Ok(indirection), Ok(content)) if indirection == 0 || !compressed => {
                Ok(Self { content: Some(content), indirection, compressed })
            }
            _ => Err(ParseObjectIdError(text.chars().take(80).collect())),
        }
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.map_or(Ok(Self::NONE), |text| text.parse().map_err(serde::de::Error::custom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_kopias() {
        for (text, printed) in [
            ("", ""),
            ("Df0f0", "f0f0"),
            ("IDf0f0", "If0f0"),
            ("IIDf0f0", "IIf0f0"),
            ("Dxf0f0", "xf0f0"),
            ("IIabcd", "IIabcd"),
            ("Zabcd", "Zabcd"),
            ("ABCD", "abcd"),
            ("DABCD", "abcd"),
        ] {
            assert_eq!(text.parse::<ObjectId>().unwrap().to_string(), printed);
        }
        for bad in ["Dxf0f", "Da", "DD", "DABC", "Daf0f0", "X", "I.", "Iab.", "I1", "IZabcd", "I", "Z"] {
            assert!(bad.parse::<ObjectId>().is_err(), "{bad}");
        }
        let deep = format!("{}abcd", "I".repeat(300));
        assert!(deep.parse::<ObjectId>().is_err());
    }
}
