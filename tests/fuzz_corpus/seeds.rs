//! What fuzzing begins with: valid inputs of every kind, from our own writers and from Kopia's repositories.
//!
//! They are made anew only when asked for, with `PACKHORSE_TEST_WRITE_SEEDS` set: another version of a compressor
//! writes other bytes, and the old ones stay as good.

use super::{checks, fuzz};
use crate::support::fixture::Fixture;
use crate::support::world;
use flate2::read::MultiGzDecoder;
use packhorse::base::gojson;
use packhorse::blob::StorageExt;
use packhorse::compression;
use packhorse::crypto::Ecc;
use packhorse::format::{self, FormatBlob, IdPrefix, REPOSITORY_BLOB};
use packhorse::index::{self, IndexEntry};
use packhorse::object::{ObjectId, Segment, SegmentList};
use packhorse::repo::Repository;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

/// Longer inputs slow the fuzzer down more than they show it.
const SEED_BYTES_MAX: usize = 6 << 10;
/// Of each kind, from all fixtures together.
const SEEDS_PER_KIND: usize = 6;
/// Of each compressor: there are many.
const STREAMS_PER_KIND: usize = 2;

/// One of each that differs in what it stores.
const FIXTURES: &[&str] = &[
    "format-v1",
    "format-v3-plain",
    "ecc-50",
    "blobcfg-retention",
    "format-v2-upgrade-begin",
    "params-required-feature-warn",
    "compress-deflate-default",
    "compress-lz4",
    "compress-pgzip",
    "compress-s2-better",
    "errors-ignored",
    "index-compacted-v1",
    "policies-changed",
    "single-file",
    "tree-weird-v1",
];

#[derive(Default)]
struct Seeds(BTreeMap<(&'static str, String), Vec<u8>>);

impl Seeds {
    /// Adds a seed unless it is too long or there are enough of its kind.
    fn add(&mut self, target: &'static str, kind: &str, data: impl Into<Vec<u8>>) {
        let data = data.into();
        assert!(checks::ALL.iter().any(|(known, _)| *known == target), "{target} is no target");
        let name = |number: usize| (target, format!("{kind}-{number}"));
        let most = if target == "decompress" { STREAMS_PER_KIND } else { SEEDS_PER_KIND };
        let number = (0..most).find(|number| !self.0.contains_key(&name(*number)));
        let is_new = !self.0.iter().any(|((known, _), seed)| *known == target && *seed == data);
        if let Some(number) = number.filter(|_| data.len() <= SEED_BYTES_MAX && is_new) {
            self.0.insert(name(number), data);
        }
    }
}

#[test]
fn seeds_can_be_made() {
    let mut seeds = Seeds::default();
    add_written(&mut seeds);
    add_texts(&mut seeds);
    #[expect(clippy::disallowed_methods, reason = "writing into the checkout has to be asked for")]
    let write = std::env::var_os("PACKHORSE_TEST_WRITE_SEEDS").is_some();
    if write {
        for name in FIXTURES {
            add_fixture(&mut seeds, name);
        }
    }
    for ((target, name), data) in seeds.0 {
        let (_, check) = checks::ALL.iter().find(|(known, _)| *known == target).unwrap();
        check(&data);
        if write {
            let folder = fuzz().join("corpus").join(target);
            fs::create_dir_all(&folder).unwrap();
            #[expect(clippy::disallowed_methods, reason = "a checkout needs no durability")]
            fs::write(folder.join(name), data).unwrap();
        }
    }
}

fn entry(id: &str, pack: &str, number: u32) -> IndexEntry {
    IndexEntry {
        id: id.parse().unwrap(),
        pack: pack.into(),
        pack_offset: 32 + number * 100,
        packed_length: 100,
        original_length: 72,
        timestamp_seconds: 1_700_000_000 + i64::from(number),
        deleted: number == 2,
        format_version: 3,
        compression: compression::HeaderId(0),
        encryption_key_id: 0,
    }
}

fn three_entries() -> Vec<IndexEntry> {
    vec![
        entry("30a572157ba3e8a14424acacde62ee4a", "p0123-s01", 0),
        entry("f0a572157ba3e8a14424acacde62ee4b", "p0123-s01", 1),
        entry("k00112233445566778899aabbccddeeff", "q4567-s01", 2),
    ]
}

/// What the library's writers make.
fn add_written(seeds: &mut Seeds) {
    let mut entries = three_entries();
    seeds.add("index_v1", "three", index::encode(1, &entries).unwrap());
    seeds.add("index_v1", "none", index::encode(1, &[]).unwrap());
    seeds.add("index_v2", "three", index::encode(2, &entries).unwrap());
    seeds.add("pack_recovery", "index", [&[2], &index::encode(2, &entries).unwrap()[..]].concat());
    entries[1].compression.0 = 0x1100;
    seeds.add("index_v2", "formats", index::encode(2, &entries).unwrap());
    entries[1].packed_length = 1 << 27;
    seeds.add("index_v2", "wide", index::encode(2, &entries).unwrap());
    for copy in [&b"{\"tool\":\"x\"}\n"[..], b""] {
        let block = format::recovery_block(copy).unwrap();
        seeds.add("format_blob", "recovery", block.clone());
        seeds.add("pack_recovery", "recovery", [&[0], &block[..], b"contents", &block].concat());
    }
    for (code, percent) in [1, 2, 3, 5, 10, 20, 50, 100].into_iter().enumerate() {
        let ecc = Ecc::new("REED-SOLOMON-CRC32", percent).unwrap().unwrap();
        let item = world::noise(u64::from(percent), 100);
        for (kind, damage) in [(0, &[][..]), (0, &[5, 0, 90, 0]), (4, &[1, 0])] {
            let places = damage.len() as u8 / 2;
            let head = [code as u8, kind, places];
            seeds.add("ecc", &format!("item-{percent}"), [&head, damage, &item].concat());
        }
        seeds.add("ecc", "stored", [&[code as u8, 0, 0], &ecc.encode(&item).unwrap()[..]].concat());
    }
    let long = [&[1, 0, 1, 7, 1][..], &world::noise(9, 6000)].concat();
    seeds.add("ecc", "long", long);
    add_streams(seeds);
    let parts = [(0, 4 << 20, "30a5"), (4 << 20, 1000, "Ixf0a5"), ((4 << 20) + 1000, 3, "Zabcd")];
    let segment = |(start, length, id): (u64, u64, &str)| Segment {
        start,
        length,
        object: id.parse::<ObjectId>().unwrap(),
    };
    let list = SegmentList::new(parts.into_iter().map(segment).collect());
    seeds.add("indirect_object", "list", gojson::to_line(&list).unwrap());
}

fn add_streams(seeds: &mut Seeds) {
    let text = b"entry 1 of the log, entry 2 of the log, entry 3 of the log".repeat(3);
    for compressor in compression::all() {
        let mut stream = vec![16, 0];
        stream.extend_from_slice(&compressor.id().0.to_be_bytes());
        if compressor.compress(&text, &mut stream).is_ok() {
            seeds.add("decompress", compressor.name(), stream);
        }
    }
    let testdata: [(u32, &[u8]); 6] = [
        (0x1300, include_bytes!("../../src/compression/testdata/log.gz")),
        (0x1200, include_bytes!("../../src/compression/testdata/log.s2")),
        (0x1201, include_bytes!("../../src/compression/testdata/log-best.s2")),
        (0x1201, include_bytes!("../../src/compression/testdata/log-better.s2")),
        (0x1200, include_bytes!("../../src/compression/testdata/log.sz")),
        (0x1400, include_bytes!("../../src/compression/testdata/log.lz4")),
    ];
    for (id, stream) in testdata {
        seeds.add(
            "decompress",
            &format!("foreign-{id:x}"),
            [&[0, 1], &id.to_be_bytes()[..], stream].concat(),
        );
    }
    seeds.add("decompress", "plain", *b"\x01\0\0\0\0\0plain");
    // Splitter, hash, cipher, error correction, compressor, version, repeats, damage; a piece.
    for number in 0..16_u8 {
        let head = [number, number, number, number, number, number, number.wrapping_mul(17), number];
        let piece = world::noise(u64::from(number), 16 << (number % 8));
        seeds.add("round_trip", if number % 2 == 0 { "even" } else { "odd" }, [&head, &piece[..]].concat());
        seeds.add("round_trip", "text", [&head[..], b"so it goes, on and on, "].concat());
    }
}

/// What is easiest written down.
fn add_texts(seeds: &mut Seeds) {
    for text in ["{}", r#"{"retentionMode":"GOVERNANCE","retentionPeriod":86400000000000}"#] {
        seeds.add("blobcfg", "text", text);
    }
    for text in [
        "30a572157ba3e8a14424acacde62ee4a\nk00112233445566778899aabbccddeeff\nxf0f0\nIIDf0f0\nZabcd\nIxabcd",
        "xe1\nxe2\nxn0_aa-s1-c1\nxn1_bb-s1-c2\nxn1_cc-s1-c2\nxn2_dd\nxw1700000000\nxs0_ee-s2-c1",
        "xe12\nxr0_5_aa-s1-c1\nxr6_9_bb-s1-c1\nxs10_cc\nxn11_dd\nxn12_ee\nxn13_ff",
        "xe9223372036854775807\nxn9223372036854775806_a\nxs9223372036854775807_a\nxr0_9223372036854775807_a",
        "n00112233445566778899aabbccddeeff\nm00112233445566778899aabbccddeeff\nn00",
        r#"{"inputMetadata":[{"id":"n00","length":1}],"outputMetadata":null}"#,
        "2024-05-01T10:00:03.6Z\n2024-05-01T10:00:03.123456789+02:00\n1677-09-21T00:12:44Z\n9999-12-31T23:59:59Z",
        "0755\n040000755\n0x1ed\n0o17\n0b11\n493\np0011-s0102144\nu@h:/p\n(global)\n@h",
    ] {
        seeds.add("names", if text.starts_with('x') { "epochs" } else { "text" }, text);
    }
    seeds.add("pack_recovery", "postamble", *b"\x01\x04\x01\x01\xaa\x00\x08contents");
    let marker = concat!(
        r#"{"id":"s0001","startTime":"2024-05-01T10:00:03.6Z","checkpointTime":"2024-05-01T10:00:03.6Z","#,
        r#""username":"u","hostname":"h"}"#
    );
    seeds.add("pack_recovery", "marker", format!("\x03{marker}"));
    let schedule = concat!(
        r#"{"scheduling":{"intervalSeconds":3600,"timeOfDay":[{"hour":1,"min":2}],"cron":["0 1 * * 1-5","@daily"]},"#,
        r#""files":{"ignore":["*.tmp","/a/**","!b[a-z]?","c\\ d/"],"maxFileSize":10},"actions":{"beforeFolder":"#,
        r#"{"path":"/x","args":["a"],"timeout":5,"mode":"essential"}},"compression":{"compressorName":"zstd","#,
        r#""onlyCompress":[".a"],"neverCompress":[".b"],"minSize":1,"maxSize":2},"noParent":true}"#
    );
    seeds.add("policy", "sections", schedule);
    let lock = concat!(
        r#"{"format":{"version":3,"upgradeLock":{"ownerID":"o","creationTime":"2024-05-01T10:00:00Z","#,
        r#""ioDrainTimeout":900000000000,"statusPollInterval":60000000000,"message":"m","#,
        r#""maxPermittedClockDrift":300000000000},"requiredFeatures":[{"feature":"index-v2","#,
        r#""ifNotUnderstood":{"warn":false}},{"feature":"a","ifNotUnderstood":{"warn":true,"message":"m","url":"u"}}]}}"#
    );
    seeds.add("format_blob", "inner", lock);
}

/// What Kopia wrote.
fn add_fixture(seeds: &mut Seeds, name: &str) {
    let fixture = Fixture::load(name);
    let folder = fixture.unpack();
    let repository = fixture.open(folder.path()).unwrap();
    let storage = repository.storage();
    let outer = storage.get(&REPOSITORY_BLOB.into(), None).unwrap();
    FormatBlob::parse(&outer).unwrap();
    seeds.add("format_blob", "outer", outer);
    let inner = serde_json::json!({ "format": repository.format() });
    seeds.add("format_blob", "inner", gojson::to_vec(&inner).unwrap());
    seeds.add("blobcfg", "fixture", gojson::to_vec(repository.config()).unwrap());
    add_indexes(seeds, &repository);
    add_contents(seeds, &repository);
    for manifest in repository.load_manifests().unwrap().find(&[]) {
        let data = manifest.data.as_ref().unwrap().get();
        match manifest.kind() {
            "snapshot" => seeds.add("snapshot_manifest", "fixture", data),
            "policy" => seeds.add("policy", "fixture", data),
            _ => {}
        }
    }
}

fn add_indexes(seeds: &mut Seeds, repository: &Repository) {
    let (storage, crypto) = (repository.storage(), &repository.contents().format().crypto);
    for prefix in ["n", "xn", "xs", "xr"] {
        for blob in storage.list_all(prefix).unwrap() {
            let stored = storage.get(&blob.id, None).unwrap();
            // An upgrade leaves one that is no index.
            let Ok(file) = crypto.open(blob.id.as_str(), stored) else { continue };
            let target = if file[0] == 1 { "index_v1" } else { "index_v2" };
            seeds.add("pack_recovery", "fixture", [&[2], &file[..]].concat());
            seeds.add(target, "fixture", file);
        }
    }
}

fn add_contents(seeds: &mut Seeds, repository: &Repository) {
    let contents = repository.contents();
    for prefix in [IdPrefix::DIRECTORY, IdPrefix::INDIRECT, IdPrefix::MANIFEST] {
        for id in contents.ids_with_prefix(prefix) {
            let data = contents.get(&id).unwrap();
            if data.starts_with(b"{\"stream\":\"kopia:indirect") {
                seeds.add("indirect_object", "fixture", data);
            } else if prefix == IdPrefix::DIRECTORY {
                seeds.add("directory_manifest", "fixture", data);
            } else if prefix == IdPrefix::MANIFEST {
                let mut json = Vec::new();
                MultiGzDecoder::new(data.as_slice()).read_to_end(&mut json).unwrap();
                seeds.add("manifest", "batch", data);
                seeds.add("manifest", "json", json);
            }
        }
    }
    for entry in contents.index().iter(false).map(|entry| entry.to_entry()) {
        if entry.compression.0 != 0 {
            let range = packhorse::blob::ByteRange {
                offset: entry.pack_offset.into(),
                length: entry.packed_length.into(),
            };
            let stored = repository.storage().get(&entry.pack, Some(range)).unwrap();
            let framed = contents.format().crypto.open_item(entry.id.hash().iv(), stored).unwrap();
            let limit = u16::try_from(entry.original_length.div_ceil(16)).unwrap_or(u16::MAX);
            let name = compression::by_id(entry.compression).unwrap().name();
            seeds.add("decompress", &format!("kopia-{name}"), [&limit.to_le_bytes(), &framed[..]].concat());
        }
    }
}
