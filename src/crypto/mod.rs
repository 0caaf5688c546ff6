//! Keyed hashes, authenticated encryption and key derivation, each found by the name stored in the repository.

mod hash;

pub use hash::Hash;
