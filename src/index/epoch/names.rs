//! Names of index blobs kept in epochs, and which of them belong together.

use crate::blob::{BlobId, BlobMetadata};
use std::collections::BTreeMap;

/// What all of them begin with.
pub(in crate::index) const ALL: &str = "x";
/// `xe<E>`: epoch `E` has started.
pub(in crate::index) const MARKER: &str = "xe";
/// `xn<E>_…`: an index written during epoch `E`.
pub(in crate::index) const UNCOMPACTED: &str = "xn";
/// `xs<E>_…`: replaces all of epoch `E`.
pub(in crate::index) const SINGLE: &str = "xs";
/// `xr<A>_<B>_…`: replaces all of epochs `A` to `B`.
pub(in crate::index) const RANGE: &str = "xr";
/// `xw<T>`: deletion watermark.
pub(in crate::index) const WATERMARK: &str = "xw";

/// What uncompacted blobs of an epoch start with. The underscore keeps epoch 10 out of epoch 1.
pub(in crate::index) fn uncompacted_prefix(epoch: i64) -> String {
    format!("{UNCOMPACTED}{epoch}_")
}

/// The epoch of an uncompacted blob, written without zeros in front as every client does.
pub(in crate::index) fn uncompacted_epoch_of(id: &BlobId) -> Option<i64> {
    let epoch = epoch_of(id).filter(|epoch| *epoch >= 0)?;
    id.as_str().starts_with(&uncompacted_prefix(epoch)).then_some(epoch)
}

/// The epoch in `<letters><epoch>` or `<letters><epoch>_…`.
pub(in crate::index) fn epoch_of(id: &BlobId) -> Option<i64> {
    let stem = id.as_str().split('_').next()?;
    digits_of(stem).parse().ok()
}

/// The epochs in `<letters><first>_<last>_…`. A range that ends before it begins covers nothing and is none.
pub(in crate::index) fn range_of(id: &BlobId) -> Option<(i64, i64)> {
    let mut parts = id.as_str().split('_');
    let first = digits_of(parts.next()?).parse().ok()?;
    let last = parts.next()?.parse().ok()?;
    parts.next()?;
    (first <= last).then_some((first, last))
}

/// The time in `xw<unix seconds>`.
pub(in crate::index) fn watermark_of(id: &BlobId) -> Option<i64> {
    id.as_str().strip_prefix(WATERMARK)?.parse().ok()
}

fn digits_of(stem: &str) -> &str {
    stem.trim_start_matches(|letter: char| !letter.is_ascii_digit())
}

/// The first complete set in listing order. Blobs named `…-s<set>-c<count>` belong to a set of `count` blobs; every
/// other blob is a set of its own.
///
/// Source: kopia `internal/completeset/completeset.go`.
pub(in crate::index) fn first_complete_set(blobs: &[BlobMetadata]) -> Option<Vec<BlobMetadata>> {
    let mut sets: BTreeMap<&str, Vec<&BlobMetadata>> = BTreeMap::new();
    for blob in blobs {
        let Some((set, count)) = set_of(blob.id.as_str()) else {
            return Some(vec![blob.clone()]);
        };
        let members = sets.entry(set).or_default();
        members.push(blob);
        if i64::try_from(members.len()) == Ok(count) {
            return Some(members.iter().map(|&member| member.clone()).collect());
        }
    }
    None
}

fn set_of(name: &str) -> Option<(&str, i64)> {
    let mut parts = name.split('-').skip(1);
    let set = parts.next().filter(|part| part.starts_with('s'))?;
    let count = parts.next()?.strip_prefix('c')?.parse().ok()?;
    Some((set, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    fn blobs(names: &[&str]) -> Vec<BlobMetadata> {
        let blob = |&name: &&str| BlobMetadata { id: name.into(), length: 1, timestamp: Timestamp::EPOCH };
        names.iter().map(blob).collect()
    }

    #[test]
    fn numbers_are_read_out_of_names() {
        let epoch = |name: &str| epoch_of(&name.into());
        assert_eq!(epoch("xe7"), Some(7));
        assert_eq!(epoch("xn12_abc-s1-c1"), Some(12));
        assert_eq!(epoch("xs0_1_2"), Some(0));
        for bad in ["xe", "xe_1", "xn1a_", "xe99999999999999999999"] {
            assert_eq!(epoch(bad), None, "{bad}");
        }
        let range = |name: &str| range_of(&name.into());
        assert_eq!(range("xr0_9_abc-s1-c1"), Some((0, 9)));
        for bad in ["xr0_9", "xr_9_a", "xr0_x_a", "xr9_0_a", "xr0_-1_a"] {
            assert_eq!(range(bad), None, "{bad}");
        }
        assert_eq!(watermark_of(&"xw1700000000".into()), Some(1_700_000_000));
        assert_eq!(watermark_of(&"xw17a".into()), None);
    }

    #[test]
    fn a_set_counts_when_all_its_blobs_are_there() {
        let first = |names: &[&str]| {
            first_complete_set(&blobs(names))
                .map(|set| set.iter().map(|b| b.id.to_string()).collect::<Vec<_>>())
        };
        let some = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(first(&["xs1_a-s1-c2"]), None);
        assert_eq!(first(&["xs1_a-s1-c2", "xs1_b-s2-c2"]), None);
        assert_eq!(first(&["xs1_a-s1-c2", "xs1_b-s2-c1"]), some(&["xs1_b-s2-c1"]));
        assert_eq!(first(&["xs1_a-s1-c2", "xs1_b-s1-c2-x"]), some(&["xs1_a-s1-c2", "xs1_b-s1-c2-x"]));
        for alone in ["xs1_a", "xs1_a-s1", "xs1_a-t1-c2", "xs1_a-s1-d2", "xs1_a-s1-cx"] {
            assert_eq!(first(&[alone]), some(&[alone]));
        }
        assert_eq!(first(&[]), None);
    }
}
