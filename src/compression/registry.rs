//! The table of compressors.

use super::deflate::{Container, Deflate};
use super::lz4::Lz4;
use super::s2::S2;
use super::zstd::Zstd;
use super::{Compressor, HeaderId};

/// Every id that a repository may hold.
///
/// Source: kopia `repo/compression/compressor.go`.
static ALL: [&dyn Compressor; 18] = [
    &Deflate::new(0x1000, "gzip", Container::Gzip, 6),
    &Deflate::new(0x1001, "gzip-best-speed", Container::Gzip, 1),
    &Deflate::new(0x1002, "gzip-best-compression", Container::Gzip, 9),
    &Zstd::new(0x1100, "zstd", 3),
    &Zstd::new(0x1101, "zstd-fastest", 1),
    &Zstd::new(0x1102, "zstd-better-compression", 7),
    &Zstd::new(0x1103, "zstd-best-compression", 11).deprecated(),
    &S2::new(0x1200, "s2-default", false),
    &S2::new(0x1201, "s2-better", true),
    &S2::new(0x1202, "s2-parallel-4", false),
    &S2::new(0x1203, "s2-parallel-8", false),
    &Deflate::new(0x1300, "pgzip", Container::Gzip, 6),
    &Deflate::new(0x1301, "pgzip-best-speed", Container::Gzip, 1),
    &Deflate::new(0x1302, "pgzip-best-compression", Container::Gzip, 9),
    &Lz4,
    &Deflate::new(0x1500, "deflate-default", Container::None, 6),
    &Deflate::new(0x1501, "deflate-best-speed", Container::None, 1),
    &Deflate::new(0x1502, "deflate-best-compression", Container::None, 9),
];

/// All compressors, by rising id.
pub fn all() -> &'static [&'static dyn Compressor] {
    &ALL
}

/// The compressor a policy calls `name`. `lz4` is not found: it must not be written any more.
pub fn by_name(name: &str) -> Option<&'static dyn Compressor> {
    ALL.into_iter().find(|compressor| compressor.name() == name && compressor.id() != Lz4::ID)
}

/// The compressor of a stored content.
pub fn by_id(id: HeaderId) -> Option<&'static dyn Compressor> {
    ALL.into_iter().find(|compressor| compressor.id() == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_found() {
        assert!(ALL.is_sorted_by_key(|compressor| compressor.id()));
        for compressor in all() {
            assert_eq!(by_id(compressor.id()).unwrap().name(), compressor.name());
            let named = by_name(compressor.name()).map(Compressor::id);
            assert_eq!(named, (compressor.name() != "lz4").then_some(compressor.id()));
        }
        assert!(by_id(HeaderId::NONE).is_none() && by_id(HeaderId(0x1104)).is_none());
        assert!(by_name("none").is_none() && by_name("").is_none());
        let deprecated: Vec<_> = all().iter().filter(|c| c.is_deprecated()).map(|c| c.name()).collect();
        assert_eq!(deprecated, ["zstd-best-compression", "lz4"]);
        assert_eq!(HeaderId(0x1101).to_string(), "0x1101");
    }
}
