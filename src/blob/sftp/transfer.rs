//! Whole files over one connection, with several requests in flight.

use super::session::Session;
use super::{new_file, status_of};
use crate::base::Timestamp;
use crate::blob::ByteRange;
use bytes::Bytes;
use russh_sftp::client::error::Error;
use russh_sftp::client::rawsession::SftpResult;
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Bytes of one request, which every server must take.
const PACKET_BYTES: usize = 32 << 10;
/// Requests of one file that wait for their answers.
const IN_FLIGHT: usize = 32;
/// No pack comes near.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// A rename that replaces what is there.
const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// Reads a file, or a range of it; none if the file does not have the range.
pub(super) async fn read(
    session: Arc<Session>,
    path: String,
    range: Option<ByteRange>,
) -> SftpResult<Option<Bytes>> {
    let handle = session.sftp.open(path, OpenFlags::READ, FileAttributes::empty()).await?.handle;
    let outcome = read_open(&session, &handle, range).await;
    session.sftp.close(handle).await?;
    outcome
}

async fn read_open(
    session: &Arc<Session>,
    handle: &str,
    range: Option<ByteRange>,
) -> SftpResult<Option<Bytes>> {
    let size = session.sftp.fstat(handle).await?.attrs.size.ok_or(Error::UnexpectedPacket)?;
    let range = range.unwrap_or(ByteRange { offset: 0, length: size });
    // Checked before anything is allocated: ranges come out of index files, sizes from the server.
    if range.offset.checked_add(range.length).is_none_or(|end| end > size) || range.length > FILE_BYTES_MAX {
        return Ok(None);
    }
    let mut data = vec![0; range.length as usize];
    let mut tasks = JoinSet::new();
    let mut parts = (0..data.len()).step_by(PACKET_BYTES);
    loop {
        while tasks.len() < IN_FLIGHT
            && let Some(begin) = parts.next()
        {
            let length = PACKET_BYTES.min(data.len() - begin);
            let (session, handle) = (Arc::clone(session), handle.to_owned());
            tasks.spawn(async move {
                let part = read_part(&session, &handle, range.offset + begin as u64, length).await;
                part.map(|part| (begin, part))
            });
        }
        let Some(done) = tasks.join_next().await else { return Ok(Some(data.into())) };
        let (begin, part) = done.map_err(|_| Error::UnexpectedPacket)??;
        let place = data.get_mut(begin..begin + part.len()).ok_or(Error::UnexpectedPacket)?;
        place.copy_from_slice(&part);
    }
}

/// Exactly so many bytes: servers may answer with fewer at a time.
async fn read_part(session: &Session, handle: &str, offset: u64, length: usize) -> SftpResult<Vec<u8>> {
    let mut part = Vec::with_capacity(length);
    while part.len() < length {
        let wanted = (length - part.len()) as u32;
        let more = session.sftp.read(handle, offset + part.len() as u64, wanted).await?.data;
        if more.is_empty() || more.len() > wanted as usize {
            return Err(Error::UnexpectedPacket);
        }
        part.extend_from_slice(&more);
    }
    Ok(part)
}

/// Writes a new file and answers how many bytes the server has of it.
pub(super) async fn write(
    session: Arc<Session>,
    path: String,
    data: Bytes,
    set_timestamp: Option<Timestamp>,
) -> SftpResult<u64> {
    let handle = session.sftp.open(path, new_file(), FileAttributes::empty()).await?.handle;
    let outcome = write_open(&session, &handle, data, set_timestamp).await;
    session.sftp.close(handle).await?;
    outcome
}

async fn write_open(
    session: &Arc<Session>,
    handle: &str,
    data: Bytes,
    set_timestamp: Option<Timestamp>,
) -> SftpResult<u64> {
    let mut tasks = JoinSet::new();
    let mut parts = (0..data.len()).step_by(PACKET_BYTES);
    loop {
        while tasks.len() < IN_FLIGHT
            && let Some(begin) = parts.next()
        {
            let part = data.slice(begin..data.len().min(begin + PACKET_BYTES));
            let (session, handle) = (Arc::clone(session), handle.to_owned());
            tasks.spawn(async move { session.sftp.write(handle, begin as u64, part.to_vec()).await });
        }
        let Some(done) = tasks.join_next().await else { break };
        done.map_err(|_| Error::UnexpectedPacket)??;
    }
    if let Some(timestamp) = set_timestamp {
        let seconds = u32::try_from(timestamp.as_seconds()).ok();
        let times = FileAttributes { atime: seconds, mtime: seconds, ..FileAttributes::empty() };
        session.sftp.fsetstat(handle, times).await?;
    }
    match session.sftp.fsync(handle).await {
        // An extension that not every server has; others say with it that a disk is full.
        Err(Error::Status(status)) if status.status_code == StatusCode::OpUnsupported => {}
        outcome => drop(outcome?),
    }
    session.sftp.fstat(handle).await?.attrs.size.ok_or(Error::UnexpectedPacket)
}

/// Renames, replacing what is there.
pub(super) async fn rename(session: Arc<Session>, from: String, to: String) -> SftpResult<()> {
    let mut data = Vec::new();
    for name in [&from, &to] {
        data.extend_from_slice(&(name.len() as u32).to_be_bytes());
        data.extend_from_slice(name.as_bytes());
    }
    status_of(session.sftp.extended(POSIX_RENAME, data).await?)
}
