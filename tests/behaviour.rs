//! What Kopia does, as tables recorded from Kopia 0.23.1: ignore rules, retention, merging of policies, commands.
//!
//! The tables are in `fixtures/behaviour/*.json.gz`. Where they and our understanding differ, they are right.

mod commands;
mod ignore;
mod policies;
mod retention;

use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Reads a table.
fn table(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/behaviour").join(name);
    let file = std::fs::File::open(path.with_added_extension("json.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The elements of an array; none if it is missing.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The members of an object; none if it is missing.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The text of a value that is one.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Fails with all differences at once: one rule misread breaks many cases.
fn report(checked: usize, failures: &[String]) {
    assert!(failures.is_empty(), "{} of {checked} cases differ:\n{}", failures.len(), failures.join("\n"));
}
