//! What Cloudflare R2 refuses and other servers let pass, as a plan of [`FaultProxy`](super::fault_proxy::FaultProxy).
//!
//! Source: the table of supported operations and headers in Cloudflare's documentation of R2's S3 interface, and its limit
//! of one write a second to a key.

use super::fault_proxy::{Request, Spoil};
use packhorse::base::Stopwatch;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// Headers of a put that R2 takes; any other `x-amz-…` is not implemented there.
const KNOWN: [&str; 6] = [
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-storage-class",
    "x-amz-user-agent",
    "x-amz-copy-source",
];
/// Parts of a query that R2 has no answer to.
const UNKNOWN_QUERIES: [&str; 8] =
    ["acl", "versioning", "versions", "versionId", "retention", "legal-hold", "object-lock", "tagging"];
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// A model of R2: what it has seen written when, and what it has refused.
#[derive(Default)]
pub(crate) struct R2 {
    written: Mutex<HashMap<String, Stopwatch>>,
    refused: Mutex<Vec<String>>,
}

impl R2 {
    /// What R2 makes of a request.
    pub(crate) fn judge(&self, request: &Request) -> Spoil {
        let verdict = refusal(request).unwrap_or_else(|| self.pace(request));
        if verdict != Spoil::Nothing {
            self.refused.lock().push(format!("{} {}: {verdict:?}", request.method, request.target));
        }
        verdict
    }

    /// What was refused so far.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.refused.lock().clone()
    }

    /// One write a second to a key.
    fn pace(&self, request: &Request) -> Spoil {
        if request.method != "PUT" {
            return Spoil::Nothing;
        }
        let mut written = self.written.lock();
        if written.get(&request.target).is_some_and(|last| last.elapsed() < WRITE_INTERVAL) {
            return Spoil::Status(429, "TooManyRequests");
        }
        written.insert(request.target.clone(), Stopwatch::start());
        Spoil::Nothing
    }
}

fn refusal(request: &Request) -> Option<Spoil> {
    let not_implemented = Some(Spoil::Status(501, "NotImplemented"));
    let is_put = request.method == "PUT";
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let asks_for = |part: &str| query.split('&').any(|given| given.split('=').next() == Some(part));
    if UNKNOWN_QUERIES.iter().any(|part| asks_for(part)) {
        return not_implemented;
    }
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        let is_known = !name.starts_with("x-amz-") || KNOWN.contains(&name.as_str());
        let is_chunked = name == "content-encoding" && value.contains("aws-chunked");
        let is_trailer = name == "trailer" || value.starts_with("STREAMING-");
        if !is_known || is_chunked || is_trailer {
            return not_implemented;
        }
    }
    if is_put && request.header("content-length").is_none() {
        return Some(Spoil::Status(411, "MissingContentLength"));
    }
    None
}
