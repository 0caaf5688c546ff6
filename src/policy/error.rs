//! What can be wrong with a policy or its target.

use crate::base::ErrorClass;

/// The result of handling a policy.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A policy or target that cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A target such as `user@` names no host.
    #[error("{text:?} names no host")]
    NoHost {
        /// The text given.
        text: String,
    },
    /// A policy path ends with a separator without being a root.
    #[error("the policy path {path:?} must not end with a slash or a backslash")]
    TrailingSeparator {
        /// The path given.
        path: String,
    },
    /// A manual schedule with times.
    #[error("a manual schedule cannot be combined with other scheduling values")]
    ManualWithSchedule,
    /// A cron expression that does not parse.
    #[error("{expression:?} is not a cron expression")]
    Cron {
        /// The expression given.
        expression: String,
    },
    /// A key that no policy has where it stands.
    #[error("a policy has no {key:?} there")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// Something that is no policy.
    #[error("it is no policy")]
    Json {
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The number of parallel snapshots, set for a path.
    #[error("the number of parallel snapshots can be set for everything, a host or a user, not for {path:?}")]
    ParallelSnapshotsOnPath {
        /// The path of the target.
        path: String,
    },
    /// Policies could not be read.
    #[error(transparent)]
    Manifest(#[from] crate::manifest::Error),
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Manifest(source) => source.class(),
            _ => ErrorClass::Invalid,
        }
    }
}
