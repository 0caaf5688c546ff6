//! Blobs as files of a WebDAV server, in Kopia's folders.
//!
//! Invariants:
//! - **W1** a file gets its name complete: it is put under another name, its length is asked for, and then it is moved
//!   (unless the server is said to write atomically);
//! - **W2** what is listed are the members of the folder asked for; an answer that does not tell them apart from the
//!   folder itself is an error, never an empty folder.
//!
//! Source: kopia `repo/blob/webdav/webdav_storage.go`.

mod multistatus;
mod options;

pub use options::WebDavOptions;

use super::remote::{Answer, Cause, Fault, Http, Timeouts, block_on};
use super::sharded::{Entry, Files, ShardOptions, Sharded};
use super::{ByteRange, Error, OpenMode, Result, Storage};
use crate::base::{Clock, Entropy, OsEntropy, Timestamp};
use bytes::Bytes;
use multistatus::Member;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RANGE};
use reqwest::{Method, Request, Url};
use std::fmt;
use std::sync::Arc;

const PROPFIND_BODY: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><propfind xmlns=\"DAV:\"><prop>\
    <resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>";
const DEPTH: HeaderName = HeaderName::from_static("depth");
const DESTINATION: HeaderName = HeaderName::from_static("destination");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");

/// Opens the store that `options` describe.
///
/// # Errors
/// [`Error::Remote`].
pub(super) fn open(
    options: WebDavOptions,
    mode: OpenMode,
    timeouts: Timeouts,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Storage>> {
    let shards = ShardOptions::new(options.dir_shards.clone(), options.list_parallelism);
    let files = Dav::new(options, timeouts).map_err(|cause| Error::Remote {
        operation: "open",
        subject: "the WebDAV store".to_owned(),
        cause,
    })?;
    Ok(Arc::new(Sharded::open(files, shards, mode, clock)?))
}

/// Files of a WebDAV server.
struct Dav {
    http: Http,
    root: Url,
    options: WebDavOptions,
}

impl Dav {
    fn new(options: WebDavOptions, timeouts: Timeouts) -> Result<Self, Cause> {
        let unusable =
            || Cause::Misconfigured { detail: "--url is no address such as https://host/path".into() };
        let mut root = Url::parse(&options.url).map_err(|_| unusable())?;
        if !matches!(root.scheme(), "http" | "https") || root.host_str().is_none() {
            return Err(unusable());
        }
        // Names and passwords have options of their own; in the address they would be shown.
        if !root.username().is_empty() || root.password().is_some() {
            let detail = "--url holds a user: use --webdav-username and --webdav-password".to_owned();
            return Err(Cause::Misconfigured { detail });
        }
        if !root.path().ends_with('/') {
            root.set_path(&format!("{}/", root.path()));
        }
        let fingerprint = &options.trusted_server_certificate_fingerprint;
        let fingerprint = Some(fingerprint.as_str()).filter(|text| !text.is_empty());
        Ok(Self { http: Http::new(fingerprint, timeouts)?, root, options })
    }

    /// Paths consist of names of blobs and folders, which need no escapes.
    fn url(&self, path: &str) -> Url {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{path}", self.root.path()));
        url
    }

    fn send(
        &self,
        method: &[u8],
        url: Url,
        headers: &[(HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer, Fault> {
        let method = Method::from_bytes(method).expect("they are constants");
        let mut request = Request::new(method, url);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("addresses and numbers are ASCII");
            request.headers_mut().insert(name.clone(), value);
        }
        if !self.options.username.is_empty() {
            let value = self.options.authorization();
            request.headers_mut().insert(reqwest::header::AUTHORIZATION, value);
        }
        Ok(block_on(self.http.send(request, body))?)
    }

    /// Judges a status that means no success.
    fn fault(&self, operation: &'static str, answer: &Answer) -> Fault {
        match answer.status {
            404 | 410 => Fault::Missing,
            416 => Fault::Range,
            401 => Cause::LoginRefused { user: self.options.username.clone() }.into(),
            // Another client is just at it: as Kopia, try again.
            status @ (409 | 423) => {
                let retry_after = answer.retry_after();
                Cause::ServerFault { status, code: String::new(), retry_after }.into()
            }
            _ => answer.cause(operation, String::new()).into(),
        }
    }

    fn propfind(&self, url: Url, depth: &str) -> Result<Vec<Member>, Fault> {
        let headers = [(DEPTH, depth), (CONTENT_TYPE, "application/xml")];
        let answer = self.send(b"PROPFIND", url, &headers, Bytes::from_static(PROPFIND_BODY.as_bytes()))?;
        match answer.status {
            207 => multistatus::parse(&answer.body).ok_or(Fault::Cause(Cause::NotUnderstood { status: 207 })),
            _ => Err(self.fault("list", &answer)),
        }
    }

    fn put(&self, path: &str, data: Bytes) -> Result<(), Fault> {
        let length = data.len() as u64;
        let answer = self.send(b"PUT", self.url(path), &[], data)?;
        match answer.status {
            200 | 201 | 204 => {}
            // The folder is missing: RFC 4918 says 409, some servers 404 or 403.
            404 | 409 => return Err(Fault::Missing),
            403 if self.is_folder_missing(path) => return Err(Fault::Missing),
            _ => return Err(self.fault("write", &answer)),
        }
        let received = self.stat(path)?.length;
        if received == length { Ok(()) } else { Err(Cause::Truncated { expected: length, received }.into()) }
    }

    fn is_folder_missing(&self, path: &str) -> bool {
        path.rsplit_once('/').is_some_and(|(folder, _)| matches!(self.stat(folder), Err(Fault::Missing)))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        let destination = self.url(to);
        let headers = [(DESTINATION, destination.as_str()), (OVERWRITE, "T")];
        let answer = self.send(b"MOVE", self.url(from), &headers, Bytes::new())?;
        match answer.status {
            200 | 201 | 204 => Ok(()),
            _ => Err(self.fault("move", &answer)),
        }
    }

    fn make(&self, url: Url) -> Result<(), Fault> {
        let answer = self.send(b"MKCOL", url, &[], Bytes::new())?;
        match answer.status {
            // 405: it is there.
            200 | 201 | 204 | 301 | 405 => Ok(()),
            409 => Err(Fault::Missing),
            _ => Err(self.fault("make folders", &answer)),
        }
    }
}

impl Files for Dav {
    fn read(&self, path: &str, range: Option<ByteRange>) -> Result<Bytes, Fault> {
        let last = |range: ByteRange| range.offset.saturating_add(range.length) - 1;
        let asked = range.map(|range| format!("bytes={}-{}", range.offset, last(range)));
        let headers: Vec<_> = asked.iter().map(|asked| (RANGE, asked.as_str())).collect();
        let answer = self.send(b"GET", self.url(path), &headers, Bytes::new())?;
        match (answer.status, range) {
            (200, None) | (206, Some(_)) => Ok(answer.body),
            // A server without ranges sends the whole file.
            (200, Some(range)) => {
                let begin = usize::try_from(range.offset).map_err(|_| Fault::Range)?;
                let length = usize::try_from(range.length).map_err(|_| Fault::Range)?;
                let end = begin.checked_add(length).filter(|end| *end <= answer.body.len());
                Ok(answer.body.slice(begin..end.ok_or(Fault::Range)?))
            }
            (206, None) => Err(Cause::NotUnderstood { status: 206 }.into()),
            _ => Err(self.fault("read", &answer)),
        }
    }

    fn write(&self, path: &str, data: Bytes, _: Option<Timestamp>) -> Result<(), Fault> {
        if self.options.atomic_writes {
            return self.put(path, data);
        }
        let mut random = [0; 8];
        OsEntropy.fill(&mut random);
        let temporary = format!("{path}-{}", u64::from_le_bytes(random) >> 1);
        let outcome = self.put(&temporary, data).and_then(|()| self.rename(&temporary, path));
        if matches!(outcome, Err(Fault::Cause(_) | Fault::Range))
            && let Err(fault) = self.remove(&temporary)
        {
            tracing::debug!(?fault, temporary, "cannot remove a temporary file");
        }
        outcome
    }

    fn stat(&self, path: &str) -> Result<Entry, Fault> {
        let found = self.propfind(self.url(path), "0")?;
        match <[Member; 1]>::try_from(found) {
            Ok([member]) => Ok(member.entry()),
            Err(_) => Err(Cause::NotUnderstood { status: 207 }.into()),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, Fault> {
        let path = if path.is_empty() { String::new() } else { format!("{path}/") };
        let found = self.propfind(self.url(&path), "1")?;
        let members = multistatus::without_folder(found).ok_or(Cause::NotUnderstood { status: 207 })?;
        Ok(members.iter().map(Member::entry).collect())
    }

    fn remove(&self, path: &str) -> Result<(), Fault> {
        let answer = self.send(b"DELETE", self.url(path), &[], Bytes::new())?;
        match answer.status {
            200 | 202 | 204 => Ok(()),
            _ => Err(self.fault("delete", &answer)),
        }
    }

    fn make_folder(&self, path: &str) -> Result<(), Fault> {
        self.make(self.url(&format!("{path}/")))
    }

    fn make_root(&self) -> Result<(), Fault> {
        let path = self.root.path().trim_end_matches('/').to_owned();
        let mut outcome = Ok(());
        for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
            let mut url = self.root.clone();
            url.set_path(&path[..at]);
            // Folders above may be closed to us; the last one decides.
            outcome = self.make(url);
        }
        outcome
    }

    fn keeps_time(&self, _: Timestamp) -> bool {
        false
    }

    fn root_name(&self) -> String {
        self.root.to_string()
    }

    fn display_name(&self) -> String {
        format!("WebDAV: {}", self.options.url)
    }
}

impl fmt::Debug for Dav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dav").field("root", &self.root.as_str()).finish_non_exhaustive()
    }
}
