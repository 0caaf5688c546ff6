//! Index blobs in numbered epochs.
//!
//! New index blobs go to the write epoch. Two epochs later nobody writes to it any more, and maintenance may replace its
//! blobs by fewer. All clients agree on this only by time: a view of the epochs may be used for
//! `EpochRefreshFrequency`, and everything that is deleted has been replaced for much longer than that.
//!
//! Source: kopia `internal/epoch/`.

pub(super) mod names;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use settings::EpochSettings;
pub(super) use state::State;

use super::blobs::{ActiveSet, SealedIndex, delete, put};
use super::{Error, Result};
use crate::base::{Clock, Timestamp};
use crate::blob::{BlobId, Storage};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How often a view that is out of date when it is complete is taken anew.
const ATTEMPTS_MAX: u32 = 20;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LONGEST: Duration = Duration::from_secs(15);

/// The view of the epochs, taken anew when it gets old.
pub(super) struct Epochs {
    storage: Arc<dyn Storage>,
    settings: EpochSettings,
    clock: Arc<dyn Clock>,
    state: Mutex<Option<Arc<State>>>,
}

impl Epochs {
    pub(super) fn new(storage: Arc<dyn Storage>, settings: EpochSettings, clock: Arc<dyn Clock>) -> Self {
        Self { storage, settings, clock, state: Mutex::new(None) }
    }

    /// The epoch that new index blobs go to.
    pub(super) fn write_epoch(&self) -> Result<i64> {
        Ok(self.state(0)?.write_epoch)
    }

    /// Forgets the view: it will be taken anew.
    pub(super) fn invalidate(&self) {
        *self.state.lock() = None;
    }

    /// The view, if it is valid for `remaining_nanos` from now; else a new one.
    fn state(&self, remaining_nanos: i64) -> Result<Arc<State>> {
        let mut state = self.state.lock();
        let needed = self.clock.now().saturating_add_nanos(remaining_nanos);
        if let Some(known) = state.as_ref().filter(|known| needed <= known.valid_until) {
            return Ok(Arc::clone(known));
        }
        let mut pause = BACKOFF_FIRST;
        for _ in 1..ATTEMPTS_MAX {
            match self.load() {
                Err(Error::TooSlow { .. }) => self.clock.sleep(pause),
                other => return Ok(Arc::clone(state.insert(Arc::new(other?)))),
            }
            pause = pause.mul_f32(1.5).min(BACKOFF_LONGEST);
        }
        let last = self.load()?;
        Ok(Arc::clone(state.insert(Arc::new(last))))
    }

    fn load(&self) -> Result<State> {
        State::load(&*self.storage, &self.settings.get(), &*self.clock)
    }

    /// The blobs a reader must load.
    pub(super) fn active(&self) -> Result<ActiveSet> {
        for _ in 0..ATTEMPTS_MAX {
            let state = self.state(0)?;
            let set = state.active();
            // Later than this, blobs of the set may have been replaced and deleted.
            if self.clock.now() < state.valid_until {
                return Ok(set);
            }
        }
        Err(Error::TooSlow { operation: "list index blobs" })
    }

    /// Writes indexes into the write epoch, and makes sure that it still was one when they had been written.
    ///
    /// Source: kopia `internal/epoch/epoch_manager.go`, `WriteIndex`.
    pub(super) fn write(&self, indexes: &[SealedIndex]) -> Result<Vec<BlobId>> {
        let (epoch, written) = self.write_into_current(indexes)?;
        self.invalidate();
        let current = self.state(0)?.write_epoch;
        if current >= epoch.saturating_add(2) {
            // The epoch may have been compacted without these. A left-over is harmless: its entries come again.
            delete(&*self.storage, &written).ok();
            return Err(Error::EpochPassed { written: epoch, current });
        }
        Ok(written)
    }

    fn write_into_current(&self, indexes: &[SealedIndex]) -> Result<(i64, Vec<BlobId>)> {
        let remaining = self.settings.get().epoch_refresh_frequency / 4 * 3;
        let mut written: Vec<BlobId> = Vec::new();
        let mut epoch = None;
        for _ in 0..ATTEMPTS_MAX {
            let state = self.state(remaining)?;
            if epoch != Some(state.write_epoch) {
                delete(&*self.storage, &written)?;
                written.clear();
                epoch = Some(state.write_epoch);
            }
            if self.write_before(state.valid_until, state.write_epoch, indexes, &mut written)? {
                return Ok((state.write_epoch, written));
            }
        }
        Err(Error::TooSlow { operation: "write index blobs" })
    }

    /// Writes what is not in `written`; says whether all of it went out in time.
    fn write_before(
        &self,
        valid_until: Timestamp,
        epoch: i64,
        indexes: &[SealedIndex],
        written: &mut Vec<BlobId>,
    ) -> Result<bool> {
        for index in indexes {
            let id = BlobId::from(format!("{}{}", names::uncompacted_prefix(epoch), index.name));
            if written.contains(&id) {
                continue;
            }
            if self.clock.now() >= valid_until {
                return Ok(false);
            }
            put(&*self.storage, &id, index.bytes.clone())?;
            written.push(id);
        }
        Ok(true)
    }
}
