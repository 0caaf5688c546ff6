//! One request as it goes through the transport: what has moved, and what the head of the answer said.

use crate::blob::remote::Progress;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Longest pause that a store may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
/// Longest word of a store that is repeated in a message.
const WORD_BYTES_MAX: usize = 64;

/// Headers of the checksum that the client adds to requests which must have one.
const OWN_CHECKSUM: [&str; 2] = ["x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"];

/// A request and its answer. Travels with the request as an extension, so that the transport finds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Call(Arc<State>);

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    body: Bytes,
    head: Mutex<Head>,
}

/// What the head of an answer says.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    /// HTTP status; 0 before there is an answer.
    pub(super) status: u16,
    /// The server's clock, in seconds since 1970.
    pub(super) date_seconds: Option<i64>,
    /// How long the store wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// Where the bucket is.
    pub(super) region: Option<String>,
    /// Whether it is a page for people.
    pub(super) is_page: bool,
    /// Whether the entity tag may be an MD5 of the bytes: not of those encrypted with keys of others.
    pub(super) is_plain: bool,
}

impl Call {
    /// A request whose body is `body`.
    pub(super) fn with_body(body: Bytes) -> Self {
        let call = Self(Arc::new(State { body, ..State::default() }));
        call.0.progress.will_send(call.0.body.len() as u64);
        call
    }

    /// Puts itself into a request.
    pub(super) fn attach(&self) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
        let call = self.clone();
        move |request| request.add_extension(call.clone())
    }

    /// Puts itself into a request that must say the MD5 of its body: one that changes locks, or several blobs.
    pub(super) fn attach_with_md5(&self) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
        let attach = self.attach();
        move |request| {
            attach(request);
            if let Some(digest) = request.body().bytes().map(super::etag::base64_md5) {
                request.headers_mut().insert("content-md5", digest);
                // The client's own checksum, which older servers and R2 do not know; the digest stands in for it.
                for header in OWN_CHECKSUM {
                    request.headers_mut().remove(header);
                }
            }
        }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.0.progress
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.0.body
    }

    pub(super) fn head(&self) -> Head {
        self.0.head.lock().clone()
    }

    /// Notes what an answer says.
    pub(super) fn note(&self, response: &HttpResponse) {
        let header = |name: &str| response.headers().get(name);
        let number = |name: &str| header(name).and_then(|text| text.trim().parse::<u64>().ok());
        self.0.progress.answered(number("content-length").unwrap_or(0));
        let encryption = header("x-amz-server-side-encryption").unwrap_or("AES256");
        *self.0.head.lock() = Head {
            status: response.status().as_u16(),
            date_seconds: header("date")
                .and_then(|text| DateTime::from_str(text, Format::HttpDate).ok())
                .map(|date| date.secs()),
            retry_after: number("retry-after")
                .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
            region: header("x-amz-bucket-region").and_then(word),
            is_page: header("content-type").is_some_and(|kind| kind.trim().starts_with("text/html")),
            is_plain: encryption == "AES256"
                && header("x-amz-server-side-encryption-customer-algorithm").is_none(),
        };
    }
}

/// A word of a server, if it can be shown: it might hold anything.
pub(super) fn word(text: &str) -> Option<String> {
    let is_word = !text.is_empty()
        && text.len() <= WORD_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    is_word.then(|| text.to_owned())
}
