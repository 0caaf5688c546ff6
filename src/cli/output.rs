//! The two streams: results on stdout, everything else on stderr.

use super::exit::Failure;
use super::{Result, exit::Explain};
use indicatif::ProgressBar;
use parking_lot::Mutex;
use serde::Serialize;
use std::io::{self, BufWriter, Stdout, Write};

/// What `--version` prints, in the form scripts know from Kopia.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " build: ",
    env!("CARGO_PKG_NAME"),
    " from: ",
    env!("CARGO_PKG_NAME"),
    "\n"
);

const STDOUT: &str = "cannot write to standard output";

/// Buffered stdout. A full disk or a closed pipe is an error of the command, not a panic and not silence.
#[derive(Debug)]
pub(crate) struct Output(BufWriter<Stdout>);

impl Output {
    /// The process's stdout.
    pub(crate) fn stdout() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        writeln!(self.0, "{text}").explain(STDOUT)
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: impl std::fmt::Display) -> Result<()> {
        write!(self.0, "{text}").explain(STDOUT)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).explain(STDOUT)
    }

    /// Writes a document as Go does, on one line or indented, with a line feed.
    pub(crate) fn json<T: Serialize>(&mut self, document: &T, is_indented: bool) -> Result<()> {
        self.json_text(document, is_indented)?;
        self.bytes(b"\n")
    }

    /// Writes a document without a line feed.
    pub(crate) fn json_text<T: Serialize>(&mut self, document: &T, is_indented: bool) -> Result<()> {
        let json = if is_indented {
            packhorse::base::gojson::to_pretty(document)
        } else {
            packhorse::base::gojson::to_vec(document)
        };
        self.bytes(&json.map_err(|error| Failure::new(format!("cannot print JSON: {error}")))?)
    }

    /// Hands everything to the system.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.0.flush().explain(STDOUT)
    }
}

/// Kopia's flags for results in JSON.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct JsonFlags {
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Indent the JSON.
    #[arg(long, hide = true)]
    pub(crate) json_indent: bool,
    /// Include statistics in the JSON.
    #[arg(long, hide = true)]
    pub(crate) json_verbose: bool,
}

/// A JSON list, item by item, framed as Kopia frames it: scripts compare an empty one with `[`, line feed, `]`.
pub(crate) struct JsonList<'a> {
    output: &'a mut Output,
    is_indented: bool,
    separator: &'static str,
}

impl<'a> JsonList<'a> {
    /// Begins the list.
    pub(crate) fn begin(output: &'a mut Output, flags: JsonFlags) -> Result<Self> {
        output.text("[")?;
        let separator = if flags.json_indent { "" } else { "\n " };
        Ok(Self { output, is_indented: flags.json_indent, separator })
    }

    /// Adds an item.
    pub(crate) fn item<T: Serialize>(&mut self, item: &T) -> Result<()> {
        self.output.text(self.separator)?;
        self.output.json_text(item, self.is_indented)?;
        self.separator = if self.is_indented { "," } else { ",\n " };
        Ok(())
    }

    /// Ends the list.
    pub(crate) fn end(self) -> Result<()> {
        self.output.text(if self.is_indented { "]" } else { "\n]" })
    }
}

/// Writes text to stdout at once.
pub(crate) fn write_all(text: &str) -> Result<()> {
    let mut output = Output::stdout();
    output.text(text)?;
    output.flush()
}

/// Writes a line to stderr. If that fails there is nobody left to tell.
pub(crate) fn stderr_line(text: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an error line to stderr.
pub(crate) fn error_line(text: &str) {
    stderr_line(&format!("packhorse: error: {text}"));
}

/// Lines on stderr that do not tear a progress display.
#[derive(Debug)]
pub(crate) struct Talk {
    level: tracing::Level,
    progress: Mutex<Option<ProgressBar>>,
}

impl Talk {
    /// Lines below `level` stay unsaid.
    pub(crate) fn new(level: tracing::Level) -> Self {
        Self { level, progress: Mutex::new(None) }
    }

    /// Writes a line about what goes on.
    pub(crate) fn line(&self, text: impl std::fmt::Display) {
        if self.level >= tracing::Level::INFO {
            self.always(text);
        }
    }

    /// Writes a line about something the user should look at.
    pub(crate) fn warning(&self, text: impl std::fmt::Display) {
        if self.level >= tracing::Level::WARN {
            self.always(format_args!("warning: {text}"));
        }
    }

    /// Writes a line whatever the level.
    pub(crate) fn always(&self, text: impl std::fmt::Display) {
        let text = text.to_string();
        match &*self.progress.lock() {
            Some(bar) => bar.suspend(|| stderr_line(&text)),
            None => stderr_line(&text),
        }
    }

    /// From now on lines make room for this display, or for none.
    pub(crate) fn set_progress(&self, bar: Option<ProgressBar>) {
        *self.progress.lock() = bar;
    }
}

/// The writer of the log: every event is one line.
pub(crate) struct LogLine(pub(crate) std::sync::Arc<Talk>);

impl Write for LogLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.always(String::from_utf8_lossy(event).trim_end());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
