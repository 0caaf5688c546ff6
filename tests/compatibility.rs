//! The tables of `docs/compatibility.md` say what is so: they list what the registries hold, and a row that claims
//! fixtures names the versions of Kopia whose repositories among the fixtures use that algorithm, and one that claims the
//! campaign is drawn there.

use crate::campaign::COMPRESSORS;
use crate::support::fixture::Fixture;
use packhorse::{compression, crypto, splitter};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Who wrote `fixtures/splitters`.
const WRITER_OF_CUTS: &str = "0.23.1";

/// Versions of Kopia, by algorithm.
type Writers = BTreeMap<String, BTreeSet<Vec<u32>>>;

/// A row of a table: the algorithm, and how it is tested.
type Row = (String, String);

fn rows(text: &str, head: &str) -> Vec<Row> {
    let lines = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let row = |line: &str| {
        let name = line.split('`').nth(1)?.to_owned();
        let tested = line.trim_end_matches('|').rsplit('|').next()?.trim().to_owned();
        Some((name, tested))
    };
    lines.take_while(|line| line.starts_with('|')).filter_map(row).collect()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap()).collect()
}

/// Names of the algorithms that a fixture uses.
fn algorithms(facts: &Value) -> Vec<String> {
    let format = &facts["repository"]["contentFormat"];
    let mut used: Vec<String> = [&format["hash"], &format["encryption"], &facts["format_blob"]["keyAlgo"]]
        .into_iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    for content in facts["contents"]["list"].as_array().into_iter().flatten() {
        let id = content["compression"].as_u64().unwrap_or_default() as u32;
        let compressor = compression::by_id(compression::HeaderId(id));
        used.extend(compressor.map(|compressor| compressor.name().to_owned()));
    }
    used
}

fn writers() -> Writers {
    let mut writers = Writers::new();
    for name in Fixture::names(&Fixture::folder()) {
        let facts = Fixture::load(&name).facts;
        let also = facts["also_written_by"].as_array().unwrap();
        let versions: Vec<_> = also
            .iter()
            .chain([&facts["written_by"]])
            .map(|version| numbers(version.as_str().unwrap()))
            .collect();
        for algorithm in algorithms(&facts) {
            writers.entry(algorithm).or_default().extend(versions.iter().cloned());
        }
    }
    for name in splitter::names() {
        writers.entry(name.to_owned()).or_default().insert(numbers(WRITER_OF_CUTS));
    }
    writers
}

/// What the row of an algorithm must claim.
fn claim(writers: &Writers, algorithm: &str) -> Option<String> {
    let dotted = |version: &Vec<u32>| version.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    let versions: Vec<_> = writers.get(algorithm)?.iter().map(dotted).collect();
    Some(format!("fixture ({})", versions.join(", ")))
}

#[test]
fn the_tables_list_what_the_registries_hold_and_who_wrote_the_fixtures() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let text = std::fs::read_to_string(path).unwrap();
    let compressors = compression::all().iter().map(|compressor| compressor.name()).collect();
    let writers = writers();
    for (head, registry) in [
        ("| hash ", crypto::HASHES.to_vec()),
        ("| encryption ", crypto::ENCRYPTIONS.to_vec()),
        ("| key derivation ", crypto::KEY_DERIVATIONS.to_vec()),
        ("| splitter ", splitter::names().collect()),
        ("| compressor ", compressors),
    ] {
        let rows = rows(&text, head);
        let listed: BTreeSet<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(listed, registry.into_iter().collect(), "{head}");
        for (name, tested) in &rows {
            let claim = claim(&writers, name).unwrap_or_else(|| panic!("no fixture uses {name}"));
            assert!(tested.contains(&claim), "{name}: {tested:?} should say {claim:?}");
            // All but compressors are drawn from the registries themselves.
            let is_drawn = head != "| compressor " || COMPRESSORS.contains(&name.as_str());
            assert_eq!(tested.contains("campaign"), is_drawn, "{name}");
        }
    }
}
