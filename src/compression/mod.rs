//! Compression of contents: algorithms by the id stored in front of each compressed content.
//!
//! 1. A compressed content is `u32be(id) ‖ stream`; a content of id 0 is stored as it is, without a header. The id in
//!    the index decides, and the header must repeat it.
//! 2. A content is named by the hash of its plaintext, so the streams need not be Kopia's byte for byte; it must only
//!    be able to read them.
//! 3. Streams are untrusted: no more than the expected length is ever produced, and damage is an error.

mod crc32c;
mod deflate;
mod error;
mod framed;
mod gzip_header;
mod header_id;
mod incompressible;
mod lz4;
mod registry;
mod s2;
mod s2_block;
mod zstd;

pub use error::{Error, Result};
pub use framed::{compress_framed, decompress_framed};
pub use header_id::HeaderId;
pub use registry::{all, by_id, by_name};

/// One stored stream format with one setting of its encoder.
pub trait Compressor: Send + Sync + std::fmt::Debug {
    /// The stored id.
    fn id(&self) -> HeaderId;

    /// The name used in policies.
    fn name(&self) -> &'static str;

    /// Whether new policies should not use it.
    fn is_deprecated(&self) -> bool;

    /// Appends the stream of `input` to `out`.
    ///
    /// # Errors
    /// [`Error::NotWritable`] for a format that is only read; [`Error::Encoder`] when memory runs out.
    fn compress(&self, input: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// Appends what the stream `input` holds to `out`, which is left as it was on failure.
    ///
    /// # Errors
    /// [`Error::TooLong`] when it holds more than `max_len` bytes; [`Error::Truncated`] and [`Error::Corrupt`] when it
    /// is damaged.
    fn decompress(&self, input: &[u8], out: &mut Vec<u8>, max_len: usize) -> Result<()>;
}
