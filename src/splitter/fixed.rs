//! Chunks of one size.

use super::Splitter;

/// Cuts every `len` bytes.
#[derive(Debug)]
pub(super) struct Fixed {
    name: &'static str,
    len: usize,
}

impl Fixed {
    /// Chunks of `len` bytes.
    pub(super) const fn new(name: &'static str, len: usize) -> Self {
        Self { name, len }
    }
}

impl Splitter for Fixed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn min_len(&self) -> usize {
        self.len
    }

    fn max_len(&self) -> usize {
        self.len
    }

    fn boundary(&self, chunk: &[u8], _scanned: usize) -> Option<usize> {
        (chunk.len() >= self.len).then_some(self.len)
    }
}
