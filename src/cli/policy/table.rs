//! A policy as a table: section, value, and the target the value comes from.

use crate::cli::Result;
use crate::cli::exit::Failure;
use crate::cli::units::Sizes;
use packhorse::policy::{Effective, SourceInfo};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Sections in the order of interest, by their keys in JSON.
const SECTIONS: [(&str, &str); 11] = [
    ("retention", "Retention"),
    ("files", "Files"),
    ("errorHandling", "Errors"),
    ("compression", "Compression"),
    ("metadataCompression", "Compression of metadata"),
    ("splitter", "Splitter"),
    ("upload", "Uploads"),
    ("scheduling", "Schedule"),
    ("actions", "Actions"),
    ("osSnapshots", "Snapshots by the operating system"),
    ("logging", "Log detail, from 0 to 10"),
];

/// Keys whose values are bytes.
const SIZES: [&str; 4] = ["maxFileSize", "minSize", "maxSize", "parallelUploadAboveSize"];

struct Row {
    name: String,
    value: String,
    origin: String,
}

/// The rows of the sections that `is_shown` picks; sections without a value are left out.
pub(super) fn of(
    effective: &Effective,
    target: &SourceInfo,
    is_shown: impl Fn(&str) -> bool,
    sizes: Sizes,
) -> Result<String> {
    let policy = object(serde_json::to_value(&effective.policy))?;
    let definition = object(serde_json::to_value(&effective.definition))?;
    let mut sections = Vec::new();
    for (key, title) in SECTIONS.into_iter().filter(|(key, _)| is_shown(key)) {
        let mut rows = Vec::new();
        if let Some(Value::Object(values)) = policy.get(key) {
            add_rows(&mut rows, "", values, definition.get(key), &Printer { target, sizes });
        }
        if !rows.is_empty() {
            sections.push((title, rows));
        }
    }
    Ok(lay_out(&sections))
}

fn object(value: serde_json::Result<Value>) -> Result<Map<String, Value>> {
    match value {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(Failure::new(format!("cannot show the policy: {error}"))),
    }
}

struct Printer<'a> {
    target: &'a SourceInfo,
    sizes: Sizes,
}

fn add_rows(
    rows: &mut Vec<Row>,
    prefix: &str,
    values: &Map<String, Value>,
    definition: Option<&Value>,
    printer: &Printer<'_>,
) {
    for (key, value) in values {
        let name = format!("{prefix}{}", words(key));
        let from = definition.and_then(|definition| definition.get(key));
        // Commands have one origin as a whole; groups of values have one for each.
        let is_origin = |from: &Value| from.get("userName").is_some();
        match value {
            Value::Object(inner) if !from.is_some_and(is_origin) && from.is_some() => {
                add_rows(rows, &format!("{name} "), inner, from, printer);
            }
            value => rows.push(Row { name, value: printer.value(key, value), origin: printer.origin(from) }),
        }
    }
}

impl Printer<'_> {
    fn value(&self, key: &str, value: &Value) -> String {
        match value {
            Value::Number(bytes) if SIZES.contains(&key) => match bytes.as_u64() {
                Some(size) => format!("{size} ({})", self.sizes.format(size)),
                None => bytes.to_string(),
            },
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.value("", item)).collect();
                items.join(", ")
            }
            Value::Object(fields) if fields.contains_key("hour") => {
                let part = |key| fields.get(key).and_then(Value::as_i64).unwrap_or(0);
                format!("{}:{:02}", part("hour"), part("min"))
            }
            other => other.to_string(),
        }
    }

    fn origin(&self, from: Option<&Value>) -> String {
        let source = from.and_then(|from| serde_json::from_value::<SourceInfo>(from.clone()).ok());
        match source {
            Some(source) if source != *self.target => format!("inherited from {source}"),
            _ => "defined for this target".to_owned(),
        }
    }
}

/// `keepLatest` as `keep latest`.
fn words(key: &str) -> String {
    let mut words = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn lay_out(sections: &[(&str, Vec<Row>)]) -> String {
    let rows = || sections.iter().flat_map(|(_, rows)| rows);
    let width = |text: fn(&Row) -> &str| rows().map(|row| text(row).chars().count()).max().unwrap_or(0);
    let (name, value) = (width(|row| &row.name), width(|row| &row.value).min(40));
    let mut text = String::new();
    for (title, rows) in sections {
        let gap = if text.is_empty() { "" } else { "\n" };
        writeln!(text, "{gap}{title}").expect("writing to a string works");
        for row in rows {
            writeln!(text, "  {:<name$}  {:<value$}  {}", row.name, row.value, row.origin)
                .expect("writing to a string works");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use packhorse::policy::{Policy, effective};

    #[test]
    fn every_value_names_its_origin() {
        let target = SourceInfo::new("u", "h", "/a");
        let own: Policy = serde_json::from_str(
            r#"{"retention":{"keepLatest":3},"files":{"ignore":["a","b"],"maxFileSize":1000000},
                "scheduling":{"timeOfDay":[{"hour":6,"min":5}]}}"#,
        )
        .unwrap();
        let text =
            of(&effective(&target, &[(target.clone(), own)]), &target, |_| true, Sizes::default()).unwrap();
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let line = |start: &str| lines.iter().find(|line| line.starts_with(start)).expect(&text).as_str();
        assert_eq!(line("keep latest"), "keep latest 3 defined for this target");
        assert_eq!(line("keep daily"), "keep daily 7 inherited from (global)");
        assert_eq!(line("ignore a"), "ignore a, b defined for this target");
        assert_eq!(line("max file size"), "max file size 1000000 (1 MB) defined for this target");
        assert_eq!(line("time of day"), "time of day 6:05 defined for this target");
        assert_eq!(line("directories ignored"), "directories ignored 5 inherited from (global)");
    }
}
