//! A bucket that keeps versions, as it was at a moment.

use super::call::Call;
use super::fault::Fault;
use super::list::subject;
use super::{S3, timestamp};
use crate::base::Timestamp;
use crate::blob::backoff::Backoff;
use crate::blob::remote::Cause;
use crate::blob::storage::check_name;
use crate::blob::{BlobId, BlobMetadata, ByteRange, Error, PutOptions, REMOTE_PARALLELISM, Result, Storage};
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::types::BucketVersioningStatus;
use bytes::Bytes;
use std::cmp::Reverse;

/// The view: of each blob the newest version that is not younger than the moment, unless that says that it was deleted.
///
/// Source: kopia `repo/blob/s3/s3_pit.go`.
#[derive(Debug)]
pub(super) struct PointInTime {
    store: S3,
    moment: Timestamp,
}

/// One version of a key, or the mark of its deletion.
#[derive(Debug, Clone)]
struct Version {
    blob: BlobMetadata,
    id: String,
    is_latest: bool,
    is_deleted: bool,
}

/// Where the next page begins: key and version.
type Marker = (Option<String>, Option<String>);

impl PointInTime {
    /// # Errors
    /// [`Error::Remote`], or [`Error::Unsupported`] for a bucket that keeps no versions.
    pub(super) fn open(store: S3, moment: Timestamp) -> Result<Self> {
        let call = Call::default();
        let request = store.client.get_bucket_versioning().bucket(&store.options.bucket);
        let request = request.customize().mutate_request(call.attach());
        let answer = store
            .send("look at versions", &call, request.send())
            .map_err(|fault| store.failed("look at", "the versions of the bucket", fault))?;
        match answer.status {
            Some(BucketVersioningStatus::Enabled) => Ok(Self { store, moment }),
            _ => Err(Error::Unsupported { option: "points in time: the bucket keeps no versions" }),
        }
    }

    /// The version of a blob at the moment.
    fn find(&self, id: &BlobId) -> Result<Version> {
        check_name(id)?;
        let mut versions = Vec::new();
        self.versions(id.as_str(), Some(id), &mut |version| {
            versions.push(version);
            Ok(())
        })?;
        self.choose(versions).ok_or_else(|| Error::NotFound { id: id.clone() })
    }

    fn choose(&self, mut versions: Vec<Version>) -> Option<Version> {
        versions.retain(|version| version.blob.timestamp <= self.moment);
        // Times are whole seconds: of two in one, the latest of all is the later.
        versions.sort_by_key(|version| Reverse((version.blob.timestamp, version.is_latest)));
        versions.into_iter().next().filter(|version| !version.is_deleted)
    }

    /// Calls `take` for every version of the keys with `prefix`, those of a key behind each other. With `only`, stops after
    /// that key.
    fn versions(
        &self,
        prefix: &str,
        only: Option<&BlobId>,
        take: &mut dyn FnMut(Version) -> Result<()>,
    ) -> Result<()> {
        let mut marker = (None, None);
        let mut kept: Vec<Version> = Vec::new();
        loop {
            let page = self.page(prefix, &marker)?;
            let next = (page.next_key_marker.clone(), page.next_version_id_marker.clone());
            let is_last = page.is_truncated != Some(true) || next == marker || next.0.is_none();
            kept.extend(self.versions_of(&page));
            // Stable: of a key, earlier pages stay before later ones.
            kept.sort_by(|a, b| a.blob.id.cmp(&b.blob.id));
            // The last key may go on in the next page.
            let open = kept.last().map(|version| version.blob.id.clone()).filter(|_| !is_last);
            let cut = kept.partition_point(|version| Some(&version.blob.id) != open.as_ref());
            for version in kept.drain(..cut) {
                if only.is_none_or(|only| *only == version.blob.id) {
                    take(version)?;
                }
            }
            if is_last || only.zip(open.as_ref()).is_some_and(|(only, open)| open > only) {
                return Ok(());
            }
            marker = next;
        }
    }

    fn page(&self, prefix: &str, marker: &Marker) -> Result<ListObjectVersionsOutput> {
        let store = &self.store;
        // Whoever asked repeats what fails at the first page; what was told before cannot be told again.
        let attempts = if *marker == (None, None) { Backoff::of_attempts(1) } else { Backoff::KOPIA };
        attempts.run(&*store.clock, || {
            let call = Call::default();
            let request = store
                .client
                .list_object_versions()
                .bucket(&store.options.bucket)
                .prefix(store.key(prefix))
                .set_key_marker(marker.0.clone())
                .set_version_id_marker(marker.1.clone())
                .customize()
                .mutate_request(call.attach());
            let answer = store.send("list versions", &call, request.send());
            let answer = answer.and_then(|page| match page.is_truncated {
                None if page.name.is_none() => Err(Fault::Cause(Cause::NotUnderstood { status: 200 })),
                _ => Ok(page),
            });
            answer.map_err(|fault| store.failed("list versions of", &subject(prefix), fault))
        })
    }

    fn versions_of<'a>(&'a self, page: &'a ListObjectVersionsOutput) -> impl Iterator<Item = Version> + 'a {
        let written = page.versions().iter().filter_map(|version| {
            let length = u64::try_from(version.size?).ok()?;
            let blob = self.describe(version.key()?, length, version.last_modified()?)?;
            let id = version.version_id()?.to_owned();
            Some(Version { blob, id, is_latest: version.is_latest?, is_deleted: false })
        });
        let deleted = page.delete_markers().iter().filter_map(|marker| {
            let blob = self.describe(marker.key()?, 0, marker.last_modified()?)?;
            let id = marker.version_id()?.to_owned();
            Some(Version { blob, id, is_latest: marker.is_latest?, is_deleted: true })
        });
        written.chain(deleted)
    }

    fn describe(&self, key: &str, length: u64, time: &aws_smithy_types::DateTime) -> Option<BlobMetadata> {
        let id = BlobId::from(key.strip_prefix(&self.store.options.prefix)?);
        id.is_valid().then(|| BlobMetadata { id, length, timestamp: timestamp(time) })
    }
}

impl Storage for PointInTime {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let version = self.find(id)?;
        self.store
            .read(id, range, Some(&version.id))
            .map_err(|fault| self.store.blob_error("read", id, range, fault))
    }

    fn parallelism(&self) -> usize {
        REMOTE_PARALLELISM
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        self.find(id).map(|version| version.blob)
    }

    fn put(&self, id: &BlobId, _data: Bytes, _options: PutOptions) -> Result<()> {
        Err(Error::ReadOnly { id: id.clone() })
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        Err(Error::ReadOnly { id: id.clone() })
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let mut of_key: Vec<Version> = Vec::new();
        self.versions(prefix, None, &mut |version| {
            if of_key.first().is_some_and(|first| first.blob.id != version.blob.id) {
                let done = std::mem::take(&mut of_key);
                self.choose(done).map_or(Ok(()), |version| visit(version.blob))?;
            }
            of_key.push(version);
            Ok(())
        })?;
        self.choose(of_key).map_or(Ok(()), |version| visit(version.blob))
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn display_name(&self) -> String {
        self.store.display_name()
    }
}
