//! Go's way of matching JSON keys, for which serde has no switch.

use serde_json::{Map, Value};

/// Every key a policy can hold at any depth.
const KEYS: &[&str] = &[
    "retention",
    "keepLatest",
    "keepHourly",
    "keepDaily",
    "keepWeekly",
    "keepMonthly",
    "keepAnnual",
    "ignoreIdenticalSnapshots",
    "files",
    "ignore",
    "noParentIgnore",
    "ignoreDotFiles",
    "noParentDotFiles",
    "ignoreCacheDirs",
    "maxFileSize",
    "oneFileSystem",
    "errorHandling",
    "ignoreFileErrors",
    "ignoreDirectoryErrors",
    "ignoreUnknownTypes",
    "scheduling",
    "intervalSeconds",
    "timeOfDay",
    "hour",
    "min",
    "noParentTimeOfDay",
    "manual",
    "cron",
    "runMissed",
    "compression",
    "compressorName",
    "onlyCompress",
    "noParentOnlyCompress",
    "neverCompress",
    "noParentNeverCompress",
    "minSize",
    "maxSize",
    "metadataCompression",
    "splitter",
    "algorithm",
    "actions",
    "beforeFolder",
    "afterFolder",
    "beforeSnapshotRoot",
    "afterSnapshotRoot",
    "path",
    "args",
    "script",
    "timeout",
    "mode",
    "osSnapshots",
    "volumeShadowCopy",
    "enable",
    "logging",
    "directories",
    "entries",
    "snapshotted",
    "ignored",
    "cacheHit",
    "cacheMiss",
    "upload",
    "maxParallelSnapshots",
    "maxParallelFileReads",
    "parallelUploadAboveSize",
    "noParent",
];

/// The keys that hold lists. serde would also take a list for an object, value by value.
const LISTS: &[&str] =
    &["ignore", "ignoreDotFiles", "timeOfDay", "cron", "onlyCompress", "neverCompress", "args"];

/// Gives known keys their own spelling, drops unknown ones, and drops `null`, which leaves Go's fields as they are.
/// `None` if a list stands where none may.
pub(super) fn fold(value: Value) -> Option<Value> {
    match value {
        Value::Array(_) => None,
        Value::Object(map) => fold_object(map).map(Value::Object),
        Value::Null => Some(Value::Object(Map::new())),
        other => Some(other),
    }
}

fn fold_object(map: Map<String, Value>) -> Option<Map<String, Value>> {
    let mut folded = Map::new();
    for (key, value) in map {
        let Some(known) = KEYS.iter().find(|known| known.eq_ignore_ascii_case(&key)) else { continue };
        let value = match value {
            Value::Null => continue,
            Value::Array(list) if LISTS.contains(known) => {
                Value::Array(list.into_iter().map(fold).collect::<Option<_>>()?)
            }
            value => fold(value)?,
        };
        folded.insert((*known).to_owned(), value);
    }
    Some(folded)
}
