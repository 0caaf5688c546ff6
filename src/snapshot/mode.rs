//! Permission bits as Kopia stores them: Go's numbering, in octal text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Permission bits in POSIX numbering, at most 0o7777.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mode(u32);

/// POSIX bit and the bit Go keeps it in. Source: Go `io/fs` `FileMode`.
const SPECIAL_BITS: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];

impl Mode {
    /// Takes the permission bits of a POSIX mode.
    pub const fn from_posix(bits: u32) -> Self {
        Self(bits & 0o7777)
    }

    /// The POSIX bits.
    pub const fn posix(self) -> u32 {
        self.0
    }

    fn to_go(self) -> u32 {
        let special =
            SPECIAL_BITS.iter().filter(|(posix, _)| self.0 & posix != 0).map(|(_, go)| go).sum::<u32>();
        self.0 & 0o777 | special
    }

    /// Other bits of Go's mode, such as types, mean nothing here.
    fn from_go(go: u32) -> Self {
        let special =
            SPECIAL_BITS.iter().filter(|(_, bit)| go & bit != 0).map(|(posix, _)| posix).sum::<u32>();
        Self(go & 0o777 | special)
    }

    /// A Go integer literal with automatic base that fits a signed 32-bit integer.
    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (digits, base) = match lower.as_bytes() {
            [b'0', b'x', ..] => (&lower[2..], 16),
            [b'0', b'o', ..] => (&lower[2..], 8),
            [b'0', b'b', ..] => (&lower[2..], 2),
            [b'0', _, ..] => (&lower[1..], 8),
            _ => (lower.as_str(), 10),
        };
        let digits = digits.replace('_', "");
        i32::from_str_radix(&digits, base).ok().and_then(|go| u32::try_from(go).ok()).map(Self::from_go)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("0{:o}", self.to_go()))
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let Some(text) = text else { return Ok(Self::default()) };
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is not a file mode")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_gos() {
        for (posix, text) in [
            (0o644, "\"0644\""),
            (0o755, "\"0755\""),
            (0o4755, "\"040000755\""),
            (0o2755, "\"020000755\""),
            (0o1777, "\"04000777\""),
            (0o6755, "\"060000755\""),
        ] {
            assert_eq!(serde_json::to_string(&Mode::from_posix(posix)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Mode>(text).unwrap().posix(), posix);
        }
        assert_eq!(
            serde_json::from_str::<Mode>("\"04755\"").unwrap().posix(),
            0o755,
            "bit 11 means nothing to Go"
        );
        assert_eq!(serde_json::from_str::<Mode>("\"0x1ed\"").unwrap().posix(), 0o755);
        assert!(serde_json::from_str::<Mode>("\"rwx\"").is_err());
        assert!(serde_json::from_str::<Mode>("\"0777777777777\"").is_err());
    }
}
