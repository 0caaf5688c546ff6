//! Directories that call themselves a cache (<https://bford.info/cachedir/>).

use super::file::find;
use crate::source::{Directory, EntryKind, Listed};
use std::io::Read;

const TAG_NAME: &[u8] = b"CACHEDIR.TAG";
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Whether a directory holds a valid cache tag; it is then stored empty, unless its policy says otherwise. `listed` is
/// its listing. A tag that cannot be read counts as none.
pub fn is_cache_directory(directory: &Directory, listed: &[Listed]) -> bool {
    let Some(tag) = find(listed, TAG_NAME).and_then(Listed::entry) else { return false };
    if tag.kind != EntryKind::File || tag.size < SIGNATURE.len() as u64 {
        return false;
    }
    let mut start = [0; SIGNATURE.len()];
    let read = directory.open_file(TAG_NAME).map(|mut file| file.read_exact(&mut start));
    matches!(read, Ok(Ok(()))) && start == SIGNATURE
}
