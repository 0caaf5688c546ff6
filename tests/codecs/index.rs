//! Index files, alone and at the end of a pack.

use crate::fuzz_corpus::checks;
use crate::support::world::{self, World};
use packhorse::base::ErrorClass;
use packhorse::blob::{BlobId, Memory, StorageExt};
use packhorse::compression::HeaderId;
use packhorse::content::{ContentFormat, Scratch, read_local_index};
use packhorse::format::{IdPrefix, NewFormat};
use packhorse::index::{self, IndexEntry, PackIndex};

fn small() -> Vec<IndexEntry> {
    let entry = |id: &str, pack: &str, number: u32| IndexEntry {
        id: id.parse().unwrap(),
        pack: pack.into(),
        pack_offset: 32 + number * 100,
        packed_length: 100,
        original_length: 72,
        timestamp_seconds: 1_700_000_000 + i64::from(number),
        deleted: number == 2,
        format_version: 3,
        compression: HeaderId(0),
        encryption_key_id: 0,
    };
    vec![entry("30a57215", "p0", 0), entry("f0a57215", "p0", 1), entry("k00112233", "q1", 2)]
}

/// Index files carry no checksum, the encryption around them does. So a flipped bit may give other entries; what opens
/// must be sane all the same.
#[test]
fn every_flipped_bit_of_an_index_is_an_error_or_another_sane_index() {
    for (version, check) in [(1, checks::index_v1::check as checks::Check), (2, checks::index_v2::check)] {
        let file = index::encode(version, &small()).unwrap();
        let (mut opened, mut refused) = (0, 0);
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // The check forces the version; another one is tried here.
            match PackIndex::open(bad.clone()) {
                Ok(_) => opened += 1,
                Err(_) => refused += 1,
            }
            check(&bad);
        }
        assert!(opened > 100 && refused > 100, "version {version}: {opened} {refused}");
    }
}

#[test]
fn every_truncation_of_an_index_is_an_error() {
    for version in [1, 2] {
        let file = index::encode(version, &small()).unwrap();
        for len in 0..file.len() {
            let error = PackIndex::open(file[..len].to_vec()).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Corrupt, "version {version}, {len} bytes");
        }
    }
}

/// A pack as a run leaves it, and what it was written with.
fn pack(format: NewFormat) -> (Vec<u8>, ContentFormat) {
    let world = World::new(format);
    let repository = world.open();
    let mut writer = world::begin(&repository);
    let contents = writer.objects().contents();
    for number in 0..3 {
        contents.write(&mut world::noise(number, 50), IdPrefix::NONE, None, &mut Scratch::default()).unwrap();
    }
    writer.flush().unwrap();
    let blobs = world.storage.list_all("p").unwrap();
    let pack = world.storage.get(&blobs[0].id, None).unwrap();
    (pack, repository.contents().format().clone())
}

fn read(pack: &[u8], format: &ContentFormat) -> Option<Vec<IndexEntry>> {
    let (storage, id) = (Memory::new(world::clock()), BlobId::from("p00-s01"));
    storage.put_now(&id, pack).unwrap();
    let found = read_local_index(&storage, format, &id, pack.len() as u64);
    found
        .map_err(|error| assert_eq!(error.class(), ErrorClass::Corrupt, "{error}"))
        .ok()?
        .iter()
        .collect::<Vec<_>>()
        .into()
}

#[test]
fn every_flipped_bit_of_a_trailer_is_an_error_and_others_do_not_matter() {
    for version in [1, 3] {
        let (pack, format) = pack(NewFormat { version, ..world::small_format() });
        let whole = read(&pack, &format).unwrap();
        assert_eq!(whole.len(), 3);
        // Contents and padding end on a multiple of 4096.
        let trailer = pack.len() / 4096 * 4096;
        for bit in trailer * 8..pack.len() * 8 {
            let mut bad = pack.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad, &format), None, "version {version}, bit {bit} of {}", pack.len() * 8);
        }
        for at in (0..trailer).step_by(97) {
            let mut bad = pack.clone();
            bad[at] ^= 1;
            assert_eq!(read(&bad, &format).as_ref(), Some(&whole));
        }
        for len in 0..pack.len() {
            assert_eq!(read(&pack[..len], &format), None, "version {version}, {len} bytes");
        }
    }
}

/// With error correction the index survives what its contents survive; the postamble has none.
#[test]
fn error_correction_repairs_the_index_of_a_pack() {
    let ecc =
        NewFormat { ecc: "REED-SOLOMON-CRC32".into(), ecc_overhead_percent: 2, ..world::small_format() };
    let (pack, format) = pack(ecc);
    let whole = read(&pack, &format).unwrap();
    let trailer = pack.len() / 4096 * 4096;
    let postamble = usize::from(*pack.last().unwrap()) + 1;
    for bit in (trailer * 8..pack.len() * 8).step_by(3) {
        let mut bad = pack.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let repaired = bit / 8 < pack.len() - postamble;
        assert_eq!(read(&bad, &format), repaired.then(|| whole.clone()), "bit {bit}");
    }
}
