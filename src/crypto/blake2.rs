//! `BLAKE2b` and BLAKE2s, keyed; several inputs go through the lanes of one vector register together.

use super::hasher::truncated;
use super::{ContentHasher, Error, Hash, Result};
use std::sync::Arc;

/// Digest length that enters the parameter block, even where the hash is cut shorter afterwards.
const BLAKE2B_DIGEST_LEN: usize = 32;

/// `BLAKE2b` with a 32-byte digest cut to `len`; an absent secret makes it unkeyed.
pub(super) fn blake2b(name: &'static str, secret: &[u8], len: usize) -> Result<Arc<dyn ContentHasher>> {
    if secret.len() > blake2b_simd::KEYBYTES {
        return Err(Error::InvalidKey { algorithm: name, len: secret.len() });
    }
    let mut params = blake2b_simd::Params::new();
    params.hash_length(BLAKE2B_DIGEST_LEN).key(secret);
    Ok(Arc::new(Blake2b { name, len, params }))
}

/// BLAKE2s with a native digest of `len` bytes; the 16-byte one refuses to run unkeyed.
pub(super) fn blake2s(name: &'static str, secret: &[u8], len: usize) -> Result<Arc<dyn ContentHasher>> {
    if secret.len() > blake2s_simd::KEYBYTES || (secret.is_empty() && len < 32) {
        return Err(Error::InvalidKey { algorithm: name, len: secret.len() });
    }
    let mut params = blake2s_simd::Params::new();
    params.hash_length(len).key(secret);
    Ok(Arc::new(Blake2s { name, len, params }))
}

struct Blake2b {
    name: &'static str,
    len: usize,
    params: blake2b_simd::Params,
}

impl ContentHasher for Blake2b {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash_len(&self) -> usize {
        self.len
    }

    fn hash(&self, data: &[u8]) -> Hash {
        truncated(self.params.hash(data).as_bytes(), self.len)
    }

    fn hash_many(&self, inputs: &[&[u8]], out: &mut Vec<Hash>) {
        use blake2b_simd::many::{HashManyJob, hash_many};
        let mut jobs: Vec<_> = inputs.iter().map(|input| HashManyJob::new(&self.params, input)).collect();
        hash_many(longest_first(&mut jobs, inputs));
        out.extend(jobs.iter().map(|job| truncated(job.to_hash().as_bytes(), self.len)));
    }
}

struct Blake2s {
    name: &'static str,
    len: usize,
    params: blake2s_simd::Params,
}

impl ContentHasher for Blake2s {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash_len(&self) -> usize {
        self.len
    }

    fn hash(&self, data: &[u8]) -> Hash {
        truncated(self.params.hash(data).as_bytes(), self.len)
    }

    fn hash_many(&self, inputs: &[&[u8]], out: &mut Vec<Hash>) {
        use blake2s_simd::many::{HashManyJob, hash_many};
        let mut jobs: Vec<_> = inputs.iter().map(|input| HashManyJob::new(&self.params, input)).collect();
        hash_many(longest_first(&mut jobs, inputs));
        out.extend(jobs.iter().map(|job| truncated(job.to_hash().as_bytes(), self.len)));
    }
}

/// The jobs, longest input first: a long one that starts last would run alone in its lane.
fn longest_first<'a, J>(jobs: &'a mut [J], inputs: &[&[u8]]) -> Vec<&'a mut J> {
    let mut pairs: Vec<_> = jobs.iter_mut().zip(inputs.iter().map(|input| input.len())).collect();
    pairs.sort_by_key(|&(_, len)| std::cmp::Reverse(len));
    pairs.into_iter().map(|(job, _)| job).collect()
}

// The parameters hold the key, so `Debug` is written by hand.
impl std::fmt::Debug for Blake2b {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for Blake2s {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
