//! Labels under which policies are stored as manifests.

use super::SourceInfo;
use std::collections::BTreeMap;

/// The `type` label of manifests that hold policies.
pub const POLICY_TYPE: &str = "policy";

/// The labels of the policy of `target`, `type` included.
///
/// Source: kopia `snapshot/policy/policy_manager.go` (`LabelsForSource`).
pub fn labels_of(target: &SourceInfo) -> BTreeMap<String, String> {
    let (kind, parts): (&str, &[(&str, &str)]) = if !target.path.is_empty() {
        ("path", &[("username", &target.user_name), ("hostname", &target.host), ("path", &target.path)])
    } else if !target.user_name.is_empty() {
        ("user", &[("username", &target.user_name), ("hostname", &target.host)])
    } else if !target.host.is_empty() {
        ("host", &[("hostname", &target.host)])
    } else {
        ("global", &[])
    };
    let fixed = [("type", POLICY_TYPE), ("policyType", kind)];
    fixed.iter().chain(parts).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The target named by the labels of a policy's manifest.
pub fn target_of(labels: &BTreeMap<String, String>) -> SourceInfo {
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    SourceInfo::new(label("username"), label("hostname"), label("path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_the_most_specific_part() {
        for (target, wanted) in [
            (SourceInfo::default(), "policyType=global type=policy"),
            (SourceInfo::new("", "h", ""), "hostname=h policyType=host type=policy"),
            (SourceInfo::new("u", "h", ""), "hostname=h policyType=user type=policy username=u"),
            (SourceInfo::new("u", "h", "/p"), "hostname=h path=/p policyType=path type=policy username=u"),
        ] {
            let labels = labels_of(&target);
            let text: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(text.join(" "), wanted);
            assert_eq!(target_of(&labels), target);
        }
    }
}
