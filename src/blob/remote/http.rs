//! Plain HTTP requests: one at a time, watched, whole bodies.

use super::{Cause, Counted, Progress, Timeouts, of_connection, watched, without_authorities};
use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Body, Client, Request, Response};
use std::sync::Arc;
use std::time::Duration;

/// Load balancers forget connections after a minute.
const IDLE_TIME_MAX: Duration = Duration::from_secs(45);
/// Connections that wait for their next request.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Larger answers are none of ours: no pack comes near, and listings come in pages.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Longest pause that a server may ask for.
const RETRY_AFTER_MAX: u64 = 60;

/// An answer, whatever its status.
#[derive(Debug)]
pub(in crate::blob) struct Answer {
    /// HTTP status.
    pub(in crate::blob) status: u16,
    /// Its head.
    pub(in crate::blob) headers: HeaderMap,
    /// Its whole body.
    pub(in crate::blob) body: Bytes,
}

/// A client with connections that are used again.
#[derive(Debug, Clone)]
pub(in crate::blob) struct Http {
    client: Client,
    timeouts: Timeouts,
}

impl Http {
    /// A client that trusts the system's authorities, or one certificate by its SHA-256.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`].
    pub(in crate::blob) fn new(fingerprint: Option<&str>, timeouts: Timeouts) -> Result<Self, Cause> {
        let mut builder = Client::builder()
            .connect_timeout(timeouts.connect)
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            // A redirected change of a store could become a read, and credentials go to nobody else.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true);
        if let Some(fingerprint) = fingerprint {
            builder = builder.tls_backend_preconfigured(without_authorities(Some(fingerprint)));
        }
        let client = builder.build();
        let unusable = |_| Cause::Misconfigured { detail: "the HTTP client cannot be set up".to_owned() };
        Ok(Self { client: client.map_err(unusable)?, timeouts })
    }

    /// Sends a request with a body and waits for the whole answer.
    ///
    /// # Errors
    /// Causes of connections; statuses are the caller's to judge, see [`Answer::cause`].
    pub(in crate::blob) async fn send(&self, mut request: Request, body: Bytes) -> Result<Answer, Cause> {
        let progress = Arc::new(Progress::default());
        progress.will_send(body.len() as u64);
        if !body.is_empty() {
            let counter = Arc::clone(&progress);
            *request.body_mut() = Some(Body::wrap(Counted::new(body, move |bytes| counter.sent(bytes))));
        }
        let host = host_of(&request);
        watched(self.exchange(request, &host, &progress), &progress, &self.timeouts).await?
    }

    async fn exchange(&self, request: Request, host: &str, progress: &Progress) -> Result<Answer, Cause> {
        let is_head = request.method() == reqwest::Method::HEAD;
        let failed = |error: reqwest::Error| {
            let is_timeout = error.is_timeout() && error.is_connect();
            of_connection(&error, host, is_timeout, self.timeouts.connect.as_secs())
        };
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let announced = response.content_length().filter(|_| !is_head);
        progress.answered(announced.unwrap_or_default());
        let body = if is_head { Bytes::new() } else { collect(&mut response, announced, progress).await? };
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }
}

async fn collect(
    response: &mut Response,
    announced: Option<u64>,
    progress: &Progress,
) -> Result<Bytes, Cause> {
    let status = response.status().as_u16();
    if announced.is_some_and(|bytes| bytes > ANSWER_BYTES_MAX) {
        return Err(Cause::NotUnderstood { status });
    }
    // An announcement is no reason to take memory before anything has come.
    let mut body = BytesMut::with_capacity(announced.unwrap_or_default().min(32 << 20) as usize);
    while let Some(part) = response.chunk().await.map_err(|_| broken(announced, body.len()))? {
        progress.received(part.len() as u64);
        if (body.len() + part.len()) as u64 > ANSWER_BYTES_MAX {
            return Err(Cause::NotUnderstood { status });
        }
        body.extend_from_slice(&part);
    }
    match announced {
        Some(expected) if expected != body.len() as u64 => Err(broken(announced, body.len())),
        _ => Ok(body.freeze()),
    }
}

fn broken(announced: Option<u64>, received: usize) -> Cause {
    match announced {
        Some(expected) => Cause::Truncated { expected, received: received as u64 },
        None => Cause::Reset,
    }
}

fn host_of(request: &Request) -> String {
    let url = request.url();
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Answer {
    /// How long the server wants to be left alone.
    pub(in crate::blob) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse::<u64>().ok()?;
        Some(Duration::from_secs(seconds.min(RETRY_AFTER_MAX)))
    }

    /// What a status means that is no success and has no meaning of its own; `code` is the store's word for it.
    pub(in crate::blob) fn cause(&self, operation: &'static str, code: String) -> Cause {
        let (status, retry_after) = (self.status, self.retry_after());
        match status {
            429 => Cause::Throttled { status, retry_after },
            503 if retry_after.is_some() => Cause::Throttled { status, retry_after },
            401 | 403 => Cause::AccessDenied { operation, code },
            423 => Cause::Locked { code },
            507 | 413 => Cause::Full { code },
            405 | 501 => Cause::NotImplemented { code },
            408 | 500.. => Cause::ServerFault { status, code, retry_after },
            ..=399 | 404 => Cause::NotUnderstood { status },
            _ => Cause::Rejected { status, code },
        }
    }
}
