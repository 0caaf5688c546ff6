//! A view of the epochs, and which blobs are active in it.

use super::names::{self, MARKER, RANGE, SINGLE, UNCOMPACTED, WATERMARK, uncompacted_prefix};
use crate::base::{Clock, Timestamp};
use crate::blob::{BlobMetadata, Storage};
use crate::format::EpochParameters;
use crate::index::blobs::{ActiveSet, list, list_many};
use crate::index::{Error, Result};
use std::collections::BTreeMap;

/// Above this many epochs without a replacement all uncompacted blobs are listed at once.
const LISTINGS_MAX: i64 = 3;

/// Blobs that replace everything of some epochs, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::index) struct EpochRange {
    pub(in crate::index) first: i64,
    pub(in crate::index) last: i64,
    pub(in crate::index) blobs: Vec<BlobMetadata>,
}

/// What a client knows of the epochs until `valid_until`.
#[derive(Debug, Clone)]
pub(in crate::index) struct State {
    /// The epoch that new index blobs go to.
    pub(in crate::index) write_epoch: i64,
    pub(in crate::index) deletion_watermark: i64,
    /// Complete replacements of single epochs.
    pub(in crate::index) single: BTreeMap<i64, Vec<BlobMetadata>>,
    /// Complete replacements of ranges, one behind the other from epoch 0.
    pub(in crate::index) ranges: Vec<EpochRange>,
    /// Uncompacted blobs of the write epoch and its neighbours.
    pub(in crate::index) recent: BTreeMap<i64, Vec<BlobMetadata>>,
    /// Blobs without content that would have counted.
    pub(in crate::index) set_aside: Vec<BlobMetadata>,
    pub(in crate::index) valid_until: Timestamp,
}

impl State {
    /// Looks at the store. Markers and replacements are listed before uncompacted blobs: the other way round, blobs
    /// written into an epoch that has just begun would be missed.
    ///
    /// Source: kopia `internal/epoch/epoch_manager.go`, `refreshAttemptLocked`.
    pub(in crate::index) fn load(
        storage: &dyn Storage,
        parameters: &EpochParameters,
        clock: &dyn Clock,
    ) -> Result<Self> {
        let valid_until = clock.now().saturating_add_nanos(parameters.epoch_refresh_frequency);
        let [markers, watermarks, single, ranges] =
            list_many(storage, [MARKER.into(), WATERMARK.into(), SINGLE.into(), RANGE.into()])?;
        let write_epoch = markers.iter().filter_map(|blob| names::epoch_of(&blob.id)).max().unwrap_or(0);
        let watermark = watermarks.iter().filter_map(|blob| names::watermark_of(&blob.id)).max();
        let mut set_aside = Vec::new();
        let mut whole = |blobs: Vec<BlobMetadata>| {
            let (empty, whole) = blobs.into_iter().partition(|blob| blob.length == 0);
            set_aside.extend::<Vec<_>>(empty);
            whole
        };
        let single = complete_by(whole(single), |blob| names::epoch_of(&blob.id));
        let ranges = complete_by(whole(ranges), |blob| names::range_of(&blob.id));
        let ranges = ranges.into_iter().map(|((first, last), blobs)| EpochRange { first, last, blobs });
        let ranges = longest_chain(ranges.collect());
        let epochs = [write_epoch.saturating_sub(1), write_epoch, write_epoch.saturating_add(1)];
        let recent = list_many(storage, epochs.map(uncompacted_prefix))?;
        let recent = epochs.into_iter().zip(recent).filter(|(epoch, _)| *epoch >= 0).collect();
        if clock.now() > valid_until {
            return Err(Error::TooSlow { operation: "list index blobs" });
        }
        let deletion_watermark = watermark.unwrap_or(i64::MIN);
        Ok(Self { write_epoch, deletion_watermark, single, ranges, recent, set_aside, valid_until })
    }

    /// The blobs a reader must load.
    ///
    /// Source: kopia `internal/epoch/epoch_manager.go`, `getCompleteIndexSetForCommittedState`.
    pub(in crate::index) fn active(&self, storage: &dyn Storage) -> Result<ActiveSet> {
        let mut start = 0;
        let mut blobs = Vec::new();
        for range in &self.ranges {
            if range.last > start {
                blobs.extend_from_slice(&range.blobs);
                start = range.last.saturating_add(1);
            }
        }
        let settled_end = self.write_epoch.saturating_sub(1);
        if start < settled_end {
            for (_, replacement) in self.single.range(start..settled_end) {
                blobs.extend_from_slice(replacement);
            }
            blobs.extend(self.list_gaps(storage, start, settled_end)?);
        }
        for (_, recent) in self.recent.range(start..) {
            blobs.extend_from_slice(recent);
        }
        Ok(ActiveSet::new(blobs, self.set_aside.clone(), self.deletion_watermark))
    }

    /// Lists the uncompacted blobs of the epochs `start..end` that have no replacement. There are several only after
    /// maintenance has not run for long; then one listing of all is cheaper than one for each.
    fn list_gaps(&self, storage: &dyn Storage, start: i64, end: i64) -> Result<Vec<BlobMetadata>> {
        let replaced = i64::try_from(self.single.range(start..end).count()).unwrap_or(i64::MAX);
        let gaps = end.saturating_sub(start).saturating_sub(replaced);
        let mut blobs = Vec::new();
        if gaps <= LISTINGS_MAX {
            for epoch in (start..end).filter(|epoch| !self.single.contains_key(epoch)) {
                blobs.extend(list(storage, &uncompacted_prefix(epoch))?);
            }
            return Ok(blobs);
        }
        let is_gap = |blob: &BlobMetadata| {
            names::epoch_of(&blob.id).is_some_and(|epoch| {
                (start..end).contains(&epoch)
                    && !self.single.contains_key(&epoch)
                    && blob.id.as_str().starts_with(&uncompacted_prefix(epoch))
            })
        };
        blobs.extend(list(storage, UNCOMPACTED)?.into_iter().filter(is_gap));
        Ok(blobs)
    }
}

/// Groups blobs by a number in their names and keeps the first complete set of each group.
fn complete_by<K: Ord>(
    blobs: Vec<BlobMetadata>,
    key: impl Fn(&BlobMetadata) -> Option<K>,
) -> BTreeMap<K, Vec<BlobMetadata>> {
    let mut groups: BTreeMap<K, Vec<BlobMetadata>> = BTreeMap::new();
    for blob in blobs {
        if let Some(key) = key(&blob) {
            groups.entry(key).or_default().push(blob);
        }
    }
    let complete = |(key, blobs): (K, Vec<_>)| Some((key, names::first_complete_set(&blobs)?));
    groups.into_iter().filter_map(complete).collect()
}

/// Of the ranges that follow each other from epoch 0 those that reach farthest; of equals the fewest.
///
/// Source: kopia `internal/epoch/epoch_range.go`, `findLongestRangeCheckpoint`.
fn longest_chain(mut ranges: Vec<EpochRange>) -> Vec<EpochRange> {
    // From the back, so that the best continuation is known before it is needed: a range begins before it ends.
    ranges.sort_by_key(|range| std::cmp::Reverse(range.first));
    let mut best: BTreeMap<i64, Chain> = BTreeMap::new();
    for (index, range) in ranges.iter().enumerate() {
        let next = best.get(&range.last.saturating_add(1)).filter(|_| range.last < i64::MAX);
        let chain = Chain {
            end: next.map_or(range.last, |next| next.end),
            count: next.map_or(1, |next| next.count + 1),
            range: index,
        };
        let known = best.get(&range.first);
        if known.is_none_or(|known| (chain.end, known.count) > (known.end, chain.count)) {
            best.insert(range.first, chain);
        }
    }
    let mut longest = Vec::new();
    let mut start = 0;
    while let Some(chain) = best.get(&start) {
        let range = &ranges[chain.range];
        longest.push(range.clone());
        match range.last.checked_add(1) {
            Some(next) => start = next,
            None => break,
        }
    }
    longest
}

struct Chain {
    end: i64,
    count: usize,
    /// Index of its first range.
    range: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(ranges: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let ranges = ranges.iter().map(|&(first, last)| EpochRange { first, last, blobs: Vec::new() });
        longest_chain(ranges.collect()).iter().map(|range| (range.first, range.last)).collect()
    }

    #[test]
    fn the_chain_reaches_farthest_with_fewest_ranges() {
        assert_eq!(chain(&[]), []);
        assert_eq!(chain(&[(1, 9)]), []);
        assert_eq!(chain(&[(0, 7), (8, 15), (17, 30)]), [(0, 7), (8, 15)]);
        assert_eq!(chain(&[(0, 7), (8, 15), (0, 15)]), [(0, 15)]);
        assert_eq!(chain(&[(0, 9), (0, 7), (8, 15)]), [(0, 7), (8, 15)]);
        assert_eq!(chain(&[(0, 20), (0, 7), (8, 15)]), [(0, 20)]);
        assert_eq!(chain(&[(0, i64::MAX)]), [(0, i64::MAX)]);
        assert_eq!(chain(&[(8, 15), (0, 7), (16, 16)]), [(0, 7), (8, 15), (16, 16)]);
    }
}
