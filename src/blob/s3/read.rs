//! Reading blobs and looking at them.

use super::call::Call;
use super::fault::{Fault, broken_body};
use super::{S3, timestamp};
use crate::blob::remote::{Cause, block_on, watched};
use crate::blob::{BlobId, BlobMetadata, ByteRange};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;

/// Room that is made before the first byte is there; the length is only what a server says.
const RESERVED_BYTES_MAX: u64 = 64 << 20;

impl S3 {
    /// Reads a blob, or a range, or a version.
    pub(super) fn read(
        &self,
        id: &BlobId,
        range: Option<ByteRange>,
        version: Option<&str>,
    ) -> Result<Vec<u8>, Fault> {
        match range {
            None => self.read_whole(id, version),
            Some(ByteRange { length: 0, .. }) if version.is_some() => Ok(Vec::new()),
            Some(ByteRange { length: 0, .. }) => self.describe(id).map(|_| Vec::new()),
            Some(range) => self.read_range(id, range, version),
        }
    }

    fn read_whole(&self, id: &BlobId, version: Option<&str>) -> Result<Vec<u8>, Fault> {
        let (call, answer) = self.fetch(id, None, version)?;
        let expected = length_of(&answer);
        let tag = answer.e_tag.unwrap_or_default();
        let data = self.receive(&call, answer.body, expected)?;
        if call.head().is_plain && !self.tags.fits(id, &tag, &data) {
            return Err(Cause::Damaged { bytes: data.len() as u64 }.into());
        }
        Ok(data)
    }

    fn read_range(&self, id: &BlobId, range: ByteRange, version: Option<&str>) -> Result<Vec<u8>, Fault> {
        let last = range.offset.checked_add(range.length - 1).filter(|last| i64::try_from(*last).is_ok());
        let Some(last) = last else {
            // No server needs to be asked for such a range, but for whether the blob is there.
            return Err(self.describe(id).err().unwrap_or(Fault::Range));
        };
        let (call, answer) = self.fetch(id, Some(format!("bytes={}-{last}", range.offset)), version)?;
        if call.head().status == 200 && answer.content_range.is_none() {
            return self.cut_out(&call, answer, range);
        }
        match length_of(&answer) {
            length if length == range.length => self.receive(&call, answer.body, length),
            _ => Err(Fault::Range),
        }
    }

    /// What the blob has of a range, in one request.
    pub(super) fn read_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>, Fault> {
        let last = range.offset.saturating_add(range.length).min(i64::MAX as u64);
        if range.length == 0 || last <= range.offset {
            return self.describe(id).map(|_| Vec::new());
        }
        let asked = format!("bytes={}-{}", range.offset, last - 1);
        let (call, answer) = match self.fetch(id, Some(asked), None) {
            Err(Fault::Range) => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let is_whole = call.head().status == 200 && answer.content_range.is_none();
        let expected = length_of(&answer);
        let mut data = self.receive(&call, answer.body, expected)?;
        if is_whole {
            data.drain(..(range.offset.min(expected) as usize));
        }
        data.truncate(range.length as usize);
        Ok(data)
    }

    /// A server that sends the whole blob, though a part was asked for, may do so.
    fn cut_out(&self, call: &Call, answer: GetObjectOutput, range: ByteRange) -> Result<Vec<u8>, Fault> {
        let expected = length_of(&answer);
        let mut data = self.receive(call, answer.body, expected)?;
        let end = range.offset.checked_add(range.length).and_then(|end| usize::try_from(end).ok());
        let Some(end) = end.filter(|end| *end <= data.len()) else { return Err(Fault::Range) };
        data.truncate(end);
        Ok(data.split_off(range.offset as usize))
    }

    fn fetch(
        &self,
        id: &BlobId,
        range: Option<String>,
        version: Option<&str>,
    ) -> Result<(Call, GetObjectOutput), Fault> {
        let call = Call::default();
        let request = self
            .client
            .get_object()
            .bucket(&self.options.bucket)
            .key(self.key(id.as_str()))
            .set_range(range)
            .set_version_id(version.map(str::to_owned))
            .customize()
            .mutate_request(call.attach());
        let answer = self.send("read", &call, request.send())?;
        if answer.e_tag.is_none() && answer.last_modified.is_none() {
            return Err(Cause::NotUnderstood { status: call.head().status }.into());
        }
        Ok((call, answer))
    }

    /// Takes in a body of `expected` bytes.
    fn receive(&self, call: &Call, body: ByteStream, expected: u64) -> Result<Vec<u8>, Fault> {
        let read = watched(collect(call, body, expected), call.progress(), &self.timeouts);
        Ok(block_on(read)??)
    }

    /// Length and time of a blob.
    pub(super) fn describe(&self, id: &BlobId) -> Result<BlobMetadata, Fault> {
        let call = Call::default();
        let request = self
            .client
            .head_object()
            .bucket(&self.options.bucket)
            .key(self.key(id.as_str()))
            .customize()
            .mutate_request(call.attach());
        match self.send("read", &call, request.send()) {
            Ok(found) => match (found.content_length.map(u64::try_from), found.last_modified) {
                (Some(Ok(length)), Some(time)) => {
                    Ok(BlobMetadata { id: id.clone(), length, timestamp: timestamp(&time) })
                }
                _ => Err(Cause::NotUnderstood { status: call.head().status }.into()),
            },
            Err(fault) => Err(self.reason(id, &call, fault)),
        }
    }

    /// The answer to a HEAD has no body, so that it does not say why: asks for a byte to find out.
    fn reason(&self, id: &BlobId, call: &Call, fault: Fault) -> Fault {
        if !(300..500).contains(&call.head().status) {
            return fault;
        }
        match self.fetch(id, Some("bytes=0-0".to_owned()), None) {
            // It has come meanwhile, or is empty: ask again.
            Ok(_) | Err(Fault::Range) => Fault::Cause(Cause::Reset),
            Err(fault) => fault,
        }
    }
}

fn length_of(answer: &GetObjectOutput) -> u64 {
    answer.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

async fn collect(call: &Call, mut body: ByteStream, expected: u64) -> Result<Vec<u8>, Cause> {
    let mut data = Vec::with_capacity(expected.min(RESERVED_BYTES_MAX) as usize);
    loop {
        match body.next().await {
            Some(Ok(piece)) => {
                call.progress().received(piece.len() as u64);
                data.extend_from_slice(&piece);
                if data.len() as u64 > expected {
                    return Err(Cause::NotUnderstood { status: call.head().status });
                }
            }
            Some(Err(error)) => return Err(broken_body(&error, expected, data.len() as u64)),
            None if data.len() as u64 == expected => return Ok(data),
            None => return Err(Cause::Truncated { expected, received: data.len() as u64 }),
        }
    }
}
