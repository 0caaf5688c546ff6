//! Changes of a repository's format: what is written in which order, what a crash leaves, what other clients see.

mod client;
mod parameters;
mod password;
mod upgrade;

use crate::support::world;
use packhorse::base::{FixedClock, Secret, SeededEntropy};
use packhorse::blob::{Call, Fault, Faulty, Memory, Operation, Storage, StorageExt};
use packhorse::crypto::PBKDF2_SHA256_600000;
use packhorse::format::BlobConfig;
use packhorse::repo::{self, CreateOptions, FormatEditor, OpenOptions, Repository};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const PASSWORD: &str = "correct horse";

/// A new repository in memory with these settings in `kopia.blobcfg`.
fn create(retention: BlobConfig) -> (Arc<FixedClock>, Arc<dyn Storage>) {
    let clock = world::clock();
    let storage = Arc::new(Memory::new(clock.clone()));
    let key_derivation = PBKDF2_SHA256_600000.to_owned();
    let options = CreateOptions { format: world::small_format(), key_derivation, retention };
    repo::create(storage.as_ref(), &PASSWORD.into(), &options, &SeededEntropy::new(1)).unwrap();
    (clock, storage)
}

fn open(storage: &Arc<dyn Storage>, password: &str) -> Result<Repository, repo::Error> {
    let environment = world::environment(world::clock(), 5);
    Repository::open(storage.clone(), &Secret::from(password), world::alice(), environment)
}

fn edit(storage: &Arc<dyn Storage>, password: &str) -> Result<FormatEditor, repo::Error> {
    static SEED: AtomicUsize = AtomicUsize::new(100);
    let seed = SEED.fetch_add(1, Ordering::Relaxed) as u64;
    let environment = world::environment(world::clock(), seed);
    FormatEditor::open(storage.clone(), &Secret::from(password), environment, &OpenOptions::default())
}

/// `storage` until its `survived`-th change, as if the process were killed then.
fn dying(storage: &Arc<dyn Storage>, survived: usize) -> Arc<dyn Storage> {
    let changes = AtomicUsize::new(0);
    Arc::new(Faulty::new(storage.clone(), move |call: &Call| {
        let is_change = matches!(call.operation, Operation::Put | Operation::Delete);
        if is_change && changes.fetch_add(1, Ordering::Relaxed) >= survived {
            Fault::Before(packhorse::base::ErrorClass::Other)
        } else {
            Fault::None
        }
    }))
}

fn names(storage: &Arc<dyn Storage>) -> Vec<String> {
    storage.list_all("").unwrap().into_iter().map(|blob| blob.id.to_string()).collect()
}
