//! A small cache of pack regions, so that neighbouring small contents cost one read.

use crate::blob::{self, BlobId, ByteRange, Storage};
use parking_lot::Mutex;
use std::sync::Arc;

/// One region; a directory tree's manifests lie side by side in `q` packs, small files in `p` packs.
const BLOCK_BYTES: u64 = 512 * 1024;
/// 8 MiB at most in all.
const BLOCKS: usize = 16;

#[derive(Debug)]
struct Block {
    pack: BlobId,
    number: u64,
    bytes: Arc<Vec<u8>>,
}

/// The regions read last, newest at the end.
#[derive(Debug)]
pub(super) struct BlockCache {
    blocks: Mutex<Vec<Block>>,
}

impl BlockCache {
    pub(super) fn new() -> Self {
        Self { blocks: Mutex::new(Vec::with_capacity(BLOCKS)) }
    }

    /// Reads `range` of `pack`, from memory where it can.
    pub(super) fn read(
        &self,
        storage: &dyn Storage,
        pack: &BlobId,
        range: ByteRange,
    ) -> blob::Result<Vec<u8>> {
        let first = range.offset / BLOCK_BYTES;
        let last = (range.offset + range.length).saturating_sub(1) / BLOCK_BYTES;
        let mut out = Vec::with_capacity(range.length as usize);
        for number in first..=last {
            let start = number * BLOCK_BYTES;
            let block = self.block(storage, pack, number)?;
            let from = range.offset.saturating_sub(start) as usize;
            let to = (range.offset + range.length - start).min(BLOCK_BYTES) as usize;
            let Some(bytes) = block.get(from..to) else {
                return Err(blob::Error::InvalidRange { id: pack.clone(), range });
            };
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    fn block(&self, storage: &dyn Storage, pack: &BlobId, number: u64) -> blob::Result<Arc<Vec<u8>>> {
        if let Some(bytes) = self.find(pack, number) {
            return Ok(bytes);
        }
        // Read without the lock: two threads may read one block twice, none waits for the other's I/O.
        // The last block of a pack is shorter, and how long a pack is nobody has recorded.
        let range = ByteRange { offset: number * BLOCK_BYTES, length: BLOCK_BYTES };
        let bytes = Arc::new(storage.get_within(pack, range)?);
        let mut blocks = self.blocks.lock();
        if blocks.len() >= BLOCKS {
            blocks.remove(0);
        }
        blocks.push(Block { pack: pack.clone(), number, bytes: Arc::clone(&bytes) });
        Ok(bytes)
    }

    fn find(&self, pack: &BlobId, number: u64) -> Option<Arc<Vec<u8>>> {
        let mut blocks = self.blocks.lock();
        let at = blocks.iter().rposition(|block| block.number == number && block.pack == *pack)?;
        if at + 1 < blocks.len() {
            let block = blocks.remove(at);
            blocks.push(block);
        }
        blocks.last().map(|block| Arc::clone(&block.bytes))
    }
}
