//! Many blobs in little memory: a name and 32 bytes each.

use crate::base::Timestamp;
use crate::blob::{BlobId, BlobMetadata};

/// A list of blobs.
#[derive(Debug, Default)]
pub(super) struct Listing {
    names: String,
    rows: Vec<Row>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    start: usize,
    name_len: usize,
    length: u64,
    timestamp: Timestamp,
}

impl Listing {
    pub(super) fn push(&mut self, blob: &BlobMetadata) {
        let name = blob.id.as_str();
        let start = self.names.len();
        self.names.push_str(name);
        self.rows.push(Row { start, name_len: name.len(), length: blob.length, timestamp: blob.timestamp });
        self.bytes += blob.length;
    }

    /// Number of blobs.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Brings the blobs into the order of their names, for [`Listing::find`].
    pub(super) fn sort_by_name(&mut self) {
        let names = &self.names;
        self.rows.sort_unstable_by(|a, b| name(names, a).cmp(name(names, b)));
    }

    /// Brings the blobs into the order in which they were written, as far as the store's clock tells it.
    pub(super) fn sort_by_time(&mut self) {
        let names = &self.names;
        self.rows.sort_unstable_by(|a, b| (a.timestamp, name(names, a)).cmp(&(b.timestamp, name(names, b))));
    }

    /// The place of a blob in a list that is sorted by name.
    pub(super) fn find(&self, id: &BlobId) -> Option<usize> {
        self.rows.binary_search_by(|row| name(&self.names, row).cmp(id.as_str())).ok()
    }

    /// The blob at a place.
    pub(super) fn get(&self, at: usize) -> Option<BlobMetadata> {
        self.rows.get(at).map(|row| self.blob(row))
    }

    /// All blobs.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = BlobMetadata> + '_ {
        self.rows.iter().map(|row| self.blob(row))
    }

    fn blob(&self, row: &Row) -> BlobMetadata {
        BlobMetadata {
            id: BlobId::from(name(&self.names, row)),
            length: row.length,
            timestamp: row.timestamp,
        }
    }
}

fn name<'a>(names: &'a str, row: &Row) -> &'a str {
    &names[row.start..row.start + row.name_len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_sorted() {
        let blob = |id: &str, seconds| BlobMetadata {
            id: id.into(),
            length: id.len() as u64,
            timestamp: Timestamp::from_seconds(seconds, 0),
        };
        let mut listing = Listing::default();
        let given = [blob("pb", 1), blob("kopia.repository", 3), blob("pa", 2)];
        for blob in &given {
            listing.push(blob);
        }
        assert_eq!((listing.len(), listing.bytes(), listing.is_empty()), (3, 20, false));
        listing.sort_by_name();
        assert_eq!(listing.find(&"pb".into()), Some(2));
        assert_eq!(listing.find(&"pc".into()), None);
        assert_eq!(listing.get(0).unwrap(), given[1]);
        assert_eq!(listing.get(3), None);
        listing.sort_by_time();
        assert_eq!(
            listing.iter().map(|blob| blob.id).collect::<Vec<_>>(),
            ["pb".into(), "pa".into(), given[1].id.clone()]
        );
    }
}
