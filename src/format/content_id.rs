//! Names of contents: an optional letter and the keyed hash of the plaintext.

use crate::crypto::Hash;
use std::fmt;
use std::str::FromStr;

/// The letter before a content's hash: says what the content holds and which kind of pack it goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdPrefix(u8);

impl IdPrefix {
    /// File data; kept in `p` packs, all others in `q` packs.
    pub const NONE: Self = Self(0);
    /// Directory manifests and their lists of parts.
    pub const DIRECTORY: Self = Self(b'k');
    /// Lists of parts of unprefixed objects.
    pub const INDIRECT: Self = Self(b'x');
    /// Batches of manifests.
    pub const MANIFEST: Self = Self(b'm');

    /// A letter `g` to `z`; 0 for none.
    pub const fn new(letter: u8) -> Option<Self> {
        match letter {
            0 | b'g'..=b'z' => Some(Self(letter)),
            _ => None,
        }
    }

    /// The letter, 0 for none: the first byte of a key in an index file.
    pub const fn as_byte(self) -> u8 {
        self.0
    }

    /// Whether there is no letter.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("-") } else { write!(f, "{}", char::from(self.0)) }
    }
}

/// The name of a content. Ordered by letter, then hash: the order of keys in index files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId {
    prefix: IdPrefix,
    hash: Hash,
}

impl ContentId {
    /// Joins a letter and a hash.
    pub const fn new(prefix: IdPrefix, hash: Hash) -> Self {
        Self { prefix, hash }
    }

    /// The letter.
    pub const fn prefix(&self) -> IdPrefix {
        self.prefix
    }

    /// The hash.
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Reads the key of an index file: one prefix byte, then the hash.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (&letter, hash) = key.split_first()?;
        Some(Self { prefix: IdPrefix::new(letter)?, hash: Hash::from_slice(hash)? })
    }

    /// Appends the key form to `out`.
    pub fn append_key(&self, out: &mut Vec<u8>) {
        out.push(self.prefix.0);
        out.extend_from_slice(self.hash.as_bytes());
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 65];
        let bytes = self.hash.as_bytes();
        let start = usize::from(!self.prefix.is_none());
        text[0] = self.prefix.0;
        let end = start + bytes.len() * 2;
        hex::encode_to_slice(bytes, &mut text[start..end]).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text[..end]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text names no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a content id")]
pub struct ParseContentIdError(pub(crate) String);

impl FromStr for ContentId {
    type Err = ParseContentIdError;

    /// Accepts upper-case hex; prints lower-case. The empty text is no content (objects treat it apart).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let bytes = text.as_bytes();
            let (letter, digits) = if bytes.len() % 2 == 1 { (bytes[0], &bytes[1..]) } else { (0, bytes) };
            let mut hash = [0_u8; Hash::MAX_LEN];
            let len = digits.len() / 2;
            hex::decode_to_slice(digits, hash.get_mut(..len)?).ok()?;
            Some(Self { prefix: IdPrefix::new(letter)?, hash: Hash::from_slice(&hash[..len])? })
        };
        // A zero byte as first letter would pass for "none".
        if text.as_bytes().first() == Some(&0) {
            return Err(ParseContentIdError(text.to_owned()));
        }
        parse().ok_or_else(|| ParseContentIdError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_key_forms_agree() {
        for text in ["30a572157ba3e8a14424acacde62ee4a", "k00112233445566778899aabbccddeeff", "f0f0", "xf0f0"]
        {
            let id: ContentId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            let mut key = Vec::new();
            id.append_key(&mut key);
            assert_eq!(ContentId::from_key(&key), Some(id));
        }
        assert_eq!("ABCD".parse::<ContentId>().unwrap().to_string(), "abcd");
        for bad in ["", "x", "af0f0", "\0f0f0", "zz", "xf0f", "é"] {
            assert!(bad.parse::<ContentId>().is_err(), "{bad:?}");
        }
        let long = "a".repeat(66);
        assert!(long.parse::<ContentId>().is_err());
    }
}
