//! The parameters of the epochs, which may change while they are in use.

use crate::format::EpochParameters;
use parking_lot::RwLock;
use std::sync::Arc;

/// Parameters shared between the index and whoever learns of a change.
#[derive(Debug, Clone)]
pub struct EpochSettings(Arc<RwLock<EpochParameters>>);

impl EpochSettings {
    /// Settings that start as `parameters`.
    pub fn new(parameters: EpochParameters) -> Self {
        Self(Arc::new(RwLock::new(parameters)))
    }

    /// The parameters of this moment.
    pub fn get(&self) -> EpochParameters {
        self.0.read().clone()
    }

    /// Uses other parameters from now on. False if they begin or end epochs, for which an index must be opened anew.
    #[must_use]
    pub fn adopt(&self, parameters: &EpochParameters) -> bool {
        let mut current = self.0.write();
        if current.enabled != parameters.enabled {
            return false;
        }
        current.clone_from(parameters);
        true
    }
}
