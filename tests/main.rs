//! One test binary: links once, runs everything.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers fail a test as the test itself may, and say what they skip"
)]

mod actions;
mod architecture;
mod behaviour;
mod blobs;
mod buckets;
mod cache;
mod campaign;
mod checkpoints;
mod cli;
mod codecs;
mod commands;
mod compatibility;
mod crash;
mod cuts;
mod damage_matrix;
mod documents;
mod fixtures;
mod fuzz_corpus;
mod history;
mod identity;
mod interop;
mod interop_history;
mod interop_policies;
mod interruptions;
mod look;
mod metadata;
mod migrate;
mod mirror;
mod model;
mod mount;
mod nfs;
mod order;
mod pack_rounds;
mod policy_documents;
mod repair;
mod repository;
mod restore;
mod restore_interruptions;
mod roundtrip;
mod s3_faults;
mod same_ids;
mod secrets;
mod servers;
mod sources;
mod storage;
mod support;
mod sync;
mod traffic;
