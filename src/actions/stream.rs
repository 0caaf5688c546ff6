//! The output of a command as a stream whose end is only its end if the command has succeeded.

use super::Result;
use super::process::{Group, Running};
use crate::base::error_chain;
use std::io::{self, Read};
use std::process::{ChildStdout, Command, Stdio};

/// A command whose output is read.
#[derive(Debug)]
pub struct OutputOf {
    running: Running,
    output: ChildStdout,
    has_ended: bool,
}

impl OutputOf {
    /// Starts a command line with the shell.
    ///
    /// # Errors
    /// [`super::Error::Start`].
    pub fn shell(line: &str) -> Result<Self> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(line).stdout(Stdio::piped());
        let mut running = Running::start(command)?;
        let output = running.take_output().expect("it was asked for above");
        Ok(Self { running, output, has_ended: false })
    }

    /// The command with all its children; to be used as long as its end has not been read.
    pub fn group(&self) -> Group {
        self.running.group()
    }
}

impl Read for OutputOf {
    /// At the end of the output the command's status decides: half an output must not pass for a whole one.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        if read == 0 && !buffer.is_empty() && !self.has_ended {
            self.has_ended = true;
            self.running.wait_to_the_end().map_err(|error| io::Error::other(error_chain(&error)))?;
        }
        Ok(read)
    }
}

impl Drop for OutputOf {
    fn drop(&mut self) {
        if !self.has_ended {
            self.running.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Stopwatch;
    use std::time::Duration;

    #[test]
    fn the_status_decides_whether_the_end_is_one() {
        let read = |line: &str| {
            let mut text = String::new();
            OutputOf::shell(line).unwrap().read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read("echo a; echo b").unwrap(), "a\nb\n");
        assert_eq!(read("true").unwrap(), "");
        assert!(read("echo half; exit 3").unwrap_err().to_string().contains("exit status: 3"));
        assert!(read("kill -9 $$").is_err());
        let watch = Stopwatch::start();
        drop(OutputOf::shell("sleep 60"));
        assert!(watch.elapsed() < Duration::from_secs(30));
    }
}
