//! Blobs as objects of a bucket: S3 and what speaks its protocol.
//!
//! A blob is one object under prefix and name, put by one request of known length whose bytes are signed; nobody sees half
//! of one. Objects of other names, or with a `/` after the prefix, are foreign and passed over.
//!
//! Invariants:
//! - **S1** a put counts only when the store answered as a store does, with an entity tag: what a proxy or login page says
//!   is no success;
//! - **S2** that a blob is missing is believed only of an answer that says so and not that the bucket is missing;
//! - **S3** a listing ends with an error or is complete: pages that fail in passing are asked for again, each on its own;
//! - **S4** each call is one attempt here (pages of listings apart); [`Retrying`](super::Retrying) repeats.
//!
//! Source: kopia `repo/blob/s3/s3_storage.go`.

mod call;
mod client;
mod credentials;
mod endpoint;
mod etag;
mod fault;
mod list;
mod options;
mod point_in_time;
mod read;
mod storage_class;
mod tls;
mod transport;
mod write;

pub use endpoint::r2_endpoint;
pub use options::S3Options;

use super::remote::{Cause, Pace, Timeouts, block_on, watched};
use super::storage::check_name;
use super::{
    BlobId, BlobMetadata, ByteRange, Error, PutOptions, REMOTE_PARALLELISM, ReadOnly, Result, Retention,
    Storage,
};
use crate::base::{Clock, ErrorClass, Timestamp};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use bytes::Bytes;
use call::Call;
use endpoint::Endpoint;
use etag::TagCheck;
use fault::{Fault, Scene};
use point_in_time::PointInTime;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use storage_class::StorageClasses;

/// R2 answers 429 when one key is written more often than once a second.
const R2_WRITE_DISTANCE: Duration = Duration::from_secs(1);

/// A store in a bucket.
pub struct S3 {
    client: Client,
    options: S3Options,
    endpoint: Endpoint,
    timeouts: Timeouts,
    clock: Arc<dyn Clock>,
    classes: StorageClasses,
    tags: TagCheck,
    /// For stores that take one write of a key in a while.
    pace: Option<Pace>,
    has_locks: bool,
}

impl S3 {
    /// Opens the store that `options` describe, or the read-only view of a moment if they name one. The bucket must be
    /// there; no call ever makes one.
    ///
    /// # Errors
    /// [`Error::Remote`], and [`Error::Other`] for options that make no sense.
    pub fn open(options: S3Options, timeouts: Timeouts, clock: Arc<dyn Clock>) -> Result<Arc<dyn Storage>> {
        if options.bucket.is_empty() || options.endpoint.is_empty() {
            return Err(unusable("bucket and endpoint must be given"));
        }
        let store = Self::connect(options, timeouts, clock)?;
        match store.options.point_in_time {
            Some(moment) => Ok(Arc::new(ReadOnly::new(Arc::new(PointInTime::open(store, moment)?)))),
            None => Ok(Arc::new(store)),
        }
    }

    fn connect(options: S3Options, timeouts: Timeouts, clock: Arc<dyn Clock>) -> Result<Self> {
        let endpoint = Endpoint::of(&options);
        let region = endpoint.region(&options);
        let mut store = Self {
            client: block_on(client::client(&options, &endpoint, region, &timeouts))?,
            pace: endpoint.is_r2().then(|| Pace::new(R2_WRITE_DISTANCE)),
            has_locks: !endpoint.is_r2(),
            options,
            endpoint,
            timeouts,
            clock,
            classes: StorageClasses::default(),
            tags: TagCheck::default(),
        };
        store.classes = match store.load_classes() {
            Err(Fault::Cause(Cause::WrongRegion { region: Some(region) }))
                if store.options.region.is_empty() =>
            {
                store.client = block_on(client::client(&store.options, &store.endpoint, region, &timeouts))?;
                store.load_classes()
            }
            outcome => outcome,
        }
        .map_err(|fault| store.failed("open", &format!("bucket {}", store.options.bucket), fault))?;
        Ok(store)
    }

    /// The hidden document about storage classes; it also proves that bucket and keys are good.
    fn load_classes(&self) -> Result<StorageClasses, Fault> {
        let id = BlobId::from(storage_class::KEY);
        match self.read(&id, None, None) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|_| Fault::Cause(Cause::Rejected { status: 200, code: "storageconfig".to_owned() })),
            Err(Fault::Missing) => Ok(StorageClasses::default()),
            Err(fault) => Err(fault),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.options.prefix)
    }

    /// Sends one request, watched.
    fn send<T, E>(
        &self,
        operation: &'static str,
        call: &Call,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answer = block_on(watched(request, call.progress(), &self.timeouts))?;
        let head = call.head();
        match answer {
            Ok(_) if head.is_page => Err(Cause::NotUnderstood { status: head.status }.into()),
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.scene(operation).fault(&error, call)),
        }
    }

    fn scene(&self, operation: &'static str) -> Scene<'_> {
        Scene {
            host: &self.endpoint.authority,
            bucket: &self.options.bucket,
            operation,
            now: self.clock.now(),
            connect_seconds: self.timeouts.connect.as_secs(),
        }
    }

    fn failed(&self, operation: &'static str, subject: &str, fault: Fault) -> Error {
        let cause = match fault {
            Fault::Cause(cause) => cause,
            Fault::Missing | Fault::Range => Cause::NotUnderstood { status: 404 },
        };
        tracing::debug!(host = self.endpoint.authority, operation, subject, %cause, "request failed");
        Error::Remote { operation, subject: subject.to_owned(), cause }
    }

    fn blob_error(
        &self,
        operation: &'static str,
        id: &BlobId,
        range: Option<ByteRange>,
        fault: Fault,
    ) -> Error {
        match (fault, range) {
            (Fault::Missing, _) => Error::NotFound { id: id.clone() },
            (Fault::Range, Some(range)) => Error::InvalidRange { id: id.clone(), range },
            (Fault::Cause(Cause::NotImplemented { .. }), _) if operation.contains("lock") => {
                Error::Unsupported { option: "object lock" }
            }
            (fault, _) => self.failed(operation, &format!("blob {id}"), fault),
        }
    }
}

impl Storage for S3 {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        check_name(id)?;
        self.read(id, range, None).map_err(|fault| self.blob_error("read", id, range, fault))
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        check_name(id)?;
        self.read_within(id, range).map_err(|fault| self.blob_error("read", id, Some(range), fault))
    }

    fn parallelism(&self) -> usize {
        REMOTE_PARALLELISM
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        check_name(id)?;
        self.describe(id).map_err(|fault| self.blob_error("look at", id, None, fault))
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        check_name(id)?;
        if options.set_timestamp.is_some() {
            return Err(Error::Unsupported { option: "setting times of blobs" });
        }
        if options.retention.is_some() && !self.has_locks {
            return Err(Error::Unsupported { option: "object lock" });
        }
        if let Some(pace) = &self.pace {
            pace.wait(id, &*self.clock);
        }
        let operation = if options.retention.is_some() { "write and lock" } else { "write" };
        self.write(operation, id, data, options.retention)
            .map_err(|fault| self.blob_error(operation, id, None, fault))
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        check_name(id)?;
        match self.remove(id) {
            Ok(()) | Err(Fault::Missing) => Ok(()),
            Err(fault) => Err(self.blob_error("delete", id, None, fault)),
        }
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        ids.iter().try_for_each(check_name)?;
        self.remove_many(ids)
    }

    fn extend_retention(&self, id: &BlobId, retention: Retention) -> Result<()> {
        check_name(id)?;
        if !self.has_locks {
            return Err(Error::Unsupported { option: "object lock" });
        }
        self.lock(id, retention).map_err(|fault| self.blob_error("lock", id, None, fault))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        self.list_blobs(prefix, visit)
    }

    fn display_name(&self) -> String {
        format!("S3: {} {}", self.options.endpoint, self.options.bucket)
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A store cannot be made of these options.
fn unusable(message: &str) -> Error {
    Error::Other {
        message: format!("the options of the s3 store cannot be used: {message}"),
        class: ErrorClass::Invalid,
    }
}

fn timestamp(time: &DateTime) -> Timestamp {
    Timestamp::from_seconds(time.secs(), i64::from(time.subsec_nanos()))
}
