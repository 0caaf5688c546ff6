//! Threads that do what they are given.

use crossbeam_channel::{Sender, unbounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

type Task = Box<dyn FnOnce() + Send>;

/// A few threads and their queue. The queue has no bound of its own: whoever asks waits for the answer, and the kernel
/// bounds what it asks for ahead.
#[derive(Debug)]
pub(super) struct Pool {
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts them.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (tasks, queue) = unbounded::<Task>();
        let start = |_| {
            let queue = queue.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || queue.iter().for_each(run))
        };
        let threads = (0..threads).map(start).collect::<io::Result<_>>()?;
        Ok(Self { tasks: Some(tasks), threads })
    }

    /// Hands over a task.
    pub(super) fn run(&self, task: impl FnOnce() + Send + 'static) {
        if let Some(tasks) = &self.tasks {
            // A thread that is gone has panicked, and whoever asked hears of an error when the task is dropped.
            tasks.send(Box::new(task)).ok();
        }
    }

    /// How many tasks nobody has begun.
    pub(super) fn waiting(&self) -> usize {
        self.tasks.as_ref().map_or(0, Sender::len)
    }
}

/// A task that panics must not take its thread from those that come later. Whoever asked hears of an error.
fn run(task: Task) {
    catch_unwind(AssertUnwindSafe(task)).ok();
}

impl Drop for Pool {
    /// Waits for what was begun and for what is waiting.
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}
