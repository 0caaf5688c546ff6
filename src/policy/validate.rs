//! What Kopia refuses to store as a policy.

use super::cron;
use super::path::has_trailing_separator;
use super::{Error, Policy, Result, SchedulingPolicy, SourceInfo};

impl Policy {
    /// Checks that the policy can be stored for `target`.
    ///
    /// # Errors
    /// [`Error::ManualWithSchedule`], [`Error::Cron`], [`Error::ParallelSnapshotsOnPath`],
    /// [`Error::TrailingSeparator`].
    ///
    /// Source: kopia `snapshot/policy/policy.go` (`ValidatePolicy`, `validatePolicyPath`).
    pub fn validate(&self, target: &SourceInfo) -> Result<()> {
        let only_manual = SchedulingPolicy { manual: true, ..Default::default() };
        if self.scheduling.manual && self.scheduling != only_manual {
            return Err(Error::ManualWithSchedule);
        }
        if let Some(expression) = self.scheduling.cron.iter().find(|expression| !cron::is_valid(expression)) {
            return Err(Error::Cron { expression: expression.clone() });
        }
        if !target.path.is_empty() && self.upload.max_parallel_snapshots.is_some() {
            return Err(Error::ParallelSnapshotsOnPath { path: target.path.clone() });
        }
        if has_trailing_separator(&target.path) {
            return Err(Error::TrailingSeparator { path: target.path.clone() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_kopia_refuses() {
        let check = |text: &str, path: &str| {
            serde_json::from_str::<Policy>(text).unwrap().validate(&SourceInfo::new("u", "h", path))
        };
        assert!(check(r#"{"scheduling":{"manual":true}}"#, "/a").is_ok());
        let error = check(r#"{"scheduling":{"manual":true,"runMissed":false}}"#, "/a");
        assert!(matches!(error, Err(Error::ManualWithSchedule)));
        let error = check(r#"{"scheduling":{"cron":["0 1 * * *","x"]}}"#, "/a");
        assert!(matches!(error, Err(Error::Cron { expression }) if expression == "x"));
        assert!(check(r#"{"upload":{"maxParallelSnapshots":2}}"#, "").is_ok());
        let error = check(r#"{"upload":{"maxParallelSnapshots":2}}"#, "/a");
        assert!(matches!(error, Err(Error::ParallelSnapshotsOnPath { .. })));
        assert!(check("{}", "/").is_ok() && check("{}", "C:\\").is_ok());
        for path in ["/a/", "a\\"] {
            assert!(matches!(check("{}", path), Err(Error::TrailingSeparator { .. })));
        }
    }
}
