//! Threads that store finished packs while hashing goes on.
//!
//! The channel to them holds no pack: a producer hands one over only to a free thread, and opens no other before that,
//! so the packs in memory are one of each kind being filled and one for each thread.

use super::pack::{FinishedPack, PackedContent};
use crate::base::ErrorClass;
use crate::blob::{self, BlobId, Durability, PutOptions, Storage};
use bytes::{Bytes, BytesMut};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Contents of packs that are stored and wait for an index blob.
pub(super) type StoredPack = (BlobId, Vec<PackedContent>);

#[derive(Debug, Default)]
struct Progress {
    next_ticket: u64,
    outstanding: BTreeSet<u64>,
    stored: Vec<StoredPack>,
    stored_bytes: u64,
    buffers: Vec<Vec<u8>>,
    failed: Option<(BlobId, blob::Error)>,
    failed_class: Option<ErrorClass>,
}

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    progress: Mutex<Progress>,
    changed: Condvar,
    buffers_kept: usize,
}

/// Stores packs in the background.
#[derive(Debug)]
pub(super) struct Uploads {
    shared: Arc<Shared>,
    sender: Option<Sender<(u64, FinishedPack)>>,
    threads: Vec<JoinHandle<()>>,
}

impl Uploads {
    /// Starts `threads` threads.
    pub(super) fn start(storage: Arc<dyn Storage>, threads: usize) -> Self {
        let shared = Arc::new(Shared {
            storage,
            progress: Mutex::new(Progress::default()),
            changed: Condvar::new(),
            buffers_kept: threads + 2,
        });
        let (sender, receiver) = bounded::<(u64, FinishedPack)>(0);
        let spawn = |number| {
            let (shared, receiver) = (Arc::clone(&shared), receiver.clone());
            std::thread::Builder::new()
                .name(format!("pack-upload-{number}"))
                .spawn(move || run(&shared, &receiver))
                .expect("the system can start a thread")
        };
        let threads = (0..threads.max(1)).map(spawn).collect();
        Self { shared, sender: Some(sender), threads }
    }

    /// Hands over a pack; waits until a thread is free.
    pub(super) fn submit(&self, pack: FinishedPack) {
        let ticket = {
            let mut progress = self.shared.progress.lock();
            let ticket = progress.next_ticket;
            progress.next_ticket += 1;
            progress.outstanding.insert(ticket);
            ticket
        };
        let sender = self.sender.as_ref().expect("only drop takes the sender");
        sender.send((ticket, pack)).expect("upload threads live as long as the sender");
    }

    /// Waits until every pack submitted so far is stored or has failed.
    pub(super) fn wait(&self) {
        let mut progress = self.shared.progress.lock();
        let until = progress.next_ticket;
        while progress.outstanding.first().is_some_and(|&ticket| ticket < until) {
            self.shared.changed.wait(&mut progress);
        }
    }

    /// Takes the first failure, which is told once.
    pub(super) fn take_failure(&self) -> Option<(BlobId, blob::Error)> {
        self.shared.progress.lock().failed.take()
    }

    /// What the first failure was, however often it is asked.
    pub(super) fn failed_class(&self) -> Option<ErrorClass> {
        self.shared.progress.lock().failed_class
    }

    /// Takes what is stored and not yet in an index.
    pub(super) fn take_stored(&self) -> Vec<StoredPack> {
        std::mem::take(&mut self.shared.progress.lock().stored)
    }

    /// Adds a pack that was stored by an earlier, broken run.
    pub(super) fn adopt(&self, pack: StoredPack) {
        self.shared.progress.lock().stored.push(pack);
    }

    /// Bytes of packs stored by this writer.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.shared.progress.lock().stored_bytes
    }

    /// A buffer that has been a pack before, or a new one.
    pub(super) fn buffer(&self, capacity: usize) -> Vec<u8> {
        let used = self.shared.progress.lock().buffers.pop();
        used.unwrap_or_else(|| Vec::with_capacity(capacity))
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // A panic there has been reported by the runtime; here nothing is left to do.
            thread.join().ok();
        }
    }
}

fn run(shared: &Shared, receiver: &Receiver<(u64, FinishedPack)>) {
    let options = PutOptions { durability: Durability::AtBarrier, ..PutOptions::default() };
    while let Ok((ticket, pack)) = receiver.recv() {
        let bytes = Bytes::from(pack.bytes);
        let length = bytes.len() as u64;
        let result = shared.storage.put(&pack.id, bytes.clone(), options);
        // A connection that broke may hold the bytes for a little longer; then the next pack gets a new buffer.
        let spare = bytes.try_into_mut().ok().map(emptied);
        let mut progress = shared.progress.lock();
        match result {
            Ok(()) => {
                progress.stored_bytes += length;
                progress.stored.push((pack.id, pack.contents));
            }
            Err(error) => {
                progress.failed_class.get_or_insert(error.class());
                progress.failed.get_or_insert((pack.id, error));
            }
        }
        if progress.buffers.len() < shared.buffers_kept {
            progress.buffers.extend(spare);
        }
        progress.outstanding.remove(&ticket);
        drop(progress);
        shared.changed.notify_all();
    }
}

/// The buffer without what is in it; emptied before it changes its type, so that nothing is moved.
fn emptied(mut bytes: BytesMut) -> Vec<u8> {
    bytes.clear();
    Vec::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_all_its_room() {
        let mut buffer = Vec::with_capacity(1 << 20);
        buffer.extend_from_slice(&[7; 1000]);
        let place = buffer.as_ptr();
        let bytes = Bytes::from(buffer);
        let held = bytes.clone();
        assert!(held.clone().try_into_mut().is_err(), "while somebody else holds it");
        drop(held);
        let back = emptied(bytes.try_into_mut().unwrap());
        assert_eq!((back.len(), back.as_ptr()), (0, place));
        assert!(back.capacity() >= 1 << 20, "{}", back.capacity());
    }
}
