//! `retention.json`: timelines of snapshots, policies and zones, and what is kept.

use super::{list, report, table, text};
use jiff::tz::TimeZone;
use packhorse::base::Timestamp;
use packhorse::policy::{RetentionCandidate, RetentionPolicy, expired, reasons};
use serde_json::Value;

fn candidate(snapshot: &Value) -> RetentionCandidate {
    let time = |key: &str| text(&snapshot[key]).parse::<Timestamp>().unwrap();
    RetentionCandidate {
        start: time("start"),
        end: time("end"),
        incomplete: snapshot.get("incomplete").is_some_and(|reason| !reason.is_null()),
        pinned: list(&snapshot["pins"]).next().is_some(),
    }
}

fn policy(value: &Value) -> RetentionPolicy {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn snapshots_are_kept_for_kopias_reasons() {
    let table = table("retention");
    let mut failures = Vec::new();
    for case in list(&table["cases"]) {
        let candidates: Vec<_> = list(&table["timelines"][text(&case["timeline"])]).map(candidate).collect();
        let zone = TimeZone::get(text(&case["tz"])).expect("the system knows the zones of the table");
        let policy = policy(&case["policy"]);
        let found = reasons(&candidates, &policy, &zone);
        for (at, found) in found.iter().enumerate() {
            let wanted: Vec<_> = list(&case["reasons"][at.to_string()]).map(text).collect();
            if *found != wanted {
                failures.push(format!("{} at {at}: {found:?}, wanted {wanted:?}", case["id"]));
            }
        }
        let wanted: Vec<_> = list(&case["expired"]).filter_map(Value::as_u64).collect();
        let found: Vec<_> = expired(&candidates, &policy, &zone).into_iter().map(|at| at as u64).collect();
        if found != wanted {
            failures.push(format!("{}: expired {found:?}, wanted {wanted:?}", case["id"]));
        }
    }
    let cases = list(&table["cases"]).count();
    assert_eq!(cases, 246);
    report(cases, &failures);
}

/// Retention runs after every snapshot; what it deletes early no longer holds a place later.
#[test]
fn retention_runs_after_every_snapshot() {
    let table = table("retention");
    let mut failures = Vec::new();
    for sequence in list(&table["sequences"]) {
        let policy = policy(&sequence["policy"]);
        let mut left: Vec<RetentionCandidate> = Vec::new();
        for (step, after) in list(&sequence["steps"]).zip(list(&sequence["after"])) {
            if after["not_saved"] == false {
                left.push(saved(step, after));
                for at in expired(&left, &policy, &TimeZone::UTC).into_iter().rev() {
                    left.remove(at);
                }
            }
            let mut found: Vec<_> = left
                .iter()
                .zip(reasons(&left, &policy, &TimeZone::UTC))
                .map(|(snapshot, reasons)| (snapshot.start.to_string(), reasons))
                .collect();
            found.sort();
            let wanted: Vec<_> = list(&after["left"])
                .map(|left| {
                    let reasons = list(&left["reasons"]).map(|reason| text(reason).to_owned()).collect();
                    (text(&left["start"]).to_owned(), reasons)
                })
                .collect();
            if found != wanted {
                failures.push(format!("{}: {found:?}, wanted {wanted:?}", sequence["note"]));
            }
        }
    }
    let sequences = list(&table["sequences"]).count();
    assert_eq!(sequences, 15);
    report(sequences, &failures);
}

/// The snapshot a step made. One that was given only its end began at a moment that only the result tells.
fn saved(step: &Value, after: &Value) -> RetentionCandidate {
    let start = match step["start"].as_str() {
        Some(start) => format!("{}Z", start.replace(' ', "T")),
        None => list(&after["left"]).last().map(|left| text(&left["start"]).to_owned()).unwrap(),
    };
    let start: Timestamp = start.parse().unwrap();
    let incomplete = step["incomplete"] == true;
    RetentionCandidate { start, end: start, incomplete, pinned: list(&step["pins"]).next().is_some() }
}
