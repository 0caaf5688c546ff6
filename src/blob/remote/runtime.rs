//! The one asynchronous runtime of the process.

use std::future::Future;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that move bytes between sockets and TLS; futures of callers run on their own threads.
const WORKERS: usize = 2;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime, made when the first network store is opened, never for folders.
fn handle() -> &'static Handle {
    RUNTIME
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(WORKERS)
                .max_blocking_threads(8)
                .thread_name("network")
                .enable_all()
                .build()
                .expect("a process that cannot start a thread cannot do anything")
        })
        .handle()
}

/// Runs `future` to its end on the calling thread.
pub(in crate::blob) fn block_on<F: Future>(future: F) -> F::Output {
    handle().block_on(future)
}
