//! Keys, clocks and stores of the checks. Everything is fixed, so that an input does the same wherever it is run.

use packhorse::base::{FixedClock, Secret, SeededEntropy, Timestamp};
use packhorse::content::ContentFormat;
use packhorse::crypto::{self, BlobCrypto};
use std::sync::Arc;

/// Salt of every derivation.
pub(super) const UNIQUE_ID: [u8; 32] = [7; 32];

/// The key of the format blob.
pub(super) fn key() -> Secret {
    Secret::new(vec![5; 32])
}

/// Randomness that is not.
pub(super) fn entropy() -> SeededEntropy {
    SeededEntropy::new(1)
}

/// A clock that stands.
pub(super) fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(Timestamp::from_seconds(1_790_000_000, 0)))
}

/// A modern repository without error correction.
pub(super) fn content_format() -> ContentFormat {
    let hasher = crypto::hasher(crypto::DEFAULT_HASH, &[1; 32]).expect("the default is known");
    let encryptor = crypto::encryptor(crypto::DEFAULT_ENCRYPTION, &[2; 32]).expect("the default is known");
    ContentFormat {
        crypto: BlobCrypto::new(hasher, encryptor, None),
        max_pack_bytes: 64 << 10,
        index_version: 2,
        format_version: 3,
        recovery_block: None,
        maintenance_key: Secret::new(vec![3; 32]),
    }
}

/// Splits parameters off the front of the input, zeros where it is too short.
pub(super) fn parameters<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let (head, rest) = data.split_at(data.len().min(N));
    let mut parameters = [0; N];
    parameters[..head.len()].copy_from_slice(head);
    (parameters, rest)
}
