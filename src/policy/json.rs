//! Go's way of matching JSON keys, for which serde has no switch.

use Shape::{List, Object, Scalar};
use serde_json::{Map, Value};

/// What may stand at a place of a policy. serde would also take a list for an object, value by value.
enum Shape {
    /// A number, a text or a switch.
    Scalar,
    /// A list of one shape.
    List(&'static Shape),
    /// An object with these keys.
    Object(&'static [(&'static str, Shape)]),
}

const TEXTS: Shape = List(&Scalar);

const COMMAND: Shape =
    Object(&[("path", Scalar), ("args", TEXTS), ("script", Scalar), ("timeout", Scalar), ("mode", Scalar)]);

const POLICY: Shape = Object(&[
    (
        "retention",
        Object(&[
            ("keepLatest", Scalar),
            ("keepHourly", Scalar),
            ("keepDaily", Scalar),
            ("keepWeekly", Scalar),
            ("keepMonthly", Scalar),
            ("keepAnnual", Scalar),
            ("ignoreIdenticalSnapshots", Scalar),
        ]),
    ),
    (
        "files",
        Object(&[
            ("ignore", TEXTS),
            ("noParentIgnore", Scalar),
            ("ignoreDotFiles", TEXTS),
            ("noParentDotFiles", Scalar),
            ("ignoreCacheDirs", Scalar),
            ("maxFileSize", Scalar),
            ("oneFileSystem", Scalar),
        ]),
    ),
    (
        "errorHandling",
        Object(&[
            ("ignoreFileErrors", Scalar),
            ("ignoreDirectoryErrors", Scalar),
            ("ignoreUnknownTypes", Scalar),
        ]),
    ),
    (
        "scheduling",
        Object(&[
            ("intervalSeconds", Scalar),
            ("timeOfDay", List(&Object(&[("hour", Scalar), ("min", Scalar)]))),
            ("noParentTimeOfDay", Scalar),
            ("manual", Scalar),
            ("cron", TEXTS),
            ("runMissed", Scalar),
        ]),
    ),
    (
        "compression",
        Object(&[
            ("compressorName", Scalar),
            ("onlyCompress", TEXTS),
            ("noParentOnlyCompress", Scalar),
            ("neverCompress", TEXTS),
            ("noParentNeverCompress", Scalar),
            ("minSize", Scalar),
            ("maxSize", Scalar),
        ]),
    ),
    ("metadataCompression", Object(&[("compressorName", Scalar)])),
    ("splitter", Object(&[("algorithm", Scalar)])),
    (
        "actions",
        Object(&[
            ("beforeFolder", COMMAND),
            ("afterFolder", COMMAND),
            ("beforeSnapshotRoot", COMMAND),
            ("afterSnapshotRoot", COMMAND),
        ]),
    ),
    ("osSnapshots", Object(&[("volumeShadowCopy", Object(&[("enable", Scalar)]))])),
    (
        "logging",
        Object(&[
            ("directories", Object(&[("snapshotted", Scalar), ("ignored", Scalar)])),
            (
                "entries",
                Object(&[
                    ("snapshotted", Scalar),
                    ("ignored", Scalar),
                    ("cacheHit", Scalar),
                    ("cacheMiss", Scalar),
                ]),
            ),
        ]),
    ),
    (
        "upload",
        Object(&[
            ("maxParallelSnapshots", Scalar),
            ("maxParallelFileReads", Scalar),
            ("parallelUploadAboveSize", Scalar),
        ]),
    ),
    ("noParent", Scalar),
]);

/// A policy with its keys in their own spelling, and the first key that no policy has at its place.
pub(super) struct Folded {
    pub(super) value: Value,
    pub(super) unknown: Option<String>,
}

/// Gives known keys their own spelling, drops unknown ones, and drops `null`, which leaves Go's fields as they are.
/// `None` if a list stands where none may.
pub(super) fn fold(value: Value) -> Option<Folded> {
    let mut unknown = None;
    let value = fold_as(value, &POLICY, &mut unknown)?;
    Some(Folded { value, unknown })
}

fn fold_as(value: Value, shape: &Shape, unknown: &mut Option<String>) -> Option<Value> {
    match (value, shape) {
        (Value::Array(list), List(item)) => {
            let items = list.into_iter().map(|value| fold_as(value, item, unknown));
            Some(Value::Array(items.collect::<Option<_>>()?))
        }
        (Value::Array(_), _) => None,
        (Value::Object(map), Object(keys)) => fold_object(map, keys, unknown).map(Value::Object),
        (Value::Null, _) => Some(Value::Object(Map::new())),
        // What does not fit is serde's to refuse.
        (other, _) => Some(other),
    }
}

fn fold_object(
    map: Map<String, Value>,
    keys: &[(&str, Shape)],
    unknown: &mut Option<String>,
) -> Option<Map<String, Value>> {
    let mut folded = Map::new();
    for (key, value) in map {
        let Some((known, shape)) = keys.iter().find(|(known, _)| known.eq_ignore_ascii_case(&key)) else {
            unknown.get_or_insert(key);
            continue;
        };
        if !value.is_null() {
            folded.insert((*known).to_owned(), fold_as(value, shape, unknown)?);
        }
    }
    Some(folded)
}
