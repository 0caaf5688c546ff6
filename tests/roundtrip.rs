//! What is written comes back: any bytes, any splitter, any hash and cipher, again and after a crash; and what was
//! damaged is noticed.

use crate::support::live_tree::{set_mtime, write};
use crate::support::world::{self, PACK_BYTES, World, begin, noise, snapshot, upload_only};
use packhorse::base::{Counter, ErrorClass, MIB, Quiet};
use packhorse::blob::{ByteRange, StorageExt};
use packhorse::compression;
use packhorse::content::Scratch;
use packhorse::crypto::{ENCRYPTIONS, HASHES};
use packhorse::format::{IdPrefix, NewFormat};
use packhorse::object::{ObjectId, ObjectOptions, ObjectWriter};
use packhorse::repo::{Repository, RepositoryWriter};
use packhorse::snapshot::{Uploaded, VerifyOptions, VerifyReport, read_directory, verify};
use packhorse::splitter::{self, OWN_NAMES};
use proptest::prelude::*;
use rayon::prelude::*;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;

/// Deriving keys is slow by design, so that cases share a repository.
static SHARED: LazyLock<Repository> = LazyLock::new(|| World::new(world::small_format()).open());

fn write_object(writer: &RepositoryWriter<'_>, splitter: &str, data: &[u8]) -> ObjectId {
    let contents = Arc::clone(writer.objects().contents());
    let objects = ObjectWriter::new(contents, splitter::by_name(splitter).unwrap());
    let compressor = compression::by_name("zstd-fastest");
    let options = ObjectOptions { prefix: IdPrefix::DIRECTORY, compressor, metadata_compressor: compressor };
    objects.write(&mut data.to_vec(), &options, &mut Scratch::default()).unwrap()
}

fn all_splitters() -> Vec<&'static str> {
    splitter::names().chain(OWN_NAMES.iter().copied()).collect()
}

/// Noise with stretches that shrink.
fn mixed(seed: u64, len: usize) -> Vec<u8> {
    let mut data = noise(seed, len);
    for stretch in data.chunks_mut(50_000).skip(1).step_by(2) {
        stretch.fill(seed as u8);
    }
    data
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_come_back_whatever_cuts_them(
        name in prop::sample::select(all_splitters()),
        seed: u64,
        len in prop_oneof![0_usize..20, 0_usize..5000, 100_000_usize..600_000],
    ) {
        let data = mixed(seed, len);
        let mut writer = begin(&SHARED);
        let id = write_object(&writer, name, &data);
        writer.flush().unwrap();
        prop_assert!(SHARED.objects().read_all(id).unwrap() == data, "{name} {len}");
    }
}

#[test]
fn lengths_around_every_boundary() {
    let mut writer = begin(&SHARED);
    let mut written = Vec::new();
    for name in all_splitters() {
        let splitter = splitter::by_name(name).unwrap();
        if splitter.max_len() > MIB as usize {
            continue; // the same code with other numbers
        }
        for around in [splitter.min_len(), splitter.max_len(), 2 * splitter.max_len()] {
            for len in around - 1..=around + 1 {
                let data = mixed(len as u64, len);
                written.push((name, write_object(&writer, name, &data), data));
            }
        }
    }
    writer.flush().unwrap();
    written.par_iter().for_each(|(name, id, data)| {
        let objects = SHARED.objects();
        assert!(objects.read_all(*id).unwrap() == *data, "{name} {}", data.len());
        for part in objects.segments(*id).unwrap().unwrap_or_default() {
            assert!(part.length as usize <= splitter::by_name(name).unwrap().max_len());
        }
    });
}

#[test]
fn every_hash_with_every_cipher() {
    let combinations: Vec<_> =
        HASHES.iter().flat_map(|hash| ENCRYPTIONS.iter().map(move |cipher| (*hash, *cipher))).collect();
    combinations.par_iter().for_each(|&(hash, cipher)| {
        let format =
            NewFormat { hash: hash.to_owned(), encryption: cipher.to_owned(), ..world::small_format() };
        let world = World::new(format);
        let data = mixed(9, 300_000);
        let id = {
            let repository = world.open();
            let mut writer = begin(&repository);
            let id = write_object(&writer, "FIXED-128K", &data);
            writer.flush().unwrap();
            id
        };
        assert!(world.open().objects().read_all(id).unwrap() == data, "{hash} {cipher}");
    });
}

/// A hundred files in ten folders, and one of several contents.
fn source() -> TempDir {
    let source = tempfile::tempdir().unwrap();
    for number in 0..100_u64 {
        let path = source.path().join(format!("d{}/f{number}", number % 10));
        write(&path, &mixed(number, 100 + 37 * number as usize));
        set_mtime(&path, 1_700_000_000_123_456_789 + number as i64);
    }
    write(&source.path().join("big"), &noise(77, 500_000));
    source
}

fn prove(repository: &Repository, uploaded: &Uploaded) -> VerifyReport {
    let options = VerifyOptions::EVERYTHING;
    verify(repository, &[("root".to_owned(), uploaded.root_entry.clone())], &options, &Quiet).unwrap()
}

#[test]
fn unchanged_files_are_not_opened() {
    let (world, source) = (World::new(world::small_format()), source());
    let first = snapshot(&world.open(), source.path());
    assert_eq!(
        (first.counters.get(Counter::HashedFiles), first.counters.get(Counter::CachedFiles)),
        (101, 0)
    );

    // Other bytes under the same metadata: whoever opened the file would see them.
    let path = source.path().join("d3/f3");
    let metadata = std::fs::metadata(&path).unwrap();
    write(&path, &vec![0; metadata.len() as usize]);
    set_mtime(&path, 1_700_000_000_123_456_792);
    world.clock.advance(Duration::from_mins(1));
    let second = snapshot(&world.open(), source.path());
    assert_eq!(
        (second.counters.get(Counter::HashedFiles), second.counters.get(Counter::CachedFiles)),
        (0, 101)
    );
    assert_eq!(second.uploaded.root_entry.obj, first.uploaded.root_entry.obj);

    set_mtime(&path, 1_800_000_000_000_000_000);
    world.clock.advance(Duration::from_mins(1));
    let third = snapshot(&world.open(), source.path());
    assert_eq!(
        (third.counters.get(Counter::HashedFiles), third.counters.get(Counter::CachedFiles)),
        (1, 100)
    );
    assert_ne!(third.uploaded.root_entry.obj, first.uploaded.root_entry.obj);
    assert!(prove(&world.open(), &third.uploaded).errors.is_empty());
}

/// Waits until a pack has arrived, which a thread of the writer brings on its way.
fn wait_for_pack(world: &World) {
    for _ in 0..1000 {
        if world.stored_bytes("p") > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no full pack was stored");
}

#[test]
fn what_a_killed_run_stored_is_not_stored_again() {
    let source = tempfile::tempdir().unwrap();
    let total = 2 * PACK_BYTES + 3 * MIB;
    write(&source.path().join("big"), &noise(5, total as usize));
    let world = World::new(world::small_format());
    let repository = world.open();
    let mut writer = begin(&repository);
    upload_only(&mut writer, source.path());
    wait_for_pack(&world);
    // The process dies here: what its store holds is all that is left.
    let after = world.copy();
    let left = after.stored_bytes("p");
    std::mem::forget(writer);

    let repository = after.open();
    let run = snapshot(&repository, source.path());
    assert!(run.adopted > 0, "nothing was taken over");
    assert!(run.new_bytes < total - left + MIB, "{} new bytes beside {left} taken over", run.new_bytes);
    let stored = after.stored_bytes("p");
    assert!(stored < total + MIB, "{stored} bytes of packs hold {total} bytes of data");
    assert!(prove(&after.open(), &run.uploaded).errors.is_empty());
}

#[test]
fn a_killed_run_leaves_nothing_visible() {
    let source = source();
    let world = World::new(world::small_format());
    let repository = world.open();
    let mut writer = begin(&repository);
    upload_only(&mut writer, source.path());
    let after = world.copy();
    std::mem::forget(writer);
    assert!(after.open().contents().index().is_empty());
}

fn stored(
    repository: &Repository,
    id: &packhorse::format::ContentId,
) -> (packhorse::index::IndexEntry, Vec<u8>) {
    let entry = repository.contents().info(id).unwrap();
    let range = ByteRange { offset: entry.pack_offset.into(), length: entry.packed_length.into() };
    let bytes = repository.storage().get(&entry.pack, Some(range)).unwrap();
    (entry, bytes)
}

fn is_noticed(repository: &Repository, id: &packhorse::format::ContentId, at: usize, mask: u8) -> bool {
    let (entry, mut bytes) = stored(repository, id);
    bytes[at] ^= mask;
    let result = repository.contents().decode(&entry, bytes);
    matches!(result.map_err(|error| error.class()), Err(ErrorClass::Corrupt))
}

#[test]
fn every_flipped_byte_of_a_stored_content_is_noticed() {
    for cipher in ENCRYPTIONS {
        let world = World::new(NewFormat { encryption: (*cipher).to_owned(), ..world::small_format() });
        let repository = world.open();
        let mut writer = begin(&repository);
        let id = write_object(&writer, "FIXED-128K", &noise(4, 700)).content().unwrap();
        let shrunk = write_object(&writer, "FIXED-128K", &vec![7; 5000]).content().unwrap();
        writer.flush().unwrap();
        for id in [id, shrunk] {
            for at in 0..stored(&repository, &id).1.len() {
                assert!(is_noticed(&repository, &id, at, 1 << (at % 8)), "{cipher}: byte {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_byte_of_a_pack_is_found_by_verification(at: prop::sample::Index, mask in 1_u8..) {
        static DONE: LazyLock<(World, Uploaded)> = LazyLock::new(|| {
            let (world, source) = (World::new(world::small_format()), source());
            let uploaded = snapshot(&world.open(), source.path()).uploaded;
            (world, uploaded)
        });
        let (world, uploaded) = &*DONE;
        let damaged = world.copy();
        let entries: Vec<_> = {
            let repository = damaged.open();
            let index = repository.contents().index();
            let trees = index.iter(false).filter(|entry| entry.id().prefix() != IdPrefix::MANIFEST);
            trees.map(|entry| entry.to_entry()).collect()
        };
        let entry = &entries[at.index(entries.len())];
        let offset = entry.pack_offset as usize + at.index(entry.packed_length as usize);
        let mut pack = damaged.storage.get(&entry.pack, None).unwrap();
        pack[offset] ^= mask;
        damaged.storage.put_now(&entry.pack, &pack).unwrap();
        prop_assert!(!prove(&damaged.open(), uploaded).errors.is_empty(), "{} byte {offset}", entry.pack);
    }
}

#[test]
fn a_directory_of_very_many_files_is_compared_as_any_other() {
    let (world, source) = (World::new(world::small_format()), tempfile::tempdir().unwrap());
    let name = |number: usize| source.path().join(format!("{number:05}"));
    let count = 17_000;
    for number in 0..count {
        write(&name(number), number.to_string().as_bytes());
    }
    let first = world::snapshot(&world.open(), source.path());
    assert!(first.uploaded.root_entry.obj.list().is_some(), "its manifest has parts");
    assert_eq!(first.counters.get(Counter::HashedFiles), count as u64);
    write(&name(9_000), b"another");
    std::fs::remove_file(name(16_999)).unwrap();
    let second = world::snapshot(&world.open(), source.path());
    assert_eq!(second.counters.get(Counter::HashedFiles), 1);
    assert_eq!(second.counters.get(Counter::CachedFiles), count as u64 - 2);
    let repository = world.open();
    let manifest = read_directory(repository.objects(), second.uploaded.root_entry.obj).unwrap();
    assert_eq!(manifest.entries.len(), count - 1);
    for (number, entry) in manifest.entries.iter().enumerate() {
        let expected = if number == 9_000 { "another".to_owned() } else { number.to_string() };
        assert_eq!((&*entry.name, entry.size), (&*format!("{number:05}"), expected.len() as u64));
    }
}
