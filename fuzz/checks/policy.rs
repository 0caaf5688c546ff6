//! Policies: reading, checking, merging, and what they decide.

use super::support::clock;
use jiff::tz::TimeZone;
use packhorse::base::{Clock, gojson};
use packhorse::policy::{
    self, Policy, PolicyTree, RetentionCandidate, SourceInfo, compressor_for, effective, hierarchy,
};
use packhorse::source::Pattern;

pub fn check(data: &[u8]) {
    let Ok(policy) = serde_json::from_slice::<Policy>(data) else { return };
    let written = gojson::to_vec(&policy).expect("what was read is written");
    let again: Policy = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, policy);
    assert_eq!(gojson::to_vec(&again).expect("as before"), written);
    let target = SourceInfo::new("u", "h", "/a/b");
    policy.validate(&target).ok();
    check_merging(&policy, &target);
    check_decisions(&policy);
}

fn check_merging(policy: &Policy, target: &SourceInfo) {
    let chain: Vec<_> = hierarchy(target).into_iter().map(|from| (from, policy.clone())).collect();
    let merged = effective(target, &chain);
    assert!(!merged.policy.no_parent);
    // A policy that everyone has is inherited from nobody else.
    assert_eq!(effective(target, &chain[..1]).policy.retention, merged.policy.retention);
    gojson::to_vec(&merged.definition).expect("a definition has only texts");
    let tree = PolicyTree::new(merged.policy, [("x".to_owned(), policy.clone())]);
    assert_eq!(**tree.child("x/y").policy(), *policy);
}

fn check_decisions(policy: &Policy) {
    for rule in &policy.ignore_policy().ignore {
        if let Ok(pattern) = Pattern::new(rule.as_bytes(), "") {
            for path in ["/a", "/a/b.txt", "/ä/c d"] {
                pattern.excludes(path, true);
                pattern.excludes(path, false);
            }
        }
    }
    for size in [0, 1, u64::MAX] {
        compressor_for(&policy.compression, "a.txt", size);
    }
    let now = clock().now();
    let candidates: Vec<_> = (0..4)
        .map(|n| {
            let start = now.saturating_add_nanos(-n * 86_400_000_000_000);
            RetentionCandidate { start, end: start, incomplete: n == 3, pinned: n == 2 }
        })
        .collect();
    let reasons = policy::reasons(&candidates, &policy.retention, &TimeZone::UTC);
    let expired = policy::expired(&candidates, &policy.retention, &TimeZone::UTC);
    for (at, reasons) in reasons.iter().enumerate() {
        assert!(policy::compact_reasons(reasons).len() <= reasons.len());
        assert!(reasons.is_empty() || !expired.contains(&at));
    }
    assert!(!expired.contains(&2), "a pin keeps");
}
