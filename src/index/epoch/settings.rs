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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_change_and_epochs_may_not_begin_or_end() {
        let settings = EpochSettings::new(EpochParameters::DEFAULT);
        let shared = settings.clone();
        let shorter = EpochParameters { epoch_refresh_frequency: 1, ..EpochParameters::DEFAULT };
        assert!(settings.adopt(&shorter));
        assert_eq!(shared.get(), shorter);
        assert!(!settings.adopt(&EpochParameters::default()));
        assert_eq!(shared.get(), shorter);
    }
}
