//! A view of the epochs, and which blobs are active in it.

use super::names::{self, ALL, MARKER, RANGE, SINGLE, WATERMARK};
use crate::base::{Clock, Timestamp};
use crate::blob::{BlobMetadata, Storage};
use crate::format::EpochParameters;
use crate::index::blobs::{ActiveSet, list};
use crate::index::{Error, Result};
use std::collections::BTreeMap;

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
    /// Uncompacted blobs of all epochs, those included that were replaced and not yet deleted.
    pub(in crate::index) uncompacted: BTreeMap<i64, Vec<BlobMetadata>>,
    /// Blobs without content that would have counted.
    pub(in crate::index) set_aside: Vec<BlobMetadata>,
    pub(in crate::index) valid_until: Timestamp,
}

impl State {
    /// Looks at the store, with a single listing: each costs a request, and the time of one.
    ///
    /// It may show markers and uncompacted blobs in any order, so blobs that are written meanwhile may be missing. That
    /// harms nobody: into epochs that count as settled in this view, nobody has written for at least the time in which a
    /// view must be complete. They end two epochs before the last marker, and an epoch lasts three times that long.
    ///
    /// Source: kopia `internal/epoch/epoch_manager.go`, `refreshAttemptLocked`, which lists each kind for itself.
    pub(in crate::index) fn load(
        storage: &dyn Storage,
        parameters: &EpochParameters,
        clock: &dyn Clock,
    ) -> Result<Self> {
        let valid_until = clock.now().saturating_add_nanos(parameters.epoch_refresh_frequency);
        let state = Self::of(list(storage, ALL)?, valid_until);
        if clock.now() > valid_until {
            return Err(Error::TooSlow { operation: "list index blobs" });
        }
        Ok(state)
    }

    /// The view that `blobs` give, sorted by name.
    fn of(blobs: Vec<BlobMetadata>, valid_until: Timestamp) -> Self {
        let (mut write_epoch, mut watermark, mut set_aside) = (0, None, Vec::new());
        let (mut single, mut ranges) = (Vec::new(), Vec::new());
        let mut uncompacted: BTreeMap<i64, Vec<BlobMetadata>> = BTreeMap::new();
        for blob in blobs {
            let kind = blob.id.as_str().get(..MARKER.len()).unwrap_or_default();
            match kind {
                MARKER => write_epoch = write_epoch.max(names::epoch_of(&blob.id).unwrap_or(0)),
                WATERMARK => watermark = watermark.max(names::watermark_of(&blob.id)),
                SINGLE | RANGE if blob.length == 0 => set_aside.push(blob),
                SINGLE => single.push(blob),
                RANGE => ranges.push(blob),
                _ => {
                    if let Some(epoch) = names::uncompacted_epoch_of(&blob.id) {
                        uncompacted.entry(epoch).or_default().push(blob);
                    }
                }
            }
        }
        let single = complete_by(single, |blob| names::epoch_of(&blob.id));
        let ranges = complete_by(ranges, |blob| names::range_of(&blob.id));
        let ranges = ranges.into_iter().map(|((first, last), blobs)| EpochRange { first, last, blobs });
        let ranges = longest_chain(ranges.collect());
        let deletion_watermark = watermark.unwrap_or(i64::MIN);
        Self { write_epoch, deletion_watermark, single, ranges, uncompacted, set_aside, valid_until }
    }

    /// The blobs a reader must load.
    ///
    /// Source: kopia `internal/epoch/epoch_manager.go`, `getCompleteIndexSetForCommittedState`.
    pub(in crate::index) fn active(&self) -> ActiveSet {
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
        }
        let is_replaced = |epoch| epoch < settled_end && self.single.contains_key(&epoch);
        let end = self.write_epoch.saturating_add(1);
        let counting = self.uncompacted.iter().filter(|(epoch, _)| (start..=end).contains(*epoch));
        for (_, uncompacted) in counting.filter(|(epoch, _)| !is_replaced(**epoch)) {
            blobs.extend_from_slice(uncompacted);
        }
        ActiveSet::new(blobs, self.set_aside.clone(), self.deletion_watermark)
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
