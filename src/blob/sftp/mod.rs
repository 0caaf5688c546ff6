//! Blobs as files of an SFTP server, in Kopia's folders.
//!
//! One connection carries many requests at once; a broken one is replaced by the next call.
//!
//! Invariants:
//! - **P1** nothing is said to a host whose key is not known for it;
//! - **P2** a file gets its name by a rename that replaces (`posix-rename@openssh.com`), after its length was checked and,
//!   where the server can, after it was synced.
//!
//! Source: kopia `repo/blob/sftp/sftp_storage.go`.

mod known_hosts;
mod options;
mod session;
mod transfer;

pub use options::SftpOptions;

use super::remote::{Cause, Fault, Timeouts, block_on};
use super::sharded::{Entry, Files, ShardOptions, Sharded};
use super::{ByteRange, Capacity, OpenMode, Result, Storage};
use crate::base::{Clock, Entropy, OsEntropy, Timestamp};
use bytes::Bytes;
use parking_lot::Mutex;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::rawsession::SftpResult;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use session::Session;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Entries of a folder; no folder of a repository has more.
const ENTRIES_MAX: usize = 16 << 20;

/// Opens the store that `options` describe.
///
/// # Errors
/// [`Error::Remote`](super::Error::Remote).
pub(super) fn open(
    options: SftpOptions,
    mode: OpenMode,
    timeouts: Timeouts,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Storage>> {
    let shards = ShardOptions::new(options.dir_shards.clone(), options.list_parallelism);
    let files = Sftp { options, timeouts, session: Mutex::default() };
    Ok(Arc::new(Sharded::open(files, shards, mode, clock)?))
}

/// Files of an SFTP server.
struct Sftp {
    options: SftpOptions,
    timeouts: Timeouts,
    session: Mutex<Option<Arc<Session>>>,
}

impl Sftp {
    fn full(&self, path: &str) -> String {
        let root = self.options.path.trim_end_matches('/');
        match (root.is_empty(), path.is_empty()) {
            (_, false) => format!("{root}/{path}"),
            (true, true) => "/".to_owned(),
            (false, true) => root.to_owned(),
        }
    }

    /// The session, opened if there is none.
    fn session(&self) -> Result<Arc<Session>, Cause> {
        let mut held = self.session.lock();
        if let Some(session) = &*held {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(block_on(session::open(&self.options, &self.timeouts))?);
        *held = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Forgets a session that broke, unless another thread has replaced it already.
    fn forget(&self, broken: &Arc<Session>) {
        let mut held = self.session.lock();
        if held.as_ref().is_some_and(|session| Arc::ptr_eq(session, broken)) {
            *held = None;
        }
    }

    /// Runs requests of which `bytes` move in all.
    fn run<T, F: Future<Output = SftpResult<T>>>(
        &self,
        operation: &'static str,
        bytes: u64,
        requests: impl FnOnce(Arc<Session>) -> F,
    ) -> Result<T, Fault> {
        let session = self.session()?;
        let limit = self.timeouts.of_attempt(bytes);
        let outcome = block_on(async { tokio::time::timeout(limit, requests(Arc::clone(&session))).await });
        let Ok(outcome) = outcome else {
            self.forget(&session);
            return Err(Cause::TooSlow { seconds: limit.as_secs() }.into());
        };
        outcome.map_err(|error| {
            let fault = self.fault(operation, &error);
            if matches!(fault, Fault::Cause(Cause::Reset | Cause::NoAnswer { .. })) {
                self.forget(&session);
            }
            fault
        })
    }

    fn fault(&self, operation: &'static str, error: &SftpError) -> Fault {
        let SftpError::Status(status) = error else {
            return match error {
                SftpError::Timeout => Cause::NoAnswer { seconds: self.timeouts.first_byte.as_secs() }.into(),
                _ => Cause::Reset.into(),
            };
        };
        match status.status_code {
            StatusCode::NoSuchFile => Fault::Missing,
            StatusCode::Eof => Fault::Range,
            StatusCode::PermissionDenied => Cause::AccessDenied { operation, code: String::new() }.into(),
            StatusCode::OpUnsupported => Cause::NotImplemented { code: String::new() }.into(),
            StatusCode::NoConnection | StatusCode::ConnectionLost => Cause::Reset.into(),
            // Whatever it is, a full disk too: the protocol has no word for it.
            _ => {
                let code = "failure".to_owned();
                Cause::ServerFault { status: 4, code, retry_after: None }.into()
            }
        }
    }
}

/// What attributes say, under a name.
fn entry(name: String, attributes: &FileAttributes) -> Entry {
    Entry {
        name,
        is_folder: attributes.file_type().is_dir(),
        length: attributes.size.unwrap_or_default(),
        timestamp: Timestamp::from_seconds(i64::from(attributes.mtime.unwrap_or_default()), 0),
    }
}

impl Files for Sftp {
    fn read(&self, path: &str, range: Option<ByteRange>) -> Result<Bytes, Fault> {
        let full = self.full(path);
        let bytes = range.map_or(32 << 20, |range| range.length.min(1 << 30));
        self.run("read", bytes, |session| transfer::read(session, full, range))?.ok_or(Fault::Range)
    }

    fn write(&self, path: &str, data: Bytes, set_timestamp: Option<Timestamp>) -> Result<(), Fault> {
        let mut random = [0; 8];
        OsEntropy.fill(&mut random);
        let full = self.full(path);
        let temporary = format!("{full}.tmp.{}", hex::encode(random));
        let length = data.len() as u64;
        let name = temporary.clone();
        let outcome = self
            .run("write", length, |session| transfer::write(session, name, data, set_timestamp))
            .and_then(|received| {
                let expected = length;
                if received == expected {
                    Ok(())
                } else {
                    Err(Cause::Truncated { expected, received }.into())
                }
            })
            .and_then(|()| {
                self.run("rename", 0, |session| transfer::rename(session, temporary.clone(), full))
            });
        if matches!(outcome, Err(Fault::Cause(_))) {
            let removed =
                self.run("delete", 0, |session| async move { session.sftp.remove(temporary).await });
            if let Err(fault) = removed {
                tracing::debug!(?fault, "cannot remove a temporary file");
            }
        }
        outcome
    }

    fn stat(&self, path: &str) -> Result<Entry, Fault> {
        let full = self.full(path);
        let found = self.run("look at", 0, |session| async move { session.sftp.stat(full).await })?;
        Ok(entry(path.to_owned(), &found.attrs))
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, Fault> {
        let full = self.full(path);
        self.run("list", 64 << 20, |session| async move {
            let handle = session.sftp.opendir(full).await?.handle;
            let mut entries = Vec::new();
            let outcome = loop {
                match session.sftp.readdir(&handle).await {
                    Ok(page) if entries.len() + page.files.len() <= ENTRIES_MAX => {
                        entries.extend(page.files.into_iter().map(|file| entry(file.filename, &file.attrs)));
                    }
                    Ok(_) => break Err(SftpError::UnexpectedPacket),
                    Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => {
                        break Ok(entries);
                    }
                    Err(error) => break Err(error),
                }
            };
            session.sftp.close(handle).await?;
            outcome
        })
    }

    fn remove(&self, path: &str) -> Result<(), Fault> {
        let full = self.full(path);
        self.run("delete", 0, |session| async move { session.sftp.remove(full).await }).map(|_| ())
    }

    fn make_folder(&self, path: &str) -> Result<(), Fault> {
        let full = self.full(path);
        let made = self.run("make folders", 0, |session| async move {
            session.sftp.mkdir(full, FileAttributes::empty()).await
        });
        match made {
            // The protocol has no word for what exists.
            Err(Fault::Cause(cause)) if self.stat(path).is_ok_and(|found| found.is_folder) => {
                tracing::debug!(%cause, "the folder is there");
                Ok(())
            }
            made => made.map(|_| ()),
        }
    }

    fn make_root(&self) -> Result<(), Fault> {
        let root = self.full("");
        for (at, _) in root.match_indices('/').filter(|(at, _)| *at > 0).chain([(root.len(), "")]) {
            let folder = root[..at].to_owned();
            // Folders above may be there, or closed to us; the last one decides.
            let made = self.run("make folders", 0, |session| async move {
                session.sftp.mkdir(folder, FileAttributes::empty()).await
            });
            tracing::trace!(?made, "making the folders of a repository");
        }
        self.stat("").map(|_| ())
    }

    /// The protocol has whole seconds from 1970 to 2106.
    fn keeps_time(&self, time: Timestamp) -> bool {
        time.subsecond_nanos() == 0 && u32::try_from(time.as_seconds()).is_ok()
    }

    fn capacity(&self) -> Result<Option<Capacity>, Fault> {
        let full = self.full("");
        match self.run("ask for room in", 0, |session| async move { session.sftp.statvfs(full).await }) {
            Ok(volume) => Ok(Some(Capacity {
                total_bytes: volume.blocks.saturating_mul(volume.fragment_size),
                available_bytes: volume.blocks_avail.saturating_mul(volume.fragment_size),
            })),
            // An extension that not every server has.
            Err(Fault::Cause(Cause::NotImplemented { .. } | Cause::ServerFault { .. })) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn root_name(&self) -> String {
        format!("{}:{}", self.options.host, self.full(""))
    }

    fn display_name(&self) -> String {
        format!("SFTP {}@{}", self.options.username, self.options.host)
    }
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The status of an extension's answer.
fn status_of(answer: Packet) -> SftpResult<()> {
    match answer {
        Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
        Packet::Status(status) => Err(SftpError::Status(status)),
        _ => Err(SftpError::UnexpectedPacket),
    }
}

/// How a temporary file is opened.
fn new_file() -> OpenFlags {
    OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE
}
