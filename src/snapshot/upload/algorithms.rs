//! Which compressors and splitters policies name that cannot be used.

use crate::policy::{Policy, PolicyTree};
use crate::{compression, splitter};
use std::collections::BTreeSet;

/// A warning for each algorithm in force somewhere that is not there. Files are stored all the same, uncompressed or cut
/// by the repository's splitter: a backup is worth more than a ratio.
pub(super) fn unknown(policies: &PolicyTree) -> BTreeSet<String> {
    policies.policies().into_iter().flat_map(unknown_of).collect()
}

fn unknown_of(policy: &Policy) -> impl Iterator<Item = String> {
    let stored = "the data is stored uncompressed; choose another with `policy set";
    let compressor = |name: &str, flag: &str| {
        let is_known = matches!(name, "" | "none") || compression::by_name(name).is_some();
        (!is_known).then(|| {
            format!("a policy names the compressor {name:?}, which cannot be written; {stored} {flag}`")
        })
    };
    let cutter = |name: &str| {
        let is_known = name.is_empty() || splitter::by_name(name).is_some();
        (!is_known).then(|| {
            format!("a policy names the splitter {name:?}, which is unknown; the repository's is used")
        })
    };
    let found = [
        compressor(&policy.compression.compressor_name, "--compression"),
        compressor(policy.metadata_compression.compressor(), "--metadata-compression"),
        cutter(&policy.splitter.algorithm),
    ];
    found.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(compressor: &str, splitter: &str) -> Policy {
        let mut policy = Policy::default();
        policy.compression.compressor_name = compressor.to_owned();
        policy.splitter.algorithm = splitter.to_owned();
        policy
    }

    #[test]
    fn every_level_is_looked_at() {
        let nested = [("a".to_owned(), policy("lz4", "")), ("b/c".to_owned(), policy("none", "DYNAMIC-3M"))];
        let warnings = unknown(&PolicyTree::new(policy("zstd", "FIXED-1M"), nested));
        assert_eq!(warnings.len(), 2);
        assert!(warnings.iter().any(|warning| warning.contains("\"lz4\"")), "{warnings:?}");
        assert!(warnings.iter().any(|warning| warning.contains("\"DYNAMIC-3M\"")), "{warnings:?}");
        assert!(unknown(&PolicyTree::built_in()).is_empty());
    }
}
