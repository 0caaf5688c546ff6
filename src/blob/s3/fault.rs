//! From what the SDK and the server say to a [`Cause`].

use super::call::{Call, Head, word};
use crate::base::Timestamp;
pub(super) use crate::blob::remote::Fault;
use crate::blob::remote::{Cause, find, of_connection, texts};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use std::error::Error as StdError;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What messages name.
pub(super) struct Scene<'a> {
    /// Host and port.
    pub(super) host: &'a str,
    /// The bucket.
    pub(super) bucket: &'a str,
    /// What was tried, as a verb.
    pub(super) operation: &'static str,
    /// Now, by this machine.
    pub(super) now: Timestamp,
    /// How long connecting may take.
    pub(super) connect_seconds: u64,
}

impl Scene<'_> {
    /// Names what went wrong with a call.
    pub(super) fn fault<E>(&self, error: &SdkError<E, HttpResponse>, call: &Call) -> Fault
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        if let Some(credentials) = find::<CredentialsError>(error) {
            return Cause::NoCredentials { detail: lacking(credentials) }.into();
        }
        let head = call.head();
        match error {
            // What cannot be read in an answer of success.
            SdkError::ServiceError(context) if head.status < 300 => {
                self.of_strange_answer(error, context.raw().body().bytes().unwrap_or_default(), &head).into()
            }
            SdkError::ServiceError(context) => {
                let body = context.raw().body().bytes().unwrap_or_default();
                let code = context.err().code().unwrap_or_default();
                self.of_answer(code, context.err().message().unwrap_or_default(), body, &head)
            }
            SdkError::ResponseError(context) => {
                self.of_strange_answer(error, context.raw().body().bytes().unwrap_or_default(), &head).into()
            }
            SdkError::DispatchFailure(failure) => {
                let failure = failure.as_connector_error();
                self.of_connection(error, failure.is_some_and(ConnectorError::is_timeout)).into()
            }
            SdkError::TimeoutError(_) => Cause::NoAnswer { seconds: self.connect_seconds }.into(),
            _ => self.of_connection(error, false).into(),
        }
    }

    fn of_connection(&self, error: &(dyn StdError + 'static), is_timeout: bool) -> Cause {
        of_connection(error, self.host, is_timeout, self.connect_seconds)
    }

    /// An answer that the SDK could not read.
    fn of_strange_answer(&self, error: &(dyn StdError + 'static), body: &[u8], head: &Head) -> Cause {
        let status = head.status;
        if let Some(code) = text_between(body, "<Code>", "</Code>").filter(|_| status < 300) {
            return Cause::FailedAnswer { code: word(code).unwrap_or_default() };
        }
        if !head.is_page && texts(error).iter().any(|text| is_broken(text)) {
            return Cause::Reset;
        }
        if status >= 500 { self.of_status("", status, head) } else { Cause::NotUnderstood { status } }
    }

    /// One of several keys could not be deleted; the answer as a whole was a success.
    pub(super) fn of_key(&self, code: &str, call: &Call) -> Fault {
        let head = Head { status: if code == "InternalError" { 500 } else { 400 }, ..call.head() };
        self.of_answer(code, "", &[], &head)
    }

    /// An answer of a store, or at least one with a status.
    fn of_answer(&self, code: &str, message: &str, body: &[u8], head: &Head) -> Fault {
        let operation = self.operation;
        let shown = word(code).unwrap_or_default();
        let message = message.to_ascii_lowercase();
        let region = || {
            let told = text_between(body, "<Region>", "</Region>").and_then(word);
            told.or_else(|| head.region.clone())
        };
        Fault::Cause(match code {
            "NoSuchKey" | "NoSuchVersion" => return Fault::Missing,
            "InvalidRange" => return Fault::Range,
            "NoSuchBucket" => Cause::NoBucket { bucket: self.bucket.to_owned() },
            "SlowDown"
            | "SlowDownRead"
            | "SlowDownWrite"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded" => {
                Cause::Throttled { status: head.status, retry_after: head.retry_after }
            }
            "RequestTimeTooSkewed" => Cause::ClockSkew { ahead_seconds: self.ahead(head) },
            "InvalidAccessKeyId" => Cause::UnknownKey,
            "SignatureDoesNotMatch" => Cause::BadSignature,
            "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" => {
                Cause::ExpiredToken
            }
            // Amazon says the same of a key id that cannot be one.
            "AuthorizationHeaderMalformed" if message.contains("akid") => Cause::UnknownKey,
            "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" => {
                Cause::WrongRegion { region: region() }
            }
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
                Cause::AccessDenied { operation, code: shown }
            }
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody"
            | "RequestTimeout" => {
                let retry_after = head.retry_after;
                Cause::ServerFault { status: head.status, code: shown, retry_after }
            }
            "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "StorageFull" => {
                Cause::Full { code: shown }
            }
            "InvalidObjectState" | "ObjectLocked" | "InvalidBucketState" => Cause::Locked { code: shown },
            "NotImplemented" | "MethodNotAllowed" | "ObjectLockConfigurationNotFoundError" => {
                Cause::NotImplemented { code: shown }
            }
            "InvalidRequest" if message.contains("object lock") => Cause::NotImplemented { code: shown },
            _ => self.of_status(&shown, head.status, head),
        })
    }

    fn of_status(&self, code: &str, status: u16, head: &Head) -> Cause {
        let code = code.to_owned();
        let retry_after = head.retry_after;
        match status {
            429 => Cause::Throttled { status, retry_after },
            503 if retry_after.is_some() => Cause::Throttled { status, retry_after },
            507 => Cause::Full { code },
            501 => Cause::NotImplemented { code },
            408 | 499 | 500.. => Cause::ServerFault { status, code, retry_after },
            _ if head.is_page => Cause::NotUnderstood { status },
            300..=399 => Cause::WrongRegion { region: head.region.clone() },
            401 | 403 => Cause::AccessDenied { operation: self.operation, code },
            423 => Cause::Locked { code },
            ..=299 | 404 => Cause::NotUnderstood { status },
            _ => Cause::Rejected { status, code },
        }
    }

    /// How far this machine's clock is ahead.
    fn ahead(&self, head: &Head) -> Option<i64> {
        Some(self.now.as_nanos() / NANOS_PER_SECOND - head.date_seconds?)
    }
}

/// Names what ended a body early.
pub(super) fn broken_body(error: &(dyn StdError + 'static), expected: u64, received: u64) -> Cause {
    let is_short =
        texts(error).iter().any(|text| text.contains("end of file") || text.contains("unexpected EOF"));
    if is_short { Cause::Truncated { expected, received } } else { Cause::Reset }
}

fn is_broken(text: &str) -> bool {
    ["connection", "end of file", "unexpected EOF", "reading a body", "incomplete message", "reset"]
        .iter()
        .any(|part| text.contains(part))
}

fn lacking(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "none are provided",
        CredentialsError::ProviderTimedOut(_) => "their provider did not answer in time",
        CredentialsError::InvalidConfiguration(_) => "their configuration is not valid",
        _ => "their provider refused",
    }
}

/// What stands between two marks.
fn text_between<'a>(body: &'a [u8], begin: &str, end: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(inner, _)| inner)
}
