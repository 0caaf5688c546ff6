//! Error correction: what is damaged is repaired or reported, never passed on.
//!
//! Input: overhead (one byte), kind of damage (one byte), number of damaged places, two bytes for each, then the item.

use super::support::parameters;
use packhorse::crypto::Ecc;
use std::sync::LazyLock;

/// Some overheads of every geometry; making a code takes longer than using it.
static CODES: LazyLock<Vec<Ecc>> = LazyLock::new(|| {
    let code = |percent| Ecc::new("REED-SOLOMON-CRC32", percent).expect("it is known").expect("not zero");
    [1, 2, 3, 5, 10, 20, 50, 100].map(code).into()
});

/// Places that can be damaged in every item without loss: a small one has two parity shards, others no fewer.
const REPAIRABLE: usize = 2;
/// 254 shards of 1024 bytes.
const LONGEST_BLOCK_BYTES: usize = 254 << 10;

pub fn check(data: &[u8]) {
    let ([code, kind, places], rest) = parameters::<3>(data);
    let ecc = &CODES[usize::from(code) % CODES.len()];
    decode_anything(ecc, rest);
    let places = usize::from(places % 16).min(rest.len() / 2);
    let (places, item) = rest.split_at(places * 2);
    let stored = ecc.encode(item).expect("it is short");
    assert_eq!(ecc.decode(stored.clone()).expect("nothing is damaged"), item);
    let mut damaged = stored.clone();
    let places = places.as_chunks::<2>().0;
    for place in places {
        let at = usize::from(u16::from_le_bytes(*place)) % damaged.len();
        // Never the same byte back: the change depends on the place only.
        damaged[at] = stored[at] ^ (at as u8 | 1);
    }
    match kind % 3 {
        0 => {}
        1 => damaged.truncate(damaged.len() - usize::from(kind / 3) % damaged.len()),
        _ => damaged.extend(std::iter::repeat_n(kind, usize::from(kind / 3))),
    }
    match ecc.decode(damaged) {
        Ok(read) => assert_eq!(read, item),
        Err(error) => assert!(kind % 3 != 0 || places.len() > REPAIRABLE, "{error}"),
    }
}

fn decode_anything(ecc: &Ecc, stored: &[u8]) {
    if let Ok(item) = ecc.decode(stored.to_vec()) {
        // A block of padding need not be stored.
        assert!(item.len() <= stored.len() + LONGEST_BLOCK_BYTES);
    }
}
