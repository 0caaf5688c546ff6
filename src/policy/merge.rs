//! The policy that holds for a source, from all that apply to it.

use super::{Definition, Policy, SourceInfo};

/// A merged policy, and who gave each value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// The values.
    pub policy: Policy,
    /// Where they come from.
    pub definition: Definition,
}

/// Merges the policies that apply to `target`, most specific first as [`hierarchy`](super::hierarchy) orders them; of
/// several for one target the oldest comes first.
///
/// A policy with `no_parent` ends the merge at once: neither built-in values nor folder commands follow it. The result
/// never has `no_parent`.
///
/// Source: kopia `snapshot/policy/policy_merge.go` (`MergePolicies`).
pub fn effective(target: &SourceInfo, chain: &[(SourceInfo, Policy)]) -> Effective {
    let mut merged = Effective::default();
    for (from, policy) in chain {
        merge(&mut merged, policy, from);
        if policy.no_parent {
            return merged;
        }
    }
    merge(&mut merged, &Policy::built_in(), &SourceInfo::default());
    if let Some((_, own)) = chain.first().filter(|(first, _)| first == target) {
        merged.policy.actions.before_folder.clone_from(&own.actions.before_folder);
        merged.policy.actions.after_folder.clone_from(&own.actions.after_folder);
    }
    merged
}

fn merge(into: &mut Effective, from: &Policy, target: &SourceInfo) {
    let (policy, by) = (&mut into.policy, &mut into.definition);
    policy.retention.merge(&from.retention, &mut by.retention, target);
    policy.files.merge(&from.files, &mut by.files, target);
    policy.error_handling.merge(&from.error_handling, &mut by.error_handling, target);
    policy.scheduling.merge(&from.scheduling, &mut by.scheduling, target);
    policy.compression.merge(&from.compression, &mut by.compression, target);
    policy.metadata_compression.merge(&from.metadata_compression, &mut by.metadata_compression, target);
    policy.splitter.merge(&from.splitter, &mut by.splitter, target);
    policy.actions.merge(&from.actions, &mut by.actions, target);
    let shadow = &mut by.os_snapshots.volume_shadow_copy;
    policy.os_snapshots.volume_shadow_copy.merge(&from.os_snapshots.volume_shadow_copy, shadow, target);
    policy.logging.directories.merge(&from.logging.directories, &mut by.logging.directories, target);
    policy.logging.entries.merge(&from.logging.entries, &mut by.logging.entries, target);
    policy.upload.merge(&from.upload, &mut by.upload, target);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_who_gave_what() {
        let (path, user) = (SourceInfo::new("u", "h", "/a"), SourceInfo::new("u", "h", ""));
        let policy = |text: &str| serde_json::from_str::<Policy>(text).unwrap();
        let chain = [
            (
                path.clone(),
                policy(r#"{"retention":{"keepLatest":0},"compression":{"neverCompress":[".b"]}}"#),
            ),
            (
                user.clone(),
                policy(
                    r#"{"retention":{"keepLatest":5,"keepDaily":1},"compression":{"neverCompress":[".a"]},
                        "scheduling":{"manual":true}}"#,
                ),
            ),
        ];
        let merged = effective(&path, &chain);
        assert_eq!(merged.policy.retention.keep_latest, Some(0));
        assert_eq!(merged.policy.retention.keep_hourly, Some(48));
        assert_eq!(merged.policy.compression.never_compress, [".a", ".b"]);
        assert_eq!(merged.definition.retention.keep_latest, path);
        assert_eq!(merged.definition.retention.keep_daily, user);
        assert_eq!(merged.definition.retention.keep_hourly, SourceInfo::default());
        assert_eq!(merged.definition.compression.never_compress, user, "the last contributor");
        assert_eq!(merged.definition.scheduling.manual, user);
    }

    #[test]
    fn folder_commands_stay_with_their_folder() {
        let (path, user) = (SourceInfo::new("u", "h", "/a"), SourceInfo::new("u", "h", ""));
        let policy: Policy =
            serde_json::from_str(r#"{"actions":{"beforeFolder":{"path":"/x"},"afterSnapshotRoot":{}}}"#)
                .unwrap();
        let own = effective(&path, &[(path.clone(), policy.clone())]);
        assert!(own.policy.actions.before_folder.is_some());
        let inherited = effective(&path, &[(user, policy.clone())]);
        assert!(inherited.policy.actions.before_folder.is_none());
        assert!(inherited.policy.actions.after_snapshot_root.is_some());
        let closed = effective(&path, &[(path.clone(), Policy { no_parent: true, ..policy })]);
        assert!(closed.policy.actions.before_folder.is_none() && !closed.policy.no_parent);
        assert!(closed.policy.retention.keep_latest.is_none());
    }
}
