//! What can go wrong with commands.

use crate::base::ErrorClass;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// The result of a call that runs a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A command that did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The policy names neither a program nor a script.
    #[error("the policy has a {action} action with neither a program nor a script")]
    Nothing {
        /// Which action.
        action: &'static str,
    },
    /// The folder it works in, or its script, could not be written.
    #[error("cannot prepare the {action} action")]
    Prepare {
        /// Which action.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It could not be started or waited for.
    #[error("cannot run {program:?}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended with a status other than zero.
    #[error("{program:?} ended with {status}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It ran too long and was ended.
    #[error("{program:?} was ended after {} seconds", limit.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// How long it was allowed to run.
        limit: Duration,
    },
    /// It was ended because this process is to stop.
    #[error("{program:?} was ended: this run is to stop")]
    Stopped {
        /// The program.
        program: String,
    },
    /// A command that the policy calls essential failed.
    #[error("the essential {action} action failed")]
    Essential {
        /// Which action.
        action: &'static str,
        /// How.
        #[source]
        source: Box<Self>,
    },
}

impl Error {
    /// What the failure means for the caller.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Nothing { .. } => ErrorClass::Invalid,
            Self::Prepare { source, .. } | Self::Start { source, .. } => ErrorClass::of_io(source),
            Self::Failed { .. } | Self::TimedOut { .. } => ErrorClass::Other,
            Self::Stopped { .. } => ErrorClass::Canceled,
            Self::Essential { source, .. } => source.class(),
        }
    }
}
