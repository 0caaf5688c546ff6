//! `kopia.repository`: the outer document, the inner one behind the encryption, and copies of it in packs.

use super::support::{UNIQUE_ID, clock, entropy, key};
use packhorse::base::{Clock, Secret};
use packhorse::crypto;
use packhorse::format::{self, FormatBlob, RepositoryFormat, RequiredFeature};

pub fn check(data: &[u8]) {
    outer(data);
    inner(data);
    recovery(data);
}

fn outer(data: &[u8]) {
    let Ok(blob) = FormatBlob::parse(data) else { return };
    assert_eq!(FormatBlob::parse(&blob.to_bytes()).expect("what was written is read"), blob);
    // Nobody guesses 16 bytes of a tag.
    assert!(blob.decrypt(&key()).is_err());
    format::diagnose(&blob, Some(data), &key());
    // Known derivations take a second; unknown ones must be an error.
    if !crypto::KEY_DERIVATIONS.contains(&blob.key_algorithm.as_str()) {
        assert!(blob.derive_key(&Secret::from("x")).is_err());
    }
}

/// The input as the plaintext of the inner document.
fn inner(data: &[u8]) {
    let sealed = format::seal(&entropy(), &key(), &UNIQUE_ID, "test", data).expect("sealing works");
    let mut blob = FormatBlob {
        unique_id: UNIQUE_ID.to_vec(),
        encryption: "AES256_GCM".to_owned(),
        encrypted_format: sealed,
        ..FormatBlob::default()
    };
    let Ok(mut format) = blob.decrypt(&key()) else { return };
    blob.encrypt(&entropy(), &format, &key()).expect("what was read is written");
    assert_eq!(blob.decrypt(&key()).expect("what was written is read"), format);
    use_format(&format);
    if format.validate_for_open().is_ok() {
        assert!((1..=2).contains(&format.index_version) && format.max_pack_size > 0);
        let again = format.clone();
        format.validate_for_open().expect("what was filled in stays valid");
        assert_eq!(format, again);
    }
}

/// What opening a repository does with its format.
fn use_format(format: &RepositoryFormat) {
    let understood = |feature: &RequiredFeature| matches!(&*feature.feature, "index-v1" | "index-v2");
    let ignorable = |feature: &RequiredFeature| understood(feature) || feature.if_not_understood.warn;
    match format.check_features() {
        Ok(warnings) => assert!(warnings.len() <= format.required_features.len()),
        Err(_) => assert!(!format.required_features.iter().all(ignorable)),
    }
    format.check_upgrade_lock(clock().now(), "").ok();
    if let Some(lock) = &format.upgrade_lock {
        let status = lock.status(clock().now());
        assert_eq!(lock.check(clock().now(), "").is_err(), status.locked);
        lock.validate().ok();
    }
    format.validate_for_write().ok();
    format.maintenance_key(&key(), &UNIQUE_ID);
    format.cache_key(&key(), &UNIQUE_ID);
    crypto::hasher(&format.hash, format.secret.expose()).ok();
    crypto::encryptor(&format.encryption, format.master_key.expose()).ok();
    crypto::Ecc::new(&format.ecc, u32::from(format.ecc_overhead_percent)).ok();
    packhorse::splitter::by_name(&format.splitter);
}

fn recovery(data: &[u8]) {
    for found in [format::recovery_from_start(data), format::recovery_from_end(data)].into_iter().flatten() {
        assert!(found.len() < data.len());
        assert!(format::recovery_block(found).is_ok());
    }
    if let Ok(block) = format::recovery_block(data) {
        assert_eq!(format::recovery_from_start(&[&block, data].concat()), Some(data));
        assert_eq!(format::recovery_from_end(&[data, &block].concat()), Some(data));
    }
}
