//! Object-lock settings as the store wants them.

use super::{Error, Result};
use crate::blob::{Durability, PutOptions, Retention, RetentionMode};
use crate::format::BlobConfig;
use std::time::Duration;

/// The lock that `config` asks for, none if it asks for none.
///
/// # Errors
/// [`Error::RetentionMode`].
pub(super) fn retention(config: &BlobConfig) -> Result<Option<Retention>> {
    if !config.is_retention_enabled() {
        return Ok(None);
    }
    let mode = match config.retention_mode.as_str() {
        "GOVERNANCE" => RetentionMode::Governance,
        "COMPLIANCE" => RetentionMode::Compliance,
        mode => return Err(Error::RetentionMode { mode: mode.to_owned() }),
    };
    let period = Duration::from_nanos(u64::try_from(config.retention_period).unwrap_or(0));
    Ok(Some(Retention { mode, period }))
}

/// How `kopia.repository` and `kopia.blobcfg` are put in a repository with these settings.
///
/// # Errors
/// [`Error::RetentionMode`].
pub(super) fn put_options(config: &BlobConfig) -> Result<PutOptions> {
    Ok(PutOptions { durability: Durability::Now, set_timestamp: None, retention: retention(config)? })
}
