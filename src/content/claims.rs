//! Which contents this session has written or is writing.

use crate::format::ContentId;
use hashbrown::HashSet;
use parking_lot::Mutex;

const SHARDS: usize = 16;

/// A set of content ids split by hash so that workers seldom meet at a lock.
#[derive(Debug)]
pub(super) struct Claims {
    shards: [Mutex<HashSet<ContentId>>; SHARDS],
}

impl Claims {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(HashSet::new())) }
    }

    /// Claims `id` for the caller unless it is claimed or `exists` says that it is stored; at most one caller ever gets
    /// `true` for an id.
    pub(super) fn claim(&self, id: ContentId, exists: impl FnOnce() -> bool) -> bool {
        let mut shard = self.shard(&id).lock();
        if shard.contains(&id) || exists() {
            return false;
        }
        shard.insert(id)
    }

    /// Notes contents that are stored although no index blob names them yet.
    pub(super) fn adopt(&self, id: ContentId) -> bool {
        self.shard(&id).lock().insert(id)
    }

    /// Forgets contents that are found without their claim. Who looked for one before it could be found, and claims it
    /// afterwards, stores it a second time, which is a waste and no harm.
    pub(super) fn forget(&self, is_found: impl Fn(&ContentId) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|id| !is_found(id));
            shard.shrink_to_fit();
        }
    }

    fn shard(&self, id: &ContentId) -> &Mutex<HashSet<ContentId>> {
        &self.shards[usize::from(id.hash().as_bytes()[0]) % SHARDS]
    }
}
