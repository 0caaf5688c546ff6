//! Error correction: what is within its power is repaired, what is not is an error, never other bytes.

use crate::support::world::noise;
use packhorse::crypto::{Ecc, Error};

/// Shards of a small item: six of data behind two of parity.
const SMALL_SHARDS: usize = 8;
const SMALL_PARITY: usize = 2;

fn ecc(percent: u32) -> Ecc {
    Ecc::new("REED-SOLOMON-CRC32", percent).unwrap().unwrap()
}

/// Numbers of damaged shards, all choices of `count` out of [`SMALL_SHARDS`].
fn choices(count: u32) -> impl Iterator<Item = u32> {
    (0..1 << SMALL_SHARDS).filter(move |set: &u32| set.count_ones() == count)
}

#[test]
fn any_two_shards_of_a_small_item_are_repaired_and_any_three_are_not() {
    let (ecc, item) = (ecc(2), noise(1, 100));
    let stored = ecc.encode(&item).unwrap();
    let shard = stored.len() / SMALL_SHARDS;
    assert_eq!(stored.len() % SMALL_SHARDS, 0);
    for count in 0..=SMALL_SHARDS as u32 {
        for set in choices(count) {
            for (place, flip) in [(0, 1), (3, 0x80), (4, 0xff), (shard - 1, 0x10)] {
                let mut bad = stored.clone();
                for number in (0..SMALL_SHARDS).filter(|number| set >> number & 1 == 1) {
                    bad[number * shard + place] ^= flip;
                }
                let read = ecc.decode(bad);
                if count as usize <= SMALL_PARITY {
                    assert_eq!(read.as_ref(), Ok(&item), "shards {set:#b}");
                } else {
                    assert!(matches!(read, Err(Error::Uncorrectable { .. })), "shards {set:#b}: {read:?}");
                }
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_repaired() {
    for (percent, len) in [(1, 0), (1, 1), (5, 100), (100, 1000), (3, 4000)] {
        let (ecc, item) = (ecc(percent), noise(2, len));
        let stored = ecc.encode(&item).unwrap();
        for bit in (0..stored.len() * 8).step_by(1 + stored.len() / 500) {
            let mut bad = stored.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ecc.decode(bad).as_ref(), Ok(&item), "{percent} %, {len} bytes, bit {bit}");
        }
    }
}

/// An item that was cut or grew is repaired or refused.
#[test]
fn another_length_never_gives_other_bytes() {
    for (percent, len) in [(1, 0), (2, 11), (2, 500), (5, 3_000), (10, 20_000), (20, 9_000)] {
        let (ecc, item) = (ecc(percent), noise(3, len));
        let stored = ecc.encode(&item).unwrap();
        let (mut repaired, mut refused) = (0, 0);
        let step = 1 + stored.len() / 600;
        let shorter = (0..stored.len()).rev().step_by(step).map(|len| stored[..len].to_vec());
        let longer = (1..=64).map(|more| [&stored[..], &vec![0x5a; more]].concat());
        for bad in shorter.chain(longer).filter(|bad| !bad.is_empty()) {
            let length = bad.len();
            match ecc.decode(bad) {
                Ok(read) => {
                    assert!(read == item, "{percent} %, {length} of {} bytes", stored.len());
                    repaired += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0 && (repaired > 0 || len < 20_000), "{percent} %, {len}: {repaired} {refused}");
    }
}
