//! Blobs as objects of Azure and Google's cloud, through the services of `opendal`.
//!
//! Invariants:
//! - **O1** each call is one attempt (the library's own retries are not used); [`Retrying`](super::Retrying) repeats;
//! - **O2** requests go out by our client, with its limits of time ([`transport`]);
//! - **O3** that a blob is missing is believed of an answer that says so; whether the bucket is there is asked when the
//!   store is opened.
//!
//! Differences from Kopia: no object locks, and times are always the server's.
//!
//! Source: kopia `repo/blob/{azure,gcs}`.

mod options;
mod services;
mod transport;

pub use options::{AzureOptions, GcsOptions};

use super::remote::{Cause, Timeouts, block_on};
use super::storage::check_name;
use super::{
    BlobId, BlobMetadata, ByteRange, Error, PutOptions, REMOTE_PARALLELISM, ReadOnly, Result, Storage,
};
use crate::base::{ExtraFields, Timestamp};
use bytes::Bytes;
use futures_core::Stream;
use opendal::{ErrorKind, Lister, Metadata, Operator};
use parking_lot::Mutex;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use transport::NOTE;

/// No blob has a name of which this is the beginning.
const NOBODY: &str = "packhorse-looks-whether-the-bucket-is-there";

/// Opens a container in Azure.
///
/// # Errors
/// [`Error::Remote`].
pub(super) fn open_azure(options: &AzureOptions, timeouts: Timeouts) -> Result<Arc<dyn Storage>> {
    let operator = services::azure(options, timeouts);
    ObjectStore::open(operator, &options.prefix, &options.extra, &format!("Azure: {}", options.container))
}

/// Opens a bucket in Google's cloud.
///
/// # Errors
/// [`Error::Remote`].
pub(super) fn open_gcs(options: &GcsOptions, timeouts: Timeouts) -> Result<Arc<dyn Storage>> {
    let operator = services::gcs(options, timeouts);
    let store =
        ObjectStore::open(operator, &options.prefix, &options.extra, &format!("GCS: {}", options.bucket))?;
    Ok(if options.read_only { Arc::new(ReadOnly::new(store)) } else { store })
}

/// A store of objects.
struct ObjectStore {
    operator: Operator,
    prefix: String,
    name: String,
}

/// What a failed call of the library comes to.
struct Failure {
    kind: ErrorKind,
    cause: Cause,
}

impl ObjectStore {
    fn open(
        operator: Result<Operator, Cause>,
        prefix: &str,
        extra: &ExtraFields,
        name: &str,
    ) -> Result<Arc<dyn Storage>> {
        if extra.get("pointInTime").is_some_and(|moment| moment != "null") {
            return Err(Error::Unsupported { option: "looking at a point in time (pointInTime)" });
        }
        let failed = |cause| Error::Remote { operation: "open", subject: name.to_owned(), cause };
        if prefix.starts_with('/') || prefix.contains("//") {
            let detail = "a prefix must not begin with a slash or hold two of them in a row".to_owned();
            return Err(failed(Cause::Misconfigured { detail }));
        }
        let store =
            Self { operator: operator.map_err(failed)?, prefix: prefix.to_owned(), name: name.to_owned() };
        store.list(NOBODY, &mut |_| Ok(()))?;
        Ok(Arc::new(store))
    }

    fn path(&self, id: &BlobId) -> Result<String> {
        check_name(id)?;
        Ok(format!("{}{id}", self.prefix))
    }

    /// Runs a call of the library, and asks the transport what went wrong.
    fn run<T>(call: impl Future<Output = opendal::Result<T>>) -> Result<T, Failure> {
        let note = Arc::new(Mutex::new(None));
        block_on(NOTE.scope(Arc::clone(&note), call)).map_err(|error| {
            let noted = note.lock().take();
            Failure { kind: error.kind(), cause: noted.unwrap_or_else(|| of_kind(&error)) }
        })
    }

    fn failed(operation: &'static str, subject: String, failure: Failure) -> Error {
        let cause = match failure.cause {
            Cause::AccessDenied { code, .. } => Cause::AccessDenied { operation, code },
            cause => cause,
        };
        tracing::debug!(operation, subject, %cause, "request failed");
        Error::Remote { operation, subject, cause }
    }

    fn blob_error(operation: &'static str, id: &BlobId, range: Option<ByteRange>, failure: Failure) -> Error {
        match (failure.kind, range) {
            (ErrorKind::NotFound, _) => Error::NotFound { id: id.clone() },
            (_, Some(range)) if is_outside(&failure) => Error::InvalidRange { id: id.clone(), range },
            _ => Self::failed(operation, format!("blob {id}"), failure),
        }
    }

    fn stat(&self, id: &BlobId) -> Result<Metadata> {
        let path = self.path(id)?;
        Self::run(self.operator.stat(&path)).map_err(|failure| Self::blob_error("look at", id, None, failure))
    }
}

/// Whether the service answered that the object does not have the range.
fn is_outside(failure: &Failure) -> bool {
    failure.kind == ErrorKind::RangeNotSatisfied
        || matches!(failure.cause, Cause::Rejected { status: 416, .. })
}

/// A cause for errors that no request led to.
fn of_kind(error: &opendal::Error) -> Cause {
    match error.kind() {
        ErrorKind::PermissionDenied => Cause::NoCredentials { detail: "the service's client found none" },
        ErrorKind::ConfigInvalid => {
            Cause::Misconfigured { detail: "the client cannot use these options".to_owned() }
        }
        ErrorKind::Unsupported => Cause::NotImplemented { code: String::new() },
        _ if error.is_temporary() => Cause::Reset,
        _ => Cause::NotUnderstood { status: 0 },
    }
}

/// The time of an object. None is an error: maintenance deletes by age, and nothing may seem older than it is.
fn time_of(id: &BlobId, metadata: &Metadata) -> Result<Timestamp> {
    let Some(time) = metadata.last_modified() else {
        let cause = Cause::NotUnderstood { status: 200 };
        return Err(Error::Remote { operation: "tell the age of", subject: format!("blob {id}"), cause });
    };
    let time = time.into_inner();
    Ok(Timestamp::from_seconds(time.as_second(), time.subsec_nanosecond().into()))
}

impl Storage for ObjectStore {
    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let path = self.path(id)?;
        let failed = |failure| Self::blob_error("read", id, range, failure);
        let Some(asked) = range else {
            return Self::run(self.operator.read(&path)).map(|data| data.to_vec()).map_err(failed);
        };
        // Ranges come out of index files: what no object has is not asked for.
        let end = asked.offset.checked_add(asked.length).filter(|end| i64::try_from(*end).is_ok());
        let Some(end) = end.filter(|_| asked.length > 0) else {
            self.stat(id)?;
            return if asked.length == 0 {
                Ok(Vec::new())
            } else {
                Err(Error::InvalidRange { id: id.clone(), range: asked })
            };
        };
        let data = Self::run(async { self.operator.read_with(&path).range(asked.offset..end).await });
        let data = match data {
            // The library calls it an unexpected answer when an object ends inside a range.
            Err(Failure { kind: ErrorKind::Unexpected, cause: Cause::NotUnderstood { status: 0 } })
                if self.stat(id)?.content_length() < end =>
            {
                return Err(Error::InvalidRange { id: id.clone(), range: asked });
            }
            outcome => outcome.map_err(failed)?.to_vec(),
        };
        if data.len() as u64 == asked.length {
            Ok(data)
        } else {
            Err(Error::InvalidRange { id: id.clone(), range: asked })
        }
    }

    fn parallelism(&self) -> usize {
        REMOTE_PARALLELISM
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        let found = self.stat(id)?;
        Ok(BlobMetadata { id: id.clone(), length: found.content_length(), timestamp: time_of(id, &found)? })
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        let path = self.path(id)?;
        if options.retention.is_some() {
            return Err(Error::Unsupported { option: "object lock" });
        }
        if options.set_timestamp.is_some() {
            return Err(Error::Unsupported { option: "setting times of blobs" });
        }
        let written = Self::run(self.operator.write(&path, data));
        written.map(|_| ()).map_err(|failure| Self::blob_error("write", id, None, failure))
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        let path = self.path(id)?;
        match Self::run(self.operator.delete(&path)) {
            Err(failure) if failure.kind != ErrorKind::NotFound => {
                Err(Self::blob_error("delete", id, None, failure))
            }
            _ => Ok(()),
        }
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let failed = |failure| Self::failed("list", self.name.clone(), failure);
        let full = format!("{}{prefix}", self.prefix);
        let mut lister: Lister =
            Self::run(async { self.operator.lister_with(&full).recursive(true).await }).map_err(failed)?;
        let mut next = || {
            Self::run(async { poll_fn(|cx| Pin::new(&mut lister).poll_next(cx)).await.transpose() })
                .map_err(failed)
        };
        while let Some(entry) = next()? {
            let Some(name) = entry.path().strip_prefix(&self.prefix) else { continue };
            let (id, metadata) = (BlobId::from(name), entry.metadata());
            if id.is_valid() && name.starts_with(prefix) && metadata.is_file() {
                let timestamp = time_of(&id, metadata)?;
                visit(BlobMetadata { id, length: metadata.content_length(), timestamp })?;
            }
        }
        Ok(())
    }

    fn display_name(&self) -> String {
        self.name.clone()
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore").field("name", &self.name).finish_non_exhaustive()
    }
}
