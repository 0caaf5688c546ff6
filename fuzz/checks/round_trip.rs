//! A whole repository's life: split, hash, compress, encrypt, pack, index; read back equal; and after damage to one
//! byte of any blob read back equal or not at all.
//!
//! Input: eight bytes of parameters, then data, which is repeated.

use super::support::{clock, content_format, entropy, parameters};
use packhorse::blob::{Memory, Storage, StorageExt};
use packhorse::compression::{Compressor, by_name};
use packhorse::content::{
    ClientIdentity, ContentFormat, ContentReader, ContentWriter, Scratch, read_local_index,
};
use packhorse::crypto::{self, BlobCrypto, Ecc};
use packhorse::format::{EpochParameters, IdPrefix};
use packhorse::index::{EpochSettings, IndexBlobs, MergedIndex};
use packhorse::object::{NewChunk, ObjectId, ObjectOptions, ObjectReader, ObjectWriter, PartList};
use packhorse::splitter::{self, Splitter};
use std::sync::Arc;
use std::time::Duration;

/// More makes it slow and shows nothing new: the shortest splitters cut at 128 KiB on average.
const DATA_BYTES_MAX: usize = 300 << 10;
const COMPRESSORS: [&str; 7] =
    ["none", "zstd-fastest", "zstd", "s2-default", "gzip-best-speed", "pgzip", "deflate-default"];

struct Plan {
    splitter: Arc<dyn Splitter>,
    format: ContentFormat,
    compressor: Option<&'static dyn Compressor>,
    repeats: usize,
    damage: [u8; 2],
}

pub fn check(data: &[u8]) {
    let (choices, piece) = parameters::<8>(data);
    let plan = plan(choices);
    let data = repeated(piece, plan.repeats);
    let storage: Arc<dyn Storage> = Arc::new(Memory::new(clock()));
    let id = write(&storage, &plan, &data);
    let reader = open(&storage, &plan.format).expect("what was written opens");
    let read = ObjectReader::new(Arc::clone(&reader)).read_all(id).expect("what was written is read");
    assert!(read == data);
    check_contents(&reader);
    check_packs(&storage, &plan.format, &reader.index());
    drop(reader);
    damage(&storage, &plan, id, &data);
}

fn plan([splitter, hash, cipher, ecc, compressor, version, repeats, place]: [u8; 8]) -> Plan {
    fn pick<T: Copy>(of: &[T], by: u8) -> T {
        of[usize::from(by) % of.len()]
    }
    let names: Vec<_> = splitter::names().chain(splitter::OWN_NAMES.iter().copied()).collect();
    let index_version = version % 2 + 1;
    let percent = if index_version == 1 { 0 } else { pick(&[0, 0, 2, 20], ecc) };
    let hasher = crypto::hasher(pick(crypto::HASHES, hash), &[1; 32]).expect("it is listed");
    let encryptor = crypto::encryptor(pick(crypto::ENCRYPTIONS, cipher), &[2; 32]).expect("it is listed");
    let ecc = Ecc::new("REED-SOLOMON-CRC32", percent).expect("it is known");
    let format = ContentFormat {
        crypto: BlobCrypto::new(hasher, encryptor, ecc),
        index_version,
        max_pack_bytes: 1 << (version / 2 % 8 + 10),
        recovery_block: (index_version == 1).then(|| b"copy".as_slice().into()),
        ..content_format()
    };
    Plan {
        splitter: splitter::by_name(pick(&names, splitter)).expect("it is listed"),
        format,
        compressor: by_name(pick(&COMPRESSORS, compressor)),
        repeats: usize::from(repeats % 64) + 1,
        damage: [place, repeats],
    }
}

/// The pieces differ in one byte, so that they are not all one content.
fn repeated(piece: &[u8], times: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for number in 0..times {
        data.extend_from_slice(piece);
        if let Some(last) = data.last_mut() {
            *last ^= number as u8;
        }
    }
    data.truncate(DATA_BYTES_MAX);
    data
}

fn open(storage: &Arc<dyn Storage>, format: &ContentFormat) -> Result<Arc<ContentReader>, String> {
    let parameters = EpochParameters { enabled: format.index_version == 2, ..EpochParameters::DEFAULT };
    let (crypto, epochs) = (format.crypto.clone(), EpochSettings::new(parameters));
    let blobs = IndexBlobs::new(Arc::clone(storage), crypto, epochs, clock(), Arc::new(entropy()));
    let storage = Arc::clone(storage);
    ContentReader::open(storage, format.clone(), blobs, clock(), Arc::new(|_: &str| {}))
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

fn write(storage: &Arc<dyn Storage>, plan: &Plan, data: &[u8]) -> ObjectId {
    let reader = open(storage, &plan.format).expect("an empty store opens");
    let identity = ClientIdentity { username: "u".to_owned(), hostname: "h".to_owned() };
    let contents = ContentWriter::new(reader, identity, Arc::new(entropy()), 1, Duration::MAX);
    let objects = ObjectWriter::new(Arc::new(contents), Arc::clone(&plan.splitter));
    let (mut parts, mut scratch) = (PartList::default(), Scratch::default());
    let mut data = data.to_vec();
    let mut rest = &mut data[..];
    loop {
        let (chunk, after) = rest.split_at_mut(boundary(&*plan.splitter, rest));
        let length = chunk.len() as u64;
        let mut chunks = [NewChunk { data: chunk, compressor: plan.compressor }];
        let written = objects.write_chunks(&mut chunks, &mut scratch, |_, id| parts.push(length, id));
        written.expect("memory takes everything");
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let options =
        ObjectOptions { prefix: IdPrefix::NONE, compressor: None, metadata_compressor: plan.metadata() };
    let id = objects.finish(parts, &options, &mut scratch).expect("memory takes everything");
    objects.contents().flush().expect("memory takes everything");
    id
}

impl Plan {
    /// Lists can be compressed only where the index can say so.
    fn metadata(&self) -> Option<&'static dyn Compressor> {
        self.compressor.filter(|_| self.format.compresses_contents())
    }
}

/// Where to cut; found alike in one go and bit by bit.
fn boundary(splitter: &dyn Splitter, data: &[u8]) -> usize {
    let cut = splitter.boundary(data, 0);
    let mut known = 0;
    let stepwise = loop {
        let more = (known + (64 << 10)).min(data.len());
        let found = splitter.boundary(&data[..more], known);
        if found.is_some() || more == data.len() {
            break found;
        }
        known = more;
    };
    assert_eq!(stepwise, cut);
    assert!(cut.is_none_or(|cut| cut <= splitter.max_len() && cut >= splitter.min_len()));
    cut.unwrap_or(data.len())
}

fn check_contents(reader: &ContentReader) {
    for entry in reader.index().iter(true) {
        reader.verify(&entry.id()).expect("what was written is read");
    }
}

/// The indexes at the ends of the packs say the same as the index.
fn check_packs(storage: &Arc<dyn Storage>, format: &ContentFormat, index: &MergedIndex) {
    let mut found = 0;
    for prefix in ["p", "q"] {
        for pack in storage.list_all(prefix).expect("memory never fails") {
            let local = read_local_index(storage.as_ref(), format, &pack.id, pack.length);
            for entry in local.expect("what was written is read").iter() {
                assert_eq!(index.lookup(&entry.id), Some(entry));
                found += 1;
            }
        }
    }
    assert_eq!(found, index.len());
}

/// Changes one byte. Everything is authenticated, so what still reads is what was written.
fn damage(storage: &Arc<dyn Storage>, plan: &Plan, id: ObjectId, data: &[u8]) {
    let blobs = storage.list_all("").expect("memory never fails");
    let [place, flip] = plan.damage;
    let Some(blob) = blobs.get(usize::from(place) % blobs.len().max(1)) else { return };
    let mut bytes = storage.get(&blob.id, None).expect("it was listed");
    let at = (usize::from(place) * 7919 + usize::from(flip) * 31) % bytes.len();
    bytes[at] ^= flip | 1;
    storage.put_now(&blob.id, &bytes).expect("memory takes everything");
    let repaired = plan.format.crypto.ecc().is_some();
    let read = open(storage, &plan.format)
        .and_then(|reader| ObjectReader::new(reader).read_all(id).map_err(|error| error.to_string()));
    match read {
        Ok(read) => assert!(read == data),
        Err(error) => assert!(!repaired, "one byte is less than error correction repairs: {error}"),
    }
}
