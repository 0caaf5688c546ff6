//! Which files are compressed, and how.

use super::SourceInfo;
use super::field::Field;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How files are compressed; [`compressor_for`] applies it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CompressionPolicy {
    /// Kopia's name; `none` and empty for none.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub compressor_name: String,
    /// Extensions, with their dot, that are compressed even if `never_compress` lists them.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub only_compress: Vec<String>,
    /// Whether less specific policies add nothing to `only_compress`.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub no_parent_only_compress: bool,
    /// Extensions that are not compressed.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub never_compress: Vec<String>,
    /// Whether less specific policies add nothing to `never_compress`.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub no_parent_never_compress: bool,
    /// Smaller files are not compressed; bytes, 0 for no limit.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub min_size: i64,
    /// Larger files are not compressed; bytes, 0 for no limit.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub max_size: i64,
}

/// Which target gave each value of [`CompressionPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CompressionDefinition {
    /// The compressor.
    pub compressor_name: SourceInfo,
    /// The last that added extensions.
    pub only_compress: SourceInfo,
    /// The last that added extensions.
    pub never_compress: SourceInfo,
    /// The lower limit.
    pub min_size: SourceInfo,
    /// The upper limit.
    pub max_size: SourceInfo,
}

impl CompressionPolicy {
    pub(super) fn merge(&mut self, from: &Self, definition: &mut CompressionDefinition, target: &SourceInfo) {
        if self.compressor_name.inherit(&from.compressor_name) {
            definition.compressor_name.clone_from(target);
        }
        if self.min_size.inherit(&from.min_size) {
            definition.min_size.clone_from(target);
        }
        if self.max_size.inherit(&from.max_size) {
            definition.max_size.clone_from(target);
        }
        if unite(&mut self.only_compress, &from.only_compress, self.no_parent_only_compress) {
            definition.only_compress.clone_from(target);
        }
        self.no_parent_only_compress |= from.no_parent_only_compress;
        if unite(&mut self.never_compress, &from.never_compress, self.no_parent_never_compress) {
            definition.never_compress.clone_from(target);
        }
        self.no_parent_never_compress |= from.no_parent_never_compress;
    }
}

/// Adds `from` to `list`, sorted, unless a more specific policy closed it; says whether anything came.
fn unite(list: &mut Vec<String>, from: &[String], closed: bool) -> bool {
    if closed {
        return false;
    }
    let all: BTreeSet<String> = list.drain(..).chain(from.iter().cloned()).collect();
    list.extend(all);
    !from.is_empty()
}

/// The name of the compressor for a file, empty for none. `size` is what stat said.
///
/// `only_compress` restricts nothing: it only outweighs `never_compress`. Kopia behaves so, and a file compressed
/// otherwise would not be stored twice but would surprise whoever compares.
///
/// Source: kopia `snapshot/policy/compression_policy.go` (`CompressorForFile`).
pub fn compressor_for<'a>(policy: &'a CompressionPolicy, name: &str, size: u64) -> &'a str {
    let limit = |bytes: i64| u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    if policy.compressor_name == "none"
        || limit(policy.min_size).is_some_and(|least| size < least)
        || limit(policy.max_size).is_some_and(|most| size > most)
    {
        return "";
    }
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    // Merged lists are sorted. Lists of nested policies are raw, and Kopia's binary search may miss what is in them.
    let listed = |list: &[String]| {
        let at = list.partition_point(|entry| entry.as_str() < extension);
        list.get(at).is_some_and(|entry| entry == extension)
    };
    if !listed(&policy.only_compress) && listed(&policy.never_compress) {
        return "";
    }
    &policy.compressor_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_as_kopia_does() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut policy = CompressionPolicy {
            compressor_name: "zstd".into(),
            only_compress: list(".b .txt"),
            never_compress: list(".jpg .txt"),
            min_size: 10,
            max_size: 100,
            ..Default::default()
        };
        for (name, size, wanted) in [
            ("a.txt", 50, "zstd"),
            ("a.jpg", 50, ""),
            ("a.JPG", 50, "zstd"),
            ("other", 50, "zstd"),
            ("a.b.jpg", 50, ""),
            ("a.txt", 9, ""),
            ("a.txt", 10, "zstd"),
            ("a.txt", 100, "zstd"),
            ("a.txt", 101, ""),
            (".jpg", 50, ""),
            ("jpg", 50, "zstd"),
        ] {
            assert_eq!(compressor_for(&policy, name, size), wanted, "{name} {size}");
        }
        policy.compressor_name = "none".into();
        assert_eq!(compressor_for(&policy, "a.txt", 50), "");
        assert_eq!(compressor_for(&CompressionPolicy::default(), "a.txt", 50), "");
    }
}
