//! `policy_merge.json`: the policies of several levels, and what holds in the end.

use super::{list, members, report, table, text};
use packhorse::policy::{Definition, Effective, Policy, SourceInfo, effective, hierarchy};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn target(text: &str) -> SourceInfo {
    SourceInfo::parse(text, "local", "local", Path::new("/")).unwrap()
}

/// The policies defined in a case, by target.
fn defined(table: &Value, case: &Value) -> BTreeMap<SourceInfo, Policy> {
    let mut defined = BTreeMap::from([(SourceInfo::default(), parse(&table["default_global"]))]);
    for (name, policy) in members(&case["definitions"]) {
        defined.remove(&target(name));
        if !policy.is_null() {
            defined.insert(target(name), parse(policy));
        }
    }
    defined
}

fn merge(defined: &BTreeMap<SourceInfo, Policy>, target: &SourceInfo) -> Effective {
    let chain: Vec<_> = hierarchy(target)
        .into_iter()
        .filter_map(|level| defined.get(&level).map(|policy| (level, policy.clone())))
        .collect();
    effective(target, &chain)
}

#[test]
fn policies_merge_as_in_kopia() {
    let table = table("policy_merge");
    let (mut checked, mut failures) = (0, Vec::new());
    for case in list(&table["cases"]) {
        let defined = defined(&table, case);
        for (name, stored) in members(&case["stored"]) {
            let found = json(&defined[&target(name)]);
            if found != *stored {
                failures.push(format!("{}: {name} stored as {found} not {stored}", case["id"]));
            }
        }
        for (name, wanted) in members(&case["effective"]) {
            let found = json(&merge(&defined, &target(name)).policy);
            checked += 1;
            if found != *wanted {
                failures.push(format!("{} {name}\n  found  {found}\n  wanted {wanted}", case["id"]));
            }
        }
    }
    assert_eq!((list(&table["cases"]).count(), checked), (157, 318));
    report(checked, &failures);
}

#[test]
fn texts_tell_where_values_come_from() {
    let table = table("policy_merge");
    let (mut checked, mut failures) = (0, Vec::new());
    for case in list(&table["cases"]) {
        let defined = defined(&table, case);
        for (name, shown) in members(&case["text"]) {
            let target = target(name);
            let by = merge(&defined, &target).definition;
            for (label, source) in shown_sources(&by) {
                let Some(line) = text(shown).lines().find(|line| line.starts_with(label)) else { continue };
                let wanted = if *source == target {
                    "(defined for this target)".to_owned()
                } else {
                    format!("inherited from {source}")
                };
                checked += 1;
                if !line.ends_with(&wanted) {
                    failures.push(format!("{} {name}: {line:?} should end with {wanted:?}", case["id"]));
                }
            }
        }
    }
    assert_eq!(checked, 670);
    report(checked, &failures);
}

/// Lines of `policy show` that end with the target a value comes from.
fn shown_sources(by: &Definition) -> [(&'static str, &SourceInfo); 10] {
    [
        ("  Latest snapshots:", &by.retention.keep_latest),
        ("  Annual snapshots:", &by.retention.keep_annual),
        ("  Ignore identical snapshots:", &by.retention.ignore_identical_snapshots),
        ("  Ignore cache directories:", &by.files.ignore_cache_dirs),
        ("  Scan one filesystem only:", &by.files.one_file_system),
        ("  Ignore unknown types:", &by.error_handling.ignore_unknown_types),
        ("  Manual snapshot:", &by.scheduling.manual),
        ("  Parallel upload above size:", &by.upload.parallel_upload_above_size),
        ("  Volume Shadow Copy:", &by.os_snapshots.volume_shadow_copy.enable),
        ("  Entry cache hit:", &by.logging.entries.cache_hit),
    ]
}

fn parse(policy: &Value) -> Policy {
    serde_json::from_value(policy.clone()).unwrap()
}

fn json(policy: &Policy) -> Value {
    serde_json::to_value(policy).unwrap()
}
