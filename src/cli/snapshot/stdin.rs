//! Sources that come through a pipe: standard input, or the output of a command.

use crate::cli::Result;
use crate::cli::exit::Explain;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use packhorse::actions::{Group, OutputOf};
use packhorse::snapshot::Stream;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is read at once, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces read ahead.
const PIECES: usize = 4;
/// How soon a stop is heard while nothing comes.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// Flags that replace what lies at the source's path.
#[derive(Debug, clap::Args)]
pub(super) struct StdinFlags {
    /// Save standard input as a file of this name; the source is the name it is kept under
    #[arg(long, value_name = "NAME")]
    stdin_file: Option<String>,
    /// Save the output of this shell command instead; nothing is saved when the command fails
    #[arg(long, value_name = "COMMAND")]
    stdin_from_command: Option<String>,
}

impl StdinFlags {
    /// Whether the source's path is only a name.
    pub(super) fn is_given(&self) -> bool {
        self.stdin_file.is_some() || self.stdin_from_command.is_some()
    }

    /// The name of the file.
    pub(super) fn file_name(&self) -> &str {
        self.stdin_file.as_deref().unwrap_or("stdin")
    }

    /// Opens the stream, a command being started; `stop` ends it early.
    pub(super) fn open(&self, directory: String, stop: &Arc<AtomicBool>) -> Result<Stream> {
        let (reader, group): (Box<dyn Read + Send>, _) = match &self.stdin_from_command {
            Some(line) => {
                let output = OutputOf::shell(line).explain("cannot read the output of a command")?;
                let group = output.group();
                (Box::new(output), Some(group))
            }
            None => (Box::new(io::stdin()), None),
        };
        let reader =
            Stoppable::start(reader, group, Arc::clone(stop)).explain("cannot read standard input")?;
        let is_essential = self.stdin_from_command.is_some();
        Ok(Stream { directory, name: self.file_name().to_owned(), reader: Box::new(reader), is_essential })
    }
}

/// A reader whose waiting can be ended: another thread waits in its place.
struct Stoppable {
    /// Pieces, an empty one for the end, or what went wrong.
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    has_ended: bool,
    /// What is to be ended when nobody reads on.
    group: Option<Group>,
    stop: Arc<AtomicBool>,
}

impl Stoppable {
    fn start(
        mut reader: Box<dyn Read + Send>,
        group: Option<Group>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (sender, pieces) = bounded(PIECES);
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            loop {
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                let read = (&mut reader).take(PIECE_BYTES as u64).read_to_end(&mut piece).map(|_| piece);
                let is_last = read.as_ref().map_or(true, Vec::is_empty);
                // Nobody listens any more when the upload has ended.
                if sender.send(read).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { pieces, piece: io::Cursor::default(), has_ended: false, group, stop })
    }

    /// The next piece; `None` when there is a stop.
    fn next(&self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.pieces.recv_timeout(LISTEN_EVERY) {
                Ok(piece) => return piece.map(Some),
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("its reader broke off")),
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => {
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.piece.read(buffer)?;
        if read > 0 || self.has_ended || buffer.is_empty() {
            return Ok(read);
        }
        match self.next() {
            Ok(Some(piece)) => self.piece = io::Cursor::new(piece),
            Ok(None) => return Err(io::Error::other("stopped")),
            Err(error) => {
                self.has_ended = true;
                return Err(error);
            }
        }
        self.has_ended = self.piece.get_ref().is_empty();
        self.piece.read(buffer)
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        if let (false, Some(group)) = (self.has_ended, self.group) {
            group.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has, then fails or waits for ever.
    struct Then(&'static [u8], Option<&'static str>);

    impl Read for Then {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.0.read(buffer)?, self.1) {
                (0, Some(message)) => Err(io::Error::other(message)),
                (0, None) => {
                    std::thread::park();
                    Ok(0)
                }
                (read, _) => Ok(read),
            }
        }
    }

    #[test]
    fn only_the_end_is_an_end() {
        let start = |reader: Box<dyn Read + Send>| Stoppable::start(reader, None, Arc::default()).unwrap();
        let long = vec![7; 3 * PIECE_BYTES + 5];
        let mut read = Vec::new();
        start(Box::new(io::Cursor::new(long.clone()))).read_to_end(&mut read).unwrap();
        assert!(read == long);
        let mut failing = start(Box::new(Then(b"half", Some("the disk is on fire"))));
        assert!(failing.read_to_end(&mut read).unwrap_err().to_string().contains("fire"));
    }

    #[test]
    fn waiting_ends_with_a_stop() {
        let stop = Arc::new(AtomicBool::new(false));
        let mut waiting = Stoppable::start(Box::new(Then(b"", None)), None, Arc::clone(&stop)).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(waiting.read(&mut [0; 10]).is_err());
    }
}
