//! The table of splitters.

use super::Splitter;
use super::buzhash::Buzhash32;
use super::fixed::Fixed;
use super::gear::Gear;
use super::rabin_karp::RabinKarp64;
use super::rolling::{Rolling, RollingHash};
use std::sync::Arc;

/// The splitter of new repositories.
pub const DEFAULT: &str = "DYNAMIC-4M-BUZHASH";

/// What a name stands for.
#[derive(Clone, Copy)]
enum Kind {
    Fixed,
    Buzhash,
    RabinKarp,
}

const K: usize = 1 << 10;
const M: usize = 1 << 20;

/// Every name that a repository may hold, with the length of its chunks or their average.
///
/// Source: kopia `repo/splitter/splitter.go`. The two names without a length date from before there was a choice.
const TABLE: &[(&str, Kind, usize)] = &[
    ("FIXED-128K", Kind::Fixed, 128 * K),
    ("FIXED-256K", Kind::Fixed, 256 * K),
    ("FIXED-512K", Kind::Fixed, 512 * K),
    ("FIXED-1M", Kind::Fixed, M),
    ("FIXED-2M", Kind::Fixed, 2 * M),
    ("FIXED-4M", Kind::Fixed, 4 * M),
    ("FIXED-8M", Kind::Fixed, 8 * M),
    ("DYNAMIC-128K-BUZHASH", Kind::Buzhash, 128 * K),
    ("DYNAMIC-256K-BUZHASH", Kind::Buzhash, 256 * K),
    ("DYNAMIC-512K-BUZHASH", Kind::Buzhash, 512 * K),
    ("DYNAMIC-1M-BUZHASH", Kind::Buzhash, M),
    ("DYNAMIC-2M-BUZHASH", Kind::Buzhash, 2 * M),
    (DEFAULT, Kind::Buzhash, 4 * M),
    ("DYNAMIC-8M-BUZHASH", Kind::Buzhash, 8 * M),
    ("DYNAMIC-128K-RABINKARP", Kind::RabinKarp, 128 * K),
    ("DYNAMIC-256K-RABINKARP", Kind::RabinKarp, 256 * K),
    ("DYNAMIC-512K-RABINKARP", Kind::RabinKarp, 512 * K),
    ("DYNAMIC-1M-RABINKARP", Kind::RabinKarp, M),
    ("DYNAMIC-2M-RABINKARP", Kind::RabinKarp, 2 * M),
    ("DYNAMIC-4M-RABINKARP", Kind::RabinKarp, 4 * M),
    ("DYNAMIC-8M-RABINKARP", Kind::RabinKarp, 8 * M),
    ("FIXED", Kind::Fixed, 4 * M),
    ("DYNAMIC", Kind::Buzhash, 4 * M),
];

/// Splitters that Kopia does not know. They are for a policy or a flag and must never be stored as the splitter of a
/// repository, which Kopia could then not open.
pub const OWN_NAMES: &[&str] = &["FASTCDC-1M", "FASTCDC-4M"];

/// All names that may be stored in a repository.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|&(name, ..)| name)
}

/// The splitter called `name`, one of [`names`] or of [`OWN_NAMES`]. The empty name of old repositories means `FIXED`; the caller says so.
pub fn by_name(name: &str) -> Option<Arc<dyn Splitter>> {
    match name {
        "FASTCDC-1M" => return Some(Arc::new(Gear::new("FASTCDC-1M", M))),
        "FASTCDC-4M" => return Some(Arc::new(Gear::new("FASTCDC-4M", 4 * M))),
        _ => {}
    }
    let &(name, kind, len) = TABLE.iter().find(|(known, ..)| *known == name)?;
    Some(match kind {
        Kind::Fixed => Arc::new(Fixed::new(name, len)),
        Kind::Buzhash => rolling::<Buzhash32>(name, len),
        Kind::RabinKarp => rolling::<RabinKarp64>(name, len),
    })
}

fn rolling<H: RollingHash>(name: &'static str, average: usize) -> Arc<dyn Splitter> {
    Arc::new(Rolling::<H>::new(name, average))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// The stream of the published boundaries.
    fn counted_digests(len: usize) -> Vec<u8> {
        (0..len as u64 / 32).flat_map(|n| Sha256::digest(n.to_be_bytes())).collect()
    }

    /// Boundaries within the first so many MiB of the stream, computed independently of this program.
    #[rustfmt::skip]
    const PUBLISHED: &[(&str, usize, &str)] = &[
        ("DYNAMIC-128K-BUZHASH", 1, "93743 242949 505093 612551 874695 1019231"),
        ("DYNAMIC-128K-RABINKARP", 1, "157103 369691 561287 823431 914858"),
        ("DYNAMIC-256K-BUZHASH", 4, "524288 1019231 1374700 1898988 2423276 2716465 3201299 3434552 3651839 3982115"),
        ("DYNAMIC-256K-RABINKARP", 4, "157103 561287 1085575 1357889 1882177 2204857 2364269 2888557 3151239 3501946 4026234"),
        ("DYNAMIC-512K-BUZHASH", 4, "1048576 1374700 2423276 2716465 3201299 3982115"),
        ("DYNAMIC-512K-RABINKARP", 4, "561287 1086018 2134594 3183170 3501946"),
        ("DYNAMIC-1M-BUZHASH", 8, "1501899 2716465 3982115 4811199 6908351 7961764"),
        ("DYNAMIC-1M-RABINKARP", 8, "561287 2204857 4302009 5486985 6699195"),
        ("DYNAMIC-2M-BUZHASH", 32, "4194304 7423781 9643800 12070613 16264917 17379089 20266266 22977491 27171795 29586027 32404899"),
        ("DYNAMIC-2M-RABINKARP", 32, "2204857 5486985 6699195 10893499 12763807 15744103 16798555 18098514 21082758 22419627 24426077 28620381 31442037 33468869"),
        ("DYNAMIC-4M-BUZHASH", 64, "7423781 13092857 17379089 20266266 28654874 32404899 35012414 40699594 44088601 48180191 52069112 54781860 63170468"),
        ("DYNAMIC-4M-RABINKARP", 64, "5803924 12763807 15744103 22419627 30808235 39196843 42457128 48793269 53801301 62189909"),
        ("DYNAMIC-8M-BUZHASH", 64, "7423781 24200997 29586027 36988865 44088601 60865817"),
        ("DYNAMIC-8M-RABINKARP", 64, "5803924 12763807 22419627 39196843 55974059"),
    ];

    fn check_published(family: &str) {
        let data = counted_digests(64 * M);
        for &(name, mib, expected) in PUBLISHED.iter().filter(|(name, ..)| name.ends_with(family)) {
            let splitter = by_name(name).unwrap();
            let mut found = Vec::new();
            let mut start = 0;
            while let Some(len) = splitter.boundary(&data[start..mib * M], 0) {
                start += len;
                found.push(start.to_string());
            }
            assert_eq!(found.join(" "), expected, "{name}");
        }
    }

    #[test]
    fn published_boundaries_of_buzhash() {
        check_published("BUZHASH");
    }

    #[test]
    fn published_boundaries_of_rabin_karp() {
        check_published("RABINKARP");
    }

    #[test]
    fn names_and_lengths() {
        assert_eq!(names().count(), 23);
        assert!(names().all(|name| !OWN_NAMES.contains(&name)));
        for name in names().chain(OWN_NAMES.iter().copied()) {
            let splitter = by_name(name).unwrap();
            assert_eq!(splitter.name(), name);
            assert!(splitter.min_len() <= splitter.max_len());
        }
        for (name, min, max) in [
            ("DYNAMIC", 2 * M, 8 * M),
            (DEFAULT, 2 * M, 8 * M),
            ("FIXED", 4 * M, 4 * M),
            ("FIXED-8M", 8 * M, 8 * M),
        ] {
            let splitter = by_name(name).unwrap();
            assert_eq!((splitter.min_len(), splitter.max_len()), (min, max), "{name}");
        }
        assert!(by_name("").is_none() && by_name("DYNAMIC-4m-BUZHASH").is_none());
    }

    #[test]
    fn runs_of_one_byte() {
        let first = |name, byte| by_name(name).unwrap().boundary(&vec![byte; 4 * M], 0);
        assert_eq!(first("DYNAMIC-1M-BUZHASH", 0x00), Some(M / 2));
        assert_eq!(first("DYNAMIC-1M-BUZHASH", 0xff), Some(M / 2));
        assert_eq!(first("DYNAMIC-1M-RABINKARP", 0x00), Some(M / 2));
        assert_eq!(first("DYNAMIC-1M-RABINKARP", 0xff), Some(2 * M));
        assert_eq!(first("FIXED-1M", 0xff), Some(M));
    }
}
