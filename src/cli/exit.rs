//! What went wrong, for people and for scripts: one line on stderr, a hint where one helps, and the exit status.
//!
//! The table of statuses is in `docs/operations.md`.

use super::Result;
use super::context::Context;
use super::output;
use packhorse::base::ErrorClass;
use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

/// Exit status of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Anything that has no number of its own.
    Failed = 1,
    /// The command line makes no sense; nothing was touched.
    Usage = 2,
    /// Done, but some sources could not be read.
    Incomplete = 3,
    /// There is no repository.
    NoRepository = 10,
    /// Another client holds what is needed.
    Locked = 11,
    /// The password does not open the repository.
    WrongPassword = 12,
    /// Something stored is damaged.
    Corrupt = 13,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl Status {
    /// The status for errors of a class.
    pub(crate) fn of_class(class: ErrorClass) -> Self {
        match class {
            ErrorClass::NoRepository => Self::NoRepository,
            ErrorClass::Locked => Self::Locked,
            ErrorClass::WrongPassword => Self::WrongPassword,
            ErrorClass::Corrupt => Self::Corrupt,
            ErrorClass::Incomplete => Self::Incomplete,
            ErrorClass::Canceled => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}

/// A failed command: messages from the outermost to the innermost, the status, and perhaps a hint.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    messages: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure without a cause.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { status: Status::Failed, messages: vec![message.into()], hint: None }
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(message).with_status(Status::Usage)
    }

    /// The failure of an error with all its sources.
    pub(crate) fn of(error: &(dyn StdError + 'static), status: Status) -> Self {
        let mut messages = vec![error.to_string()];
        let mut next = error.source();
        while let Some(source) = next {
            messages.push(source.to_string());
            next = source.source();
        }
        Self { status, messages, hint: None }
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// The same with a line that says what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with an outer message.
    pub(crate) fn within(mut self, message: impl Into<String>) -> Self {
        self.messages.insert(0, message.into());
        self
    }

    fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref().or(match self.status {
            Status::NoRepository => {
                Some("connect with `packhorse repository connect`, or create one with `repository create`")
            }
            Status::Corrupt => {
                Some("the repository was not changed; keep it as it is until the cause is known")
            }
            _ => None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join(": "))
    }
}

/// Adds an outer message to an error.
pub(crate) trait Explain<T> {
    /// `message: <the error>`.
    fn explain(self, message: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Failure>> Explain<T> for std::result::Result<T, E> {
    fn explain(self, message: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().within(message.to_string()))
    }
}

macro_rules! from_library {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::of(&error, Status::of_class(error.class()))
            }
        }
    )*};
}

from_library!(
    packhorse::actions::Error,
    packhorse::blob::Error,
    packhorse::compression::Error,
    packhorse::content::Error,
    packhorse::crypto::Error,
    packhorse::format::Error,
    packhorse::index::Error,
    packhorse::maintenance::Error,
    packhorse::manifest::Error,
    packhorse::mount::Error,
    packhorse::object::Error,
    packhorse::policy::Error,
    packhorse::repo::Error,
    packhorse::restore::Error,
    packhorse::snapshot::Error,
    packhorse::source::Error,
);

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::of(&error, Status::Failed)
    }
}

/// Help and version go to stdout and succeed; a line that does not parse is status 2.
pub(crate) fn of_parser(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp => of_write(output::write_all(&error.render().to_string())),
        ErrorKind::DisplayVersion => of_write(output::write_all(output::VERSION)),
        _ => {
            output::error_line(&format!("{}, try --help", in_one_line(&error.render().to_string())));
            ExitCode::from(Status::Usage as u8)
        }
    }
}

/// The first paragraph of the parser's message, without its indented lists.
fn in_one_line(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    let lines: Vec<_> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

/// The status after text was printed.
pub(crate) fn of_write(written: Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => of_failure(&failure),
    }
}

/// Prints a failure; its status.
pub(crate) fn of_failure(failure: &Failure) -> ExitCode {
    output::error_line(&failure.to_string());
    if let Some(hint) = failure.hint_text() {
        output::stderr_line(&format!("packhorse: hint: {hint}"));
    }
    ExitCode::from(failure.status as u8)
}

/// The status of a finished command: a signal that was obeyed outranks what the command made of it.
pub(crate) fn of_command(ctx: &Context, outcome: Result<()>) -> ExitCode {
    match (outcome, ctx.signal_status()) {
        (Ok(()), None) => ExitCode::SUCCESS,
        (Ok(()), Some(status)) => ExitCode::from(status as u8),
        (Err(failure), None) => of_failure(&failure),
        (Err(failure), Some(status)) => of_failure(&failure.with_status(status)),
    }
}
