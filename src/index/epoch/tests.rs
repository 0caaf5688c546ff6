//! Scenarios over a store in memory: other clients act while this one lists, loads or writes.

use crate::base::ErrorClass;
use crate::index::testing::{TestStore, World, active, entry, example, expect_warnings, index};
use crate::index::{Error, IndexBlobs, ReadSet};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SESSION: &str = "s0102030405060708143";
const MINUTE: Duration = Duration::from_mins(1);

fn world() -> (World, IndexBlobs) {
    let world = World::new(true);
    let blobs = world.index_blobs();
    (world, blobs)
}

/// Puts markers so that `epoch` is the write epoch.
fn begin(store: &TestStore, epoch: i64) {
    store.insert(&format!("xe{epoch}"), b"epoch-marker");
}

#[test]
fn the_example_blob_is_written_byte_for_byte() {
    let (world, blobs) = world();
    let written = blobs.write(&[index(&example())], SESSION).unwrap();
    let name = "xn0_95f911ecf1d58f3c21d788e79e2e7813-s0102030405060708143-c1";
    assert_eq!(written, [name.into()]);
    let stored = world.store.data(name);
    assert_eq!(stored.len(), 277);
    assert_eq!(
        hex::encode(Sha256::digest(&stored)),
        "27755a71676bac7eff0d0056176071b3572ede88633d34d7d9d863316eb75c41"
    );
    let merged = blobs.open_all(&|text| panic!("{text}")).unwrap();
    assert!(merged.iter(true).map(|entry| entry.to_entry()).eq(example()));
}

#[test]
fn an_empty_repository_has_an_empty_index() {
    let (world, blobs) = world();
    let set = blobs.active().unwrap();
    assert_eq!((set.blobs.len(), set.deletion_watermark), (0, i64::MIN));
    assert!(blobs.open_all(&|_| ()).unwrap().is_empty());
    assert!(blobs.write(&[[0; 0]; 0], SESSION).unwrap().is_empty());
    assert!(world.store.names().is_empty());
}

#[test]
fn replacements_count_in_settled_epochs_only() {
    let (world, blobs) = world();
    begin(&world.store, 11);
    let mut expected = Vec::new();
    for epoch in [0, 1, 2, 9, 10, 11, 12] {
        expected.push(world.put_index(&format!("xn{epoch}_"), "s1-c9", "aa"));
    }
    assert_eq!(active(&blobs), sorted(&expected), "incomplete xn sets count too");
    world.put_index("xs10_", "s2-c1", "bb");
    world.put_index("xs1_", "s3-c2", "bb");
    expected.remove(3);
    expected.push(world.put_index("xs9_", "s4-c1", "bb"));
    blobs.invalidate();
    assert_eq!(active(&blobs), sorted(&expected), "not settled, incomplete, replaced");
    world.put_index("xs1_", "s3-c2", "cc");
    expected.remove(1);
    expected.extend(world.store.names().into_iter().filter(|name| name.starts_with("xs1_")));
    blobs.invalidate();
    assert_eq!(active(&blobs), sorted(&expected), "complete by now");
}

#[test]
fn few_gaps_and_many_are_the_same() {
    let (world, blobs) = world();
    begin(&world.store, 5);
    let mut expected: Vec<_> =
        (0..7).map(|epoch| world.put_index(&format!("xn{epoch}_"), "s1-c1", "aa")).collect();
    for stray in ["xn01_", "xnfoo", "xn1a_", "xn7_", "xnz1_"] {
        world.put_index(stray, "s1-c1", "ee");
    }
    assert_eq!(active(&blobs), sorted(&expected), "four gaps: one listing");
    expected[1] = world.put_index("xs1_", "s2-c1", "bb");
    blobs.invalidate();
    assert_eq!(active(&blobs), sorted(&expected), "three gaps: three listings");
}

#[test]
fn ranges_replace_everything_they_cover() {
    let (world, blobs) = world();
    begin(&world.store, 12);
    for epoch in [0, 3, 8] {
        world.put_index(&format!("xn{epoch}_"), "s1-c1", "aa");
    }
    world.put_index("xs3_", "s2-c1", "aa");
    world.put_index("xr0_9_", "s9-c2", "aa");
    world.put_index("xr9_10_", "s9-c1", "aa");
    let mut expected = vec![world.put_index("xr0_7_", "s3-c1", "aa")];
    expected.push(world.put_index("xs9_", "s4-c1", "aa"));
    expected.push(world.put_index("xn10_", "s5-c1", "aa"));
    expected.push(world.put_index("xn12_", "s5-c1", "aa"));
    expected.push(world.store.names().into_iter().find(|name| name.starts_with("xn8_")).unwrap());
    assert_eq!(active(&blobs), sorted(&expected));
}

#[test]
fn the_highest_watermark_counts() {
    let (world, blobs) = world();
    for name in ["xw100", "xw99", "xwx", "xw1e9"] {
        world.store.insert(name, b"deletion-watermark");
    }
    assert_eq!(blobs.active().unwrap().deletion_watermark, 100);
}

#[test]
fn a_view_is_kept_while_it_is_valid() {
    let (world, blobs) = world();
    let lists = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lists);
    world.store.set_hook(move |_, operation, _| {
        count.fetch_add(usize::from(operation == "list"), Ordering::Relaxed);
    });
    blobs.active().unwrap();
    let first = lists.load(Ordering::Relaxed);
    world.clock.advance(19 * MINUTE);
    blobs.active().unwrap();
    assert_eq!(lists.load(Ordering::Relaxed), first);
    world.clock.advance(2 * MINUTE);
    blobs.active().unwrap();
    assert_eq!(lists.load(Ordering::Relaxed), 2 * first);
}

#[test]
fn a_write_wants_a_fresh_view() {
    let (world, blobs) = world();
    blobs.active().unwrap();
    begin(&world.store, 1);
    world.clock.advance(21 * MINUTE);
    let written = blobs.write(&[index(&[entry("aa", "p", 1)])], SESSION).unwrap();
    assert!(written[0].as_str().starts_with("xn1_"), "{written:?}");
}

#[test]
fn a_write_that_comes_an_epoch_late_counts() {
    let (world, blobs) = world();
    world.store.set_hook(|store, operation, _| {
        if operation == "put" {
            begin(store, 1);
        }
    });
    let written = blobs.write(&[index(&[entry("aa", "p", 1)])], SESSION).unwrap();
    assert!(written[0].as_str().starts_with("xn0_"));
    assert_eq!(active(&blobs).len(), 1);
}

#[test]
fn a_write_that_comes_two_epochs_late_is_taken_back() {
    let (world, blobs) = world();
    world.store.insert("xn0_other", b"");
    world.store.set_hook(|store, operation, _| {
        if operation == "put" {
            begin(store, 1);
            begin(store, 2);
        }
    });
    let error = blobs.write(&[index(&[entry("aa", "p", 1)])], SESSION).unwrap_err();
    assert!(matches!(error, Error::EpochPassed { written: 0, current: 2 }), "{error}");
    assert_eq!(world.store.names(), ["xe1", "xe2", "xn0_other"]);
}

#[test]
fn shards_move_together_when_the_view_ends_between_them() {
    let (world, blobs) = world();
    let clock = Arc::clone(&world.clock);
    let mut first = true;
    world.store.set_hook(move |store, operation, _| {
        if operation == "put" && std::mem::take(&mut first) {
            begin(store, 1);
            clock.advance(21 * MINUTE);
        }
    });
    let shards = vec![index(&[entry("aa", "p", 1)]), index(&[entry("bb", "p", 1)])];
    let written = blobs.write(&shards, SESSION).unwrap();
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|id| id.as_str().starts_with("xn1_") && id.as_str().ends_with("-c2")));
    let mut names: Vec<_> = written.iter().map(ToString::to_string).collect();
    names.push("xe1".into());
    assert_eq!(world.store.names(), sorted(&names), "the first attempt is gone");
}

#[test]
fn a_store_that_is_too_slow_is_an_error_and_no_hang() {
    let (world, blobs) = world();
    let clock = Arc::clone(&world.clock);
    world.store.set_hook(move |_, operation, _| {
        if operation == "list" {
            clock.advance(21 * MINUTE);
        }
    });
    assert!(matches!(blobs.active(), Err(Error::TooSlow { .. })));
    let error = blobs.write(&[index(&[entry("aa", "p", 1)])], SESSION).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(world.store.names().is_empty());
}

#[test]
fn what_crashed_writers_left_is_passed_over_and_kept() {
    let (world, blobs) = world();
    begin(&world.store, 4);
    let kept = world.put_index("xn1_", "s1-c1", "aa");
    // Would be complete, but holds nothing: what it was to replace still counts.
    world.store.insert("xs1_00112233445566778899aabbccddeeff-s2-c1", b"");
    world.store.insert("xn4_00112233445566778899aabbccddeeff-s3-c1", b"");
    assert_eq!(active(&blobs), [kept]);
    let names = world.store.names();
    expect_warnings(&blobs, &["xs1_0011", "xn4_0011"]);
    assert_eq!(world.store.names(), names);
}

#[test]
fn blobs_that_become_empty_between_listing_and_reading_are_passed_over() {
    let (world, blobs) = world();
    world.put_index("xn0_", "s1-c1", "aa");
    let name = world.put_index("xn0_", "s1-c1", "bb");
    let set = blobs.active().unwrap();
    world.store.insert(&name, b"");
    let warned = std::cell::Cell::new(0);
    let loaded = blobs.load(&set, &|_| warned.set(warned.get() + 1)).unwrap();
    assert_eq!((loaded.len(), warned.get()), (1, 1));
    assert_ne!(loaded[0].0.as_str(), name);
}

#[test]
fn a_blob_replaced_meanwhile_is_looked_for_anew() {
    let (world, blobs) = world();
    begin(&world.store, 4);
    let old = world.put_index("xn1_", "s1-c1", "aa");
    let new = old.replace("xn1_", "xs1_");
    let gone = old.clone();
    world.store.set_hook(move |store, operation, name| {
        if operation == "get" && name == gone {
            let data = store.data(name);
            store.insert(&new, &data);
            store.remove(name);
        }
    });
    assert_eq!(blobs.open_all(&|_| ()).unwrap().len(), 1);
    assert!(!world.store.names().contains(&old));
}

#[test]
fn a_blob_that_stays_missing_is_an_error_after_ten_attempts() {
    let (world, blobs) = world();
    let name = world.put_index("xn0_", "s1-c1", "aa");
    let data = world.store.data(&name);
    let gets = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&gets);
    world.store.set_hook(move |store, operation, id| match operation {
        "get" => {
            count.fetch_add(1, Ordering::Relaxed);
            store.remove(id);
        }
        _ => store.insert(&name, &data),
    });
    let error = blobs.open_all(&|_| ()).unwrap_err();
    assert!(error.is_not_found() && error.class() == ErrorClass::NotFound, "{error}");
    assert_eq!(gets.load(Ordering::Relaxed), 10);
}

#[test]
fn damaged_blobs_are_named() {
    let damages: [fn(&mut Vec<u8>); 3] =
        // The nonces of this test are zeroes.
        [|data| data[20] ^= 1, |data| data.truncate(30), |data| data.truncate(14)];
    for (n, damage) in damages.into_iter().enumerate() {
        let (world, blobs) = world();
        for id in ["aa", "bb", "cc"] {
            world.put_index("xn0_", "s1-c1", id);
        }
        let name = world.put_index("xn0_", "s1-c1", "dd");
        let mut data = world.store.data(&name);
        damage(&mut data);
        world.store.insert(&name, &data);
        let error = blobs.open_all(&|_| ()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Corrupt, "damage {n}");
        assert!(error.to_string().contains(&name), "damage {n}: {error}");
    }
    let (world, blobs) = world();
    let name = world.put_sealed("xn0_", "s1-c1", b"\x02no index");
    let error = blobs.open_all(&|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { blob, .. } if blob.as_str() == name), "{error}");
}

#[test]
fn what_is_left_beside_damaged_blobs_is_read() {
    let (world, blobs) = world();
    let whole = world.put_index("xn0_", "s1-c1", "aa");
    let (broken, zeroes) = (world.put_index("xn0_", "s1-c1", "bb"), world.put_index("xn0_", "s1-c1", "cc"));
    world.store.insert(&zeroes, &[0; 100]);
    let mut data = world.store.data(&broken);
    data[20] ^= 1;
    world.store.insert(&broken, &data);
    let told = std::cell::RefCell::new(Vec::new());
    let warn = |text: &str| told.borrow_mut().push(text.to_owned());
    let opened = blobs.open_unless(&ReadSet::default(), &warn).unwrap().unwrap();
    assert_eq!(opened.index.len(), 1);
    let mut damaged: Vec<_> =
        opened.damaged.iter().map(|index| (index.blob.to_string(), index.was_whole())).collect();
    damaged.sort_by_key(|(_, was_whole)| *was_whole);
    assert_eq!(damaged, [(zeroes.clone(), false), (broken.clone(), true)]);
    assert!(blobs.open_unless(&opened.read, &warn).unwrap().is_none());
    assert!(told.borrow().len() == 2 && told.borrow().iter().all(|text| text.contains("only it names")));
    world.store.remove(&whole);
    blobs.invalidate();
    assert_eq!(blobs.open_unless(&opened.read, &warn).unwrap_err().class(), ErrorClass::Corrupt);
}

#[test]
fn many_blobs_are_loaded_in_the_order_of_the_set() {
    let (world, blobs) = world();
    for n in 0..100 {
        world.put_index("xn0_", "s1-c1", &format!("{n:04}"));
    }
    let set = blobs.active().unwrap();
    let loaded = blobs.load(&set, &|_| ()).unwrap();
    assert!(set.blobs.iter().map(|blob| &blob.id).eq(loaded.iter().map(|(id, _)| id)));
    assert_eq!(blobs.open_all(&|_| ()).unwrap().len(), 100);
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}
