//! Where an object is cut into contents: algorithms by stored name.
//!
//! 1. A boundary is a pure function of the bytes since the previous boundary: it does not depend on how they arrive.
//! 2. Kopia must cut at the same places, or data written by one program is stored again by the other. The constants
//!    of the rolling hashes are therefore part of the format.
//! 3. No chunk exceeds [`Splitter::max_len`]; only the last one of a stream may be shorter than
//!    [`Splitter::min_len`].

mod buzhash;
mod buzhash_table;
mod fixed;
mod gear;
mod rabin_karp;
mod registry;
mod rolling;

pub use registry::{DEFAULT, OWN_NAMES, by_name, names};

/// Finds the boundaries of a stream, chunk by chunk. Stateless: one value serves all streams and threads.
pub trait Splitter: Send + Sync + std::fmt::Debug {
    /// The stored name.
    fn name(&self) -> &'static str;

    /// Length of the shortest chunk before the end of a stream, in bytes.
    fn min_len(&self) -> usize;

    /// Length of the longest chunk, in bytes.
    fn max_len(&self) -> usize;

    /// The length of the chunk that begins `chunk`, if it ends in there.
    ///
    /// `chunk` holds all bytes since the previous boundary that are known so far; the first `scanned` of them were
    /// searched by earlier calls that found nothing. At the end of a stream the bytes without a boundary are its last
    /// chunk.
    fn boundary(&self, chunk: &[u8], scanned: usize) -> Option<usize>;
}
