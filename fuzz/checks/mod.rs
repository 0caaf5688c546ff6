//! What the fuzz targets do with their input, one file a target. `fuzz_targets/` feeds them what the fuzzer thinks of,
//! `tests/fuzz_corpus.rs` what is kept in `corpus/`.
//!
//! A check takes any bytes. It fails by a panic: because the library panicked, or because what it returned is not what
//! its documentation promises.

pub mod blobcfg;
pub mod decompress;
pub mod directory_manifest;
pub mod ecc;
pub mod format_blob;
pub mod index_v1;
pub mod index_v2;
pub mod indirect_object;
pub mod manifest;
pub mod names;
pub mod pack_recovery;
pub mod policy;
pub mod round_trip;
pub mod snapshot_manifest;
mod support;

/// A target's body.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const ALL: &[(&str, Check)] = &[
    ("blobcfg", blobcfg::check),
    ("decompress", decompress::check),
    ("directory_manifest", directory_manifest::check),
    ("ecc", ecc::check),
    ("format_blob", format_blob::check),
    ("index_v1", index_v1::check),
    ("index_v2", index_v2::check),
    ("indirect_object", indirect_object::check),
    ("manifest", manifest::check),
    ("names", names::check),
    ("pack_recovery", pack_recovery::check),
    ("policy", policy::check),
    ("round_trip", round_trip::check),
    ("snapshot_manifest", snapshot_manifest::check),
];
