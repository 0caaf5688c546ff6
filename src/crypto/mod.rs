//! Keyed hashes, authenticated encryption, key derivation and error correction, each found by the name stored in the
//! repository.
//!
//! 1. A hash covers plaintext only, before compression; the secret of the repository is its key.
//! 2. Every encrypted item is `nonce ‖ ciphertext ‖ tag`. Its key is derived from the end of a hash (the *iv*), which
//!    is also the associated data, so an item authenticates only under the name it was written for.
//! 3. Error correction goes around the encryption: encode after sealing, decode before opening.
//! 4. Nothing here does input or output; randomness is handed in.

mod aead;
mod blake2;
mod blake3;
mod blob_crypto;
mod ecc;
mod encryptor;
mod error;
mod galois;
mod hash;
mod hasher;
mod hkdf;
mod hmac;
mod password;
mod portable;

pub use aead::{aes256_gcm_open, aes256_gcm_seal};
pub use blob_crypto::BlobCrypto;
pub use ecc::Ecc;
pub use encryptor::{
    AES256_GCM, CHACHA20_POLY1305, DEFAULT_ENCRYPTION, ENCRYPTIONS, Encryptor, NONCE_LEN, OVERHEAD, TAG_LEN,
    encryptor, encryptor_portable, seal_to_vec,
};
pub use error::{Error, Result};
pub use hash::Hash;
pub use hasher::{ContentHasher, DEFAULT_HASH, HASHES, hasher};
pub use hkdf::{hkdf_sha256, hmac_sha256};
pub use password::{
    DEFAULT_KEY_DERIVATION, KEY_DERIVATIONS, PBKDF2_SHA256_600000, SCRYPT_65536_8_1, derive_key_from_password,
};
