//! Packs whose index is lost, read from their ends, and the markers of the sessions that left them.
//!
//! The first byte says what the rest is: a pack; a postamble and a pack, joined with the right checksum; the plaintext
//! of a local index, joined with all that belongs to it; the plaintext of a session's marker.

use super::index_v2::check_index;
use super::support::{clock, content_format, entropy, parameters};
use packhorse::blob::{BlobId, Memory, StorageExt};
use packhorse::content::{Error, list_sessions, read_local_index};
use packhorse::crypto::BlobCrypto;
use packhorse::format;
use packhorse::index::PackIndex;

const PACK: &str = "p00112233445566778899aabbccddeeff-s0001";

pub fn check(data: &[u8]) {
    let ([kind], rest) = parameters::<1>(data);
    match kind % 4 {
        0 => {
            read(rest).ok();
        }
        1 => with_postamble(rest),
        2 => with_index(rest),
        _ => as_marker(rest),
    }
}

/// Reads what a pack says of itself at both ends.
fn read(pack: &[u8]) -> Result<PackIndex, Error> {
    format::recovery_from_start(pack);
    format::recovery_from_end(pack);
    let storage = Memory::new(clock());
    let id = BlobId::from(PACK);
    storage.put_now(&id, pack).expect("memory takes every valid name");
    let index = read_local_index(&storage, &content_format(), &id, pack.len() as u64)?;
    check_index(&index);
    Ok(index)
}

/// The first byte is the length of the postamble, which follows; then comes the pack.
fn with_postamble(data: &[u8]) {
    let Some((&length, rest)) = data.split_first() else { return };
    let (postamble, pack) = rest.split_at(usize::from(length.min(200)).min(rest.len()));
    read(&joined(pack, postamble)).ok();
}

fn with_index(local: &[u8]) {
    let crypto: BlobCrypto = content_format().crypto;
    let iv = crypto.hasher().hash(local);
    let sealed = crypto.seal_item(&entropy(), iv.as_bytes(), local).expect("sealing works");
    let start = b"contents";
    let mut postamble = vec![1, iv.as_bytes().len() as u8];
    postamble.extend_from_slice(iv.as_bytes());
    push_uvarint(&mut postamble, start.len());
    push_uvarint(&mut postamble, sealed.len());
    let found = read(&joined(&[&start[..], &sealed].concat(), &postamble));
    match (found, PackIndex::open(local.to_vec())) {
        (Ok(found), Ok(index)) => assert!(found.iter().eq(index.iter())),
        (Err(Error::Index { .. }), Err(_)) => {}
        (found, index) => panic!("{:?} where the index itself is {:?}", found.err(), index.err()),
    }
}

fn joined(pack: &[u8], postamble: &[u8]) -> Vec<u8> {
    let checksum = crc32fast::hash(postamble).to_be_bytes();
    let length = (postamble.len() + checksum.len()) as u8;
    [pack, postamble, &checksum, &[length]].concat()
}

fn push_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn as_marker(body: &[u8]) {
    let (storage, format) = (Memory::new(clock()), content_format());
    let (name, sealed) = format.crypto.seal(&entropy(), "s", "s0001", body).expect("sealing works");
    storage.put_now(&name.as_str().into(), &sealed).expect("memory takes every valid name");
    storage.put_now(&"s00-not-a-marker".into(), body).expect("memory takes every valid name");
    let sessions = list_sessions(&storage, &format).expect("memory never fails");
    assert!(sessions.iter().all(|(blob, _)| blob.as_str() == name));
}
