//! One process with its group, until it ends or has to.

use super::{Error, Result};
use crate::base::Stopwatch;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is looked whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Time to end in peace, between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// What is kept of an output; the rest is read and dropped.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Held while a script is written and while a process is started: a child that another thread starts in between would
/// inherit the open script, which then cannot be executed.
static STARTING: Mutex<()> = Mutex::new(());

/// Runs `prepare`, which writes what the process needs, without any process being started meanwhile.
pub(super) fn without_starts<T>(prepare: impl FnOnce() -> T) -> T {
    let _alone = STARTING.lock();
    prepare()
}

/// A process group, for those who have not started it and must end it.
#[derive(Debug, Clone, Copy)]
pub struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(i32::try_from(child.id()).ok().and_then(Pid::from_raw))
    }

    /// Ends all processes in it: politely, then not.
    pub fn end(self) {
        self.signal(Signal::TERM);
        let watch = Stopwatch::start();
        while watch.elapsed() < GRACE && self.is_there() {
            std::thread::sleep(LOOK_EVERY);
        }
        self.signal(Signal::KILL);
    }

    fn is_there(self) -> bool {
        self.0.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
    }

    fn signal(self, signal: Signal) {
        if let Some(group) = self.0 {
            // A group that is gone is what is wanted.
            kill_process_group(group, signal).ok();
        }
    }
}

/// A running process that leads a group.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    program: String,
}

impl Running {
    /// Starts the command in a group of its own, with nothing to read.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).process_group(0);
        let child = {
            let _alone = STARTING.lock();
            command.spawn()
        };
        let child = child.map_err(|source| Error::Start { program: program.clone(), source })?;
        Ok(Self { child, program })
    }

    /// Collects the output, if it was piped, on a thread of its own.
    pub(super) fn collect_output(&mut self) -> Output {
        let output = Output::default();
        if let Some(pipe) = self.child.stdout.take() {
            let collector = output.clone();
            // Without the thread nothing is collected, and the process gets a closed pipe.
            std::thread::Builder::new()
                .name("action-output".to_owned())
                .spawn(move || collector.fill(pipe))
                .ok();
        }
        output
    }

    pub(super) fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it has ended by itself, or ends it: after `limit`, and when `stop` is set.
    pub(super) fn wait(&mut self, limit: Duration, stop: Option<&AtomicBool>) -> Result<()> {
        let watch = Stopwatch::start();
        loop {
            if let Some(status) = self.try_wait()? {
                return self.judge(status);
            }
            let program = || self.program.clone();
            let why = if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                Error::Stopped { program: program() }
            } else if watch.elapsed() >= limit {
                Error::TimedOut { program: program(), limit }
            } else {
                std::thread::sleep(LOOK_EVERY);
                continue;
            };
            self.end();
            return Err(why);
        }
    }

    /// Waits for as long as it takes; for a process that has closed its output.
    pub(super) fn wait_to_the_end(&mut self) -> Result<()> {
        let status = self.child.wait().map_err(|source| self.failed(source))?;
        self.judge(status)
    }

    /// Ends the group: politely, then not. Children of the process that have left its group go on.
    pub(super) fn end(&mut self) {
        let group = self.group();
        group.signal(Signal::TERM);
        let watch = Stopwatch::start();
        while watch.elapsed() < GRACE {
            if !matches!(self.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // Also when the leader is gone: the rest of the group may not be.
        group.signal(Signal::KILL);
        self.child.wait().ok();
    }

    pub(super) fn group(&self) -> Group {
        Group::of(&self.child)
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|source| self.failed(source))
    }

    fn judge(&self, status: ExitStatus) -> Result<()> {
        if status.success() { Ok(()) } else { Err(Error::Failed { program: self.program.clone(), status }) }
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Start { program: self.program.clone(), source }
    }
}

/// What a process has written so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Output(Arc<(Mutex<Vec<u8>>, AtomicBool)>);

impl Output {
    fn fill(&self, mut pipe: std::process::ChildStdout) {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            let mut bytes = self.0.0.lock();
            let room = OUTPUT_BYTES_MAX - bytes.len();
            bytes.extend_from_slice(piece.get(..read.min(room)).unwrap_or_default());
        }
        self.0.1.store(true, Ordering::Release);
    }

    /// The bytes, once all are there. Something that a process has left running may keep the pipe open, and is not
    /// waited for long.
    pub(super) fn take(&self) -> Vec<u8> {
        let watch = Stopwatch::start();
        while !self.0.1.load(Ordering::Acquire) && watch.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::mem::take(&mut *self.0.0.lock())
    }
}
