//! Extended attributes: small values under names, POSIX ACLs and file capabilities among them.

use std::collections::BTreeMap;

/// Extended attributes of one entry, by the bytes of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Xattrs {
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
}

impl Xattrs {
    /// Longest name, in bytes. Source: Linux `limits.h`, as the next.
    pub const NAME_BYTES_MAX: usize = 255;
    /// Longest value, in bytes.
    pub const VALUE_BYTES_MAX: usize = 64 << 10;
    /// Most bytes of names and values that one entry keeps. No file system in use gives a file as many but for tests;
    /// it bounds what a directory of a repository can make a reader hold.
    pub const BYTES_MAX: usize = 1 << 20;

    /// None at all.
    pub const fn new() -> Self {
        Self { values: BTreeMap::new(), bytes: 0 }
    }

    /// Adds one; `false` if it is too long, has a name that none can have or that is there already.
    #[must_use]
    pub fn insert(&mut self, name: &[u8], value: &[u8]) -> bool {
        let bytes = self.bytes.saturating_add(name.len()).saturating_add(value.len());
        let is_valid = (1..=Self::NAME_BYTES_MAX).contains(&name.len())
            && !name.contains(&0)
            && value.len() <= Self::VALUE_BYTES_MAX
            && bytes <= Self::BYTES_MAX;
        if !is_valid || self.values.contains_key(name) {
            return false;
        }
        self.bytes = bytes;
        self.values.insert(name.into(), value.into()).is_none()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.values.get(name).map(|value| &**value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_file_system_has_is_refused() {
        let mut xattrs = Xattrs::default();
        let long = vec![7; Xattrs::VALUE_BYTES_MAX + 1];
        assert!(xattrs.insert(b"user.b", b"") && xattrs.insert(b"user.a\xff", &long[1..]));
        for (name, value) in [
            (&b"user.b"[..], &b"again"[..]),
            (b"", b"x"),
            (b"user.\0", b"x"),
            (&[b'u'; Xattrs::NAME_BYTES_MAX + 1], b"x"),
            (b"user.c", &long),
        ] {
            assert!(!xattrs.insert(name, value), "{name:?}");
        }
        assert_eq!(xattrs.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&b"user.a\xff"[..], b"user.b"]);
        let added = (0..100).filter(|n| xattrs.insert(format!("{n}").as_bytes(), &long[..60_000])).count();
        assert!((10..20).contains(&added), "{added}");
    }
}
