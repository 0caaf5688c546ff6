//! The end of commands that may hang in a request when a signal asks them to stop.

use super::Result;
use super::context::Context;
use super::exit::Explain;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long what has begun may take after a signal.
const GRACE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);

/// While it lives, the process ends at the latest a few seconds after the first signal. For commands whose storage is
/// sound at any moment.
pub(super) struct Grace {
    _stop: Sender<()>,
}

impl Grace {
    /// Begins to watch.
    pub(super) fn begin(ctx: &Context) -> Result<Self> {
        let (cancel, talk) = (ctx.cancel()?, std::sync::Arc::clone(ctx.talk()));
        let status = ctx.signal_probe();
        let (stop, stopped) = bounded::<()>(0);
        let watch = move || {
            let mut wait = LOOK;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                if wait == GRACE {
                    talk.line("the storage does not answer; what was being written is left unfinished");
                    std::process::exit(status());
                }
                if cancel.load(Ordering::Relaxed) {
                    wait = GRACE;
                }
            }
        };
        std::thread::Builder::new().name("grace".to_owned()).spawn(watch).explain("cannot start a thread")?;
        Ok(Self { _stop: stop })
    }
}
