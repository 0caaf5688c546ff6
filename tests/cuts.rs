//! Every splitter cuts where Kopia cuts.
//!
//! `fixtures/splitters` holds the format blob of a repository of Kopia's and, for each splitter, the parts of an object
//! as Kopia listed them. With the same keys the same cuts get the same content ids, so a part is compared by both.

use crate::support::world;
use packhorse::base::MemoryBudget;
use packhorse::blob::{Memory, StorageExt};
use packhorse::content::Scratch;
use packhorse::format::{IdPrefix, REPOSITORY_BLOB};
use packhorse::object::{ObjectOptions, ObjectWriter};
use packhorse::repo::{Repository, WriteOptions};
use packhorse::splitter;
use rayon::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

const PASSWORD: &str = "cuts";

/// An object as Kopia wrote it.
#[derive(Deserialize)]
struct Written {
    /// How many bytes of the stream it holds.
    size: usize,
    object: String,
    /// Offset, length, object id.
    parts: Vec<(u64, u64, String)>,
}

/// The stream: the digests of the numbers from 0, each a 64-bit integer, most significant byte first.
fn stream(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..len.div_ceil(32) as u64).flat_map(|number| Sha256::digest(number.to_be_bytes())).collect();
    bytes.truncate(len);
    bytes
}

/// An empty repository with Kopia's keys.
fn repository() -> Repository {
    let clock = world::clock();
    let storage = Arc::new(Memory::new(clock.clone()));
    storage.put_now(&REPOSITORY_BLOB.into(), include_bytes!("fixtures/splitters/kopia.repository")).unwrap();
    Repository::open(storage, &PASSWORD.into(), world::alice(), world::environment(clock, 1)).unwrap()
}

/// Writes the object again; what is unlike Kopia's, if anything.
fn difference(repository: &Repository, name: &str, kopias: &Written, stream: &[u8]) -> Option<String> {
    let mut writer = repository.begin(&WriteOptions::new(1, MemoryBudget::UNLIMITED)).unwrap();
    let cutter = ObjectWriter::new(Arc::clone(writer.objects().contents()), splitter::by_name(name)?);
    let options = ObjectOptions { prefix: IdPrefix::NONE, compressor: None, metadata_compressor: None };
    let mut data = stream[..kopias.size].to_vec();
    let id = cutter.write(&mut data, &options, &mut Scratch::default()).unwrap();
    writer.flush().unwrap();
    let parts: Vec<_> = repository
        .objects()
        .segments(id)
        .unwrap()
        .unwrap_or_default()
        .iter()
        .map(|part| (part.start, part.length, part.object.to_string()))
        .collect();
    if parts != kopias.parts {
        return Some(format!("{name}: {parts:?} instead of {:?}", kopias.parts));
    }
    (id.to_string() != kopias.object).then(|| format!("{name}: {id} instead of {}", kopias.object))
}

#[test]
fn every_splitter_cuts_where_kopia_does() {
    let kopias: BTreeMap<String, Written> =
        serde_json::from_str(include_str!("fixtures/splitters/cuts.json")).unwrap();
    let known: Vec<&str> = kopias.keys().map(String::as_str).collect();
    let mut names: Vec<&str> = splitter::names().collect();
    names.sort_unstable();
    assert_eq!(known, names);

    let stream = stream(kopias.values().map(|object| object.size).max().unwrap());
    let repository = repository();
    let differences: Vec<String> = kopias
        .par_iter()
        .filter_map(|(name, object)| difference(&repository, name, object, &stream))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
