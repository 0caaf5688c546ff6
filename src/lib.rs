//! Packhorse: a Kopia-compatible backup engine.
//!
//! ```text
//! write  source → snapshot::upload → object (split) → content (hash → look up → compress → encrypt → pack) → blob
//!                                                    content ──entries──► index ──► blob       root ──► manifest
//! read   blob → index (find) → content (fetch, decrypt, decompress, check) → object (join) → restore → files
//! ```
//!
//! | layer | folders |
//! |---|---|
//! | L0 | [`base`] |
//! | L1 | [`blob`], [`splitter`], [`compression`], [`crypto`], [`source`] |
//! | L2 | [`mod@format`], [`cache`] |
//! | L3 | [`index`] |
//! | L4 | [`content`] |
//! | L5 | [`object`], [`manifest`] |
//! | L6 | [`repo`] |
//! | L7 | [`policy`] |
//! | L8 | [`actions`], [`snapshot`] |
//! | L9 | [`restore`], [`mount`], [`maintenance`] |
//!
//! A folder imports only what the table in `tests/architecture.rs` allows. The walk of one byte through the layers is
//! in `docs/ARCHITECTURE.md`; differences from Kopia are in `docs/compatibility.md`.

pub mod actions;
pub mod base;
pub mod blob;
pub mod cache;
pub mod compression;
pub mod content;
pub mod crypto;
pub mod format;
pub mod index;
pub mod maintenance;
pub mod manifest;
pub mod mount;
pub mod object;
pub mod policy;
pub mod repo;
pub mod restore;
pub mod snapshot;
pub mod source;
pub mod splitter;
