//! Names that are bytes, as text in JSON: `%` and what is no UTF-8 are written as `%` and two digits, and nothing else
//! is, so that a name has one form, and each comes back.
//!
//! Only what Kopia does not read is written so; entries have the names that it gives them.

use serde::{Deserialize, Deserializer, Serializer};
use std::fmt::Write;

/// For `#[serde(with)]`: writes a name.
pub(super) fn serialize<S: Serializer>(name: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text_of_name(name))
}

/// For `#[serde(with)]`: reads a name.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
    let name = name_of_text(&String::deserialize(deserializer)?);
    name.map(Vec::into_boxed_slice).ok_or_else(|| serde::de::Error::custom("a name is mangled"))
}

/// The text for a name.
pub(super) fn text_of_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            write!(text, "%{byte:02X}").expect("a string takes all text");
        }
    }
    text
}

/// The name in a text; `None` if that is not how it would have been written.
pub(super) fn name_of_text(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    name.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
        name.extend_from_slice(rest.as_bytes());
    }
    (text_of_name(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_comes_back(name: Vec<u8>) {
            prop_assert_eq!(name_of_text(&text_of_name(&name)), Some(name));
        }

        #[test]
        fn a_name_has_one_text(text in "[a%0-9A-Fe]{0,8}") {
            if let Some(name) = name_of_text(&text) {
                prop_assert_eq!(text_of_name(&name), text);
            }
        }
    }
}
