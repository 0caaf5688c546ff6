//! Directories that call themselves a cache (<https://bford.info/cachedir/>).

use crate::source::{Directory, EntryKind, Names};
use std::io::Read;

const TAG_NAME: &[u8] = b"CACHEDIR.TAG";
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Whether a directory holds a valid cache tag; it is then stored empty, unless its policy says otherwise. `names`
/// are its names. A tag that cannot be read counts as none.
pub fn is_cache_directory(directory: &Directory, names: &Names) -> bool {
    if !names.contains(TAG_NAME) {
        return false;
    }
    let Ok(tag) = directory.stat(TAG_NAME) else { return false };
    if tag.kind != EntryKind::File || tag.size < SIGNATURE.len() as u64 {
        return false;
    }
    let mut start = [0; SIGNATURE.len()];
    let read = directory.open_file(TAG_NAME).map(|mut file| file.read_exact(&mut start));
    matches!(read, Ok(Ok(()))) && start == SIGNATURE
}
