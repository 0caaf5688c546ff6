//! How long what nothing refers to is kept.

use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// Margins that protect other clients at work, each described by the accident that it prevents.
///
/// Source: kopia `repo/maintenance/maintenance_safety.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafetyParameters {
    /// A pack that is younger is kept: the index that names it may still be on its way.
    pub pack_age_min: Duration,
    /// A pack of a session whose marker is younger is kept: a run that takes days writes its index late.
    pub session_age_max: Duration,
}

impl SafetyParameters {
    /// Safe beside other clients.
    pub const FULL: Self =
        Self { pack_age_min: HOUR.saturating_mul(24), session_age_max: HOUR.saturating_mul(96) };
    /// Only where no other client is at work.
    pub const NONE: Self = Self { pack_age_min: Duration::ZERO, session_age_max: Duration::ZERO };
}
