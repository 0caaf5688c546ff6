//! What a failure means to whoever has to decide what happens next.

/// The kind of a failure, asked from any layer's error with its `class()`.
///
/// Storage classifies at the source; every other layer passes the class on. Only [`ErrorClass::Unavailable`] may be
/// retried, and the process's exit status follows from the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The thing asked for is not there.
    NotFound,
    /// It is there already and must not be replaced.
    Exists,
    /// Permission was refused (EACCES, EPERM, HTTP 401/403). Never retried: it will be refused again.
    Denied,
    /// A passing fault: worth another try.
    Unavailable,
    /// Bytes are there but are not what was written, or cannot have been written by a sane client.
    Corrupt,
    /// The store has no room left.
    Full,
    /// The request makes no sense (bad name, bad option).
    Invalid,
    /// This store or format cannot do that.
    Unsupported,
    /// The connection was opened for reading only.
    ReadOnly,
    /// No repository lives here.
    NoRepository,
    /// The password does not open the repository.
    WrongPassword,
    /// Another client holds what is needed.
    Locked,
    /// The user or a signal asked to stop.
    Canceled,
    /// Done, but some sources could not be read.
    Incomplete,
    /// Anything else.
    Other,
}

impl ErrorClass {
    /// Whether trying the same thing again can help.
    pub fn is_retriable(self) -> bool {
        self == Self::Unavailable
    }

    /// The class of an operating-system error.
    ///
    /// `ESTALE` counts as passing: a stale NFS handle is cured by opening the path anew.
    pub fn of_io(error: &std::io::Error) -> Self {
        use rustix::io::Errno;
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::Exists,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::StaleNetworkFileHandle
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::ResourceBusy => Self::Unavailable,
            _ => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::IO | Errno::AGAIN | Errno::NOBUFS) => Self::Unavailable,
                _ => Self::Other,
            },
        }
    }
}

/// An error and all that caused it, in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
