//! Why a store behind a network did not do what it was asked, and what to do about it.

use crate::base::ErrorClass;
use std::fmt;
use std::time::Duration;

/// Which way the bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the store.
    Upload,
    /// From the store.
    Download,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upload => "upload",
            Self::Download => "download",
        })
    }
}

/// The cause of a failed request, with what to do about it. No field ever holds a secret: texts of servers come in only as
/// codes of letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The name service knows no such host.
    #[error("the host {host} cannot be found: check the endpoint and the name service")]
    HostUnknown {
        /// Host of the endpoint.
        host: String,
    },
    /// Nobody listens.
    #[error("{host} refuses connections: check host and port of the endpoint, and whether the server runs")]
    Refused {
        /// Host of the endpoint.
        host: String,
    },
    /// The certificate is not one that is trusted.
    #[error(
        "the certificate of {host} is not trusted ({detail}): check the endpoint, or name the authority \
         that signed it (--root-ca-pem-path)"
    )]
    Untrusted {
        /// Host of the endpoint.
        host: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The handshake failed for another reason.
    #[error("no secure connection to {host} ({detail}): if the server speaks plain HTTP, use --disable-tls")]
    Handshake {
        /// Host of the endpoint.
        host: String,
        /// What went wrong.
        detail: String,
    },
    /// No connection in time.
    #[error("no connection to {host} within {seconds} s: check the network, firewalls and the endpoint")]
    ConnectTimeout {
        /// Host of the endpoint.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// The connection could not be made for another reason.
    #[error("no connection to {host} ({detail}): check the network and the endpoint")]
    Unreachable {
        /// Host of the endpoint.
        host: String,
        /// What the system said.
        detail: String,
    },
    /// The request went out, and nothing came back.
    #[error("the server did not answer within {seconds} s: check its health and the network")]
    NoAnswer {
        /// The limit.
        seconds: u64,
    },
    /// A body stopped moving.
    #[error("the {direction} stalled for {seconds} s after {bytes} bytes: check the network")]
    Stalled {
        /// Which way.
        direction: Direction,
        /// How far it had come.
        bytes: u64,
        /// The limit.
        seconds: u64,
    },
    /// The whole took too long.
    #[error("the request took longer than {seconds} s: the line is too slow or the server overloaded")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// The connection broke.
    #[error("the connection broke: check the network, and limits of proxies and load balancers")]
    Reset,
    /// The answer ended early.
    #[error("the answer ended after {received} of {expected} bytes: check the network and proxies")]
    Truncated {
        /// Bytes announced.
        expected: u64,
        /// Bytes that came.
        received: u64,
    },
    /// The bytes are not those that were stored.
    #[error(
        "the {bytes} bytes that arrived do not have the checksum that the store gives for them: check the network"
    )]
    Damaged {
        /// How many.
        bytes: u64,
    },
    /// Too many requests.
    #[error(
        "the store asks for fewer requests (status {status}): lower the parallelism, or set throttling limits"
    )]
    Throttled {
        /// HTTP status.
        status: u16,
        /// How long the store wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server has a problem of its own.
    #[error("the server failed (status {status}{}): look at its health", shown(code))]
    ServerFault {
        /// HTTP status.
        status: u16,
        /// The store's word for it.
        code: String,
        /// How long the store wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Success in the head, an error in the body.
    #[error("the server began to answer and failed then{}: look at its health", shown(code))]
    FailedAnswer {
        /// The store's word for it.
        code: String,
    },
    /// The key may not do this.
    #[error("access was denied{}: the key needs the permission to {operation}", shown(code))]
    AccessDenied {
        /// What was tried.
        operation: &'static str,
        /// The store's word for it.
        code: String,
    },
    /// No such key.
    #[error("the access key id is not known to the store: check --access-key and the endpoint")]
    UnknownKey,
    /// The secret does not fit the key.
    #[error("the signature is not accepted: check --secret-access-key (and --region, if it was given)")]
    BadSignature,
    /// The credentials are past their time.
    #[error("the session token is expired or not valid: get new credentials")]
    ExpiredToken,
    /// The clocks are too far apart to sign requests.
    #[error("{}", skewed(*ahead_seconds))]
    ClockSkew {
        /// How far the clock of this machine is ahead of the server's, if that told its time.
        ahead_seconds: Option<i64>,
    },
    /// No credentials were found.
    #[error(
        "there are no credentials ({detail}): give --access-key and --secret-access-key, or provide them by \
         environment, profile or instance role"
    )]
    NoCredentials {
        /// Which kind of source failed.
        detail: &'static str,
    },
    /// No such bucket.
    #[error("there is no bucket {bucket}: create it, or check --bucket and --endpoint")]
    NoBucket {
        /// The bucket.
        bucket: String,
    },
    /// The bucket lives elsewhere.
    #[error("the bucket belongs to another region or endpoint: {}", elsewhere(region.as_deref()))]
    WrongRegion {
        /// Where, if the server said so.
        region: Option<String>,
    },
    /// Whoever answered does not speak the protocol.
    #[error(
        "the answer (status {status}) is not one of an object store: check the endpoint, its port, and proxies \
         or login pages on the way"
    )]
    NotUnderstood {
        /// HTTP status.
        status: u16,
    },
    /// No room.
    #[error("the store has no room left{}: free space or raise the quota", shown(code))]
    Full {
        /// The store's word for it.
        code: String,
    },
    /// A lock forbids it.
    #[error("a lock or the state of the bucket forbids it{}: wait until the lock ends", shown(code))]
    Locked {
        /// The store's word for it.
        code: String,
    },
    /// The store cannot do that.
    #[error("the store cannot do that{}", shown(code))]
    NotImplemented {
        /// The store's word for it.
        code: String,
    },
    /// User name, password or key are not accepted.
    #[error("the server refuses the login of {user:?}: check user name and password, or the key")]
    LoginRefused {
        /// Who tried.
        user: String,
    },
    /// A host that nobody vouched for.
    #[error(
        "the host {host} is not known; its key is {fingerprint}: if that is right, add the host to the known hosts"
    )]
    HostKeyUnknown {
        /// Host and port.
        host: String,
        /// Fingerprint of the key it showed.
        fingerprint: String,
    },
    /// Another key than the one that is known.
    #[error(
        "the host {host} shows the key {fingerprint}, which is not the one that is known for it: somebody may be \
         listening in, or the host was set up anew"
    )]
    HostKeyChanged {
        /// Host and port.
        host: String,
        /// Fingerprint of the key it showed.
        fingerprint: String,
    },
    /// Not the certificate whose fingerprint was given.
    #[error("the certificate of {host} has the fingerprint {found}, which is not the one to trust")]
    OtherCertificate {
        /// Host of the server.
        host: String,
        /// SHA-256 of the certificate, as hex.
        found: String,
    },
    /// The folder of the repository is not there.
    #[error("the folder of the repository, {path}, is not there: check path and mounts on the server")]
    NoRoot {
        /// The folder.
        path: String,
    },
    /// What is to be started is not there.
    #[error("the program {program} cannot be started ({detail}): install it, or say where it is")]
    NoProgram {
        /// Name or path.
        program: String,
        /// What the system said.
        detail: String,
    },
    /// A program on this machine that the store needs has failed.
    #[error("{program} ended or did not answer{}", shown(detail))]
    ProgramFailed {
        /// Its name.
        program: String,
        /// What it last said.
        detail: String,
    },
    /// Something under the control of this machine makes no sense.
    #[error("{detail}")]
    Misconfigured {
        /// What, and what to do.
        detail: String,
    },
    /// Another refusal.
    #[error("the store refused the request (status {status}{})", shown(code))]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The store's word for it.
        code: String,
    },
}

impl Cause {
    /// What it means for the caller. Permissions, keys and names do not change by asking again.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::HostUnknown { .. }
            | Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Stalled { .. }
            | Self::TooSlow { .. }
            | Self::Reset
            | Self::Truncated { .. }
            | Self::Damaged { .. }
            | Self::Throttled { .. }
            | Self::ServerFault { .. }
            | Self::FailedAnswer { .. } => ErrorClass::Unavailable,
            Self::Untrusted { .. }
            | Self::AccessDenied { .. }
            | Self::UnknownKey
            | Self::BadSignature
            | Self::ExpiredToken
            | Self::ClockSkew { .. }
            | Self::NoCredentials { .. }
            | Self::LoginRefused { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyChanged { .. }
            | Self::OtherCertificate { .. }
            | Self::Locked { .. } => ErrorClass::Denied,
            Self::NoBucket { .. } | Self::NoRoot { .. } => ErrorClass::NoRepository,
            Self::Full { .. } => ErrorClass::Full,
            Self::NotImplemented { .. } => ErrorClass::Unsupported,
            Self::WrongRegion { .. }
            | Self::Handshake { .. }
            | Self::NoProgram { .. }
            | Self::Misconfigured { .. } => ErrorClass::Invalid,
            Self::ProgramFailed { .. } | Self::NotUnderstood { .. } | Self::Rejected { .. } => {
                ErrorClass::Other
            }
        }
    }

    /// How long the store wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::ServerFault { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn shown(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(", {code}") }
}

fn skewed(ahead: Option<i64>) -> String {
    let told = match ahead {
        Some(ahead @ 0..) => format!("the clock of this machine is {ahead} s ahead of the server's"),
        Some(behind) => {
            format!("the clock of this machine is {} s behind the server's", behind.unsigned_abs())
        }
        None => "the clocks of this machine and the server differ too much".to_owned(),
    };
    format!("{told}: correct the one that is wrong (NTP)")
}

fn elsewhere(region: Option<&str>) -> String {
    match region {
        Some(region) => format!("use --region {region}"),
        None => "check --region and --endpoint".to_owned(),
    }
}
