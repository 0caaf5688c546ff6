//! From what a client's library says of a connection to a [`Cause`].

use super::Cause;
use super::trust::FINGERPRINT_MARK;
use std::error::Error as StdError;
use std::io::{Error as IoError, ErrorKind};

/// Names why there is no answer.
pub(in crate::blob) fn of_connection(
    error: &(dyn StdError + 'static),
    host: &str,
    is_timeout: bool,
    connect_seconds: u64,
) -> Cause {
    let host = host.to_owned();
    if is_timeout {
        return Cause::ConnectTimeout { host, seconds: connect_seconds };
    }
    let texts = texts(error);
    let has = |part: &str| texts.iter().any(|text| text.contains(part));
    if has("dns error") || has("failed to lookup address") {
        return Cause::HostUnknown { host };
    }
    if let Some((_, found)) = texts.iter().find_map(|text| text.split_once(FINGERPRINT_MARK)) {
        return Cause::OtherCertificate { host, found: plain(found) };
    }
    if let Some(error) = find::<rustls::Error>(error) {
        let detail = plain(&error.to_string());
        return match error {
            rustls::Error::InvalidCertificate(_) => Cause::Untrusted { host, detail },
            _ => Cause::Handshake { host, detail },
        };
    }
    let is_connecting = has("client error (Connect)") || has("tcp connect error");
    match find::<IoError>(error).map(IoError::kind) {
        Some(ErrorKind::ConnectionRefused) => Cause::Refused { host },
        Some(ErrorKind::TimedOut) if is_connecting => {
            Cause::ConnectTimeout { host, seconds: connect_seconds }
        }
        Some(kind @ (ErrorKind::InvalidData | ErrorKind::UnexpectedEof)) if is_connecting => {
            Cause::Handshake { host, detail: kind.to_string() }
        }
        Some(kind) if is_connecting => Cause::Unreachable { host, detail: kind.to_string() },
        _ if has("invalid HTTP") => Cause::NotUnderstood { status: 0 },
        _ => Cause::Reset,
    }
}

/// The first error of a type among an error and its sources.
pub(in crate::blob) fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    links(error).find_map(<dyn StdError>::downcast_ref)
}

/// What an error and its sources say.
pub(in crate::blob) fn texts(error: &(dyn StdError + 'static)) -> Vec<String> {
    links(error).map(ToString::to_string).collect()
}

/// An error and its sources. What an `io::Error` wraps is one: its own `source` passes over it.
fn links<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<IoError>().and_then(IoError::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// The beginning of a text of the TLS library, which names certificates and hosts only.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
