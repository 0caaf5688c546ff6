//! Writing, locking and deleting blobs.

use super::S3;
use super::call::Call;
use super::etag::base64_md5;
use super::fault::Fault;
use crate::base::Timestamp;
use crate::blob::remote::Cause;
use crate::blob::{BlobId, Result, Retention, RetentionMode};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    Delete, ObjectIdentifier, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, StorageClass,
};
use aws_smithy_types::DateTime;
use bytes::Bytes;

const CONTENT_TYPE: &str = "application/x-kopia";
/// What one request may delete.
const DELETE_MAX: usize = 1000;

impl S3 {
    /// Puts a blob with one request.
    pub(super) fn write(
        &self,
        operation: &'static str,
        id: &BlobId,
        data: Bytes,
        retention: Option<Retention>,
    ) -> Result<(), Fault> {
        let call = Call::with_body(data.clone());
        let mut request = self
            .client
            .put_object()
            .bucket(&self.options.bucket)
            .key(self.key(id.as_str()))
            .content_type(CONTENT_TYPE)
            .set_storage_class(self.classes.of(id).map(StorageClass::from));
        if let Some(retention) = retention {
            request = request
                .content_md5(base64_md5(&data))
                .object_lock_mode(match retention.mode {
                    RetentionMode::Governance => ObjectLockMode::Governance,
                    RetentionMode::Compliance => ObjectLockMode::Compliance,
                })
                .object_lock_retain_until_date(self.until(retention));
        }
        let request = request.body(ByteStream::from(data)).customize().mutate_request(call.attach());
        let answer = self.send(operation, &call, request.send())?;
        // S1: proxies and login pages answer 200, too.
        match answer.e_tag {
            Some(_) => Ok(()),
            None => Err(Cause::NotUnderstood { status: call.head().status }.into()),
        }
    }

    /// Locks a blob for longer.
    pub(super) fn lock(&self, id: &BlobId, retention: Retention) -> Result<(), Fault> {
        let call = Call::default();
        let mode = match retention.mode {
            RetentionMode::Governance => ObjectLockRetentionMode::Governance,
            RetentionMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let lock = ObjectLockRetention::builder().mode(mode).retain_until_date(self.until(retention)).build();
        let request = self
            .client
            .put_object_retention()
            .bucket(&self.options.bucket)
            .key(self.key(id.as_str()))
            .retention(lock)
            .customize()
            .mutate_request(call.attach_with_md5());
        self.send("lock", &call, request.send()).map(drop)
    }

    /// The end of a lock, in whole seconds, never too early.
    fn until(&self, retention: Retention) -> DateTime {
        let nanos = i64::try_from(retention.period.as_nanos()).unwrap_or(i64::MAX);
        let end: Timestamp = self.clock.now().saturating_add_nanos(nanos);
        DateTime::from_secs(end.as_seconds().saturating_add(1))
    }

    /// Deletes a blob.
    pub(super) fn remove(&self, id: &BlobId) -> Result<(), Fault> {
        let call = Call::default();
        let request = self
            .client
            .delete_object()
            .bucket(&self.options.bucket)
            .key(self.key(id.as_str()))
            .customize()
            .mutate_request(call.attach());
        self.send("delete", &call, request.send()).map(drop)
    }

    /// Deletes many blobs, a thousand at a time; one by one where the store cannot.
    pub(super) fn remove_many(&self, ids: &[BlobId]) -> Result<()> {
        for batch in ids.chunks(DELETE_MAX) {
            match self.remove_batch(batch) {
                Ok(()) => {}
                Err(Fault::Cause(Cause::NotImplemented { .. } | Cause::Rejected { .. })) => {
                    batch.iter().try_for_each(|id| crate::blob::Storage::delete(self, id))?;
                }
                Err(fault) => return Err(self.failed("delete", &several(batch), fault)),
            }
        }
        Ok(())
    }

    fn remove_batch(&self, batch: &[BlobId]) -> Result<(), Fault> {
        let call = Call::default();
        let objects = batch.iter().map(|id| {
            ObjectIdentifier::builder().key(self.key(id.as_str())).build().expect("the key is set")
        });
        let delete = Delete::builder().set_objects(Some(objects.collect())).quiet(true).build();
        let request = self
            .client
            .delete_objects()
            .bucket(&self.options.bucket)
            .delete(delete.expect("the objects are set"))
            .customize()
            .mutate_request(call.attach_with_md5());
        let answer = self.send("delete", &call, request.send())?;
        let mut failed = answer.errors().iter().filter(|error| error.code() != Some("NoSuchKey"));
        match failed.next() {
            None => Ok(()),
            Some(error) => Err(self.scene("delete").of_key(error.code().unwrap_or_default(), &call)),
        }
    }
}

/// What a message says of several blobs.
fn several(ids: &[BlobId]) -> String {
    match ids {
        [one] => format!("blob {one}"),
        _ => format!("{} blobs", ids.len()),
    }
}
