//! One file of a directory of very many members, without reading them all.
//!
//! Files are stored by name, so the parts of a wide directory are searched by halves. That relies on the order and on
//! the way in which members are written, which a reader must not rely on: so what is not found may be there all the
//! same, while what is found is there.

use super::{DirEntry, EntryType, Result};
use crate::object::{ObjectId, ObjectReader, Segment};

/// Between two members that are written as Kopia writes them; inside of a text the quotes would be escaped.
const BOUNDARY: &[u8] = br#"},{"name":""#;
/// Directories of fewer parts are read as fast as searched.
const PARTS_MIN: usize = 3;
/// A member that ends later than this behind its beginning is not searched for.
const MEMBER_BYTES_MAX: usize = 1 << 20;

/// The file of a name in the directory behind `id`, if it can be found like this.
///
/// # Errors
/// What reading says.
pub fn find_in_wide_directory(objects: &ObjectReader, id: ObjectId, name: &str) -> Result<Option<DirEntry>> {
    let Some(parts) = objects.segments(id)?.filter(|parts| parts.len() >= PARTS_MIN) else { return Ok(None) };
    let search = Search { objects, id, parts: &parts, name: name.as_bytes() };
    // The file is in the part before the first that begins behind it.
    let (mut low, mut high) = (0, parts.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if search.begins_behind(middle)? { high = middle } else { low = middle + 1 }
    }
    search.in_part(low.saturating_sub(1))
}

struct Search<'a> {
    objects: &'a ObjectReader,
    id: ObjectId,
    parts: &'a [Segment],
    name: &'a [u8],
}

impl Search<'_> {
    /// Whether the first member that begins in a part comes behind the one that is looked for.
    fn begins_behind(&self, part: usize) -> Result<bool> {
        let bytes = self.bytes(part)?;
        Ok(members(&bytes).next().is_some_and(|member| self.is_behind(&member)))
    }

    fn is_behind(&self, member: &DirEntry) -> bool {
        member.kind != EntryType::Directory && member.name_bytes() > self.name
    }

    fn in_part(&self, part: usize) -> Result<Option<DirEntry>> {
        let bytes = self.bytes(part)?;
        let is_it = |member: &DirEntry| member.kind == EntryType::File && member.name_bytes() == self.name;
        Ok(members(&bytes).take_while(|member| !self.is_behind(member)).find(is_it))
    }

    /// A part, and as much of the next as a member may be long that begins in it.
    fn bytes(&self, part: usize) -> Result<Vec<u8>> {
        let Some(segment) = self.parts.get(part) else { return Ok(Vec::new()) };
        let mut bytes = self.objects.read_segment(self.id, segment)?;
        if let Some(next) = self.parts.get(part + 1).filter(|_| !ends_between_members(&bytes)) {
            let more = self.objects.read_segment(self.id, next)?;
            bytes.extend_from_slice(more.get(..MEMBER_BYTES_MAX.min(more.len())).unwrap_or_default());
        }
        Ok(bytes)
    }
}

fn ends_between_members(bytes: &[u8]) -> bool {
    bytes.ends_with(b"}")
}

/// The members that begin in a piece of a directory and are whole in it.
fn members(bytes: &[u8]) -> impl Iterator<Item = DirEntry> + '_ {
    let first = bytes.windows(BOUNDARY.len()).position(|window| window == BOUNDARY);
    let mut rest = first.and_then(|at| bytes.get(at + 2..)).unwrap_or_default();
    std::iter::from_fn(move || {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<DirEntry>();
        let member = values.next()?.ok()?;
        rest = rest.get(values.byte_offset() + 1..).unwrap_or_default();
        Some(member)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::snapshot::DirectoryManifest;

    #[test]
    fn members_are_found_in_any_piece() {
        let member = |number: usize| DirEntry {
            name: format!("file }},{{\"name\":\"{number:03}"),
            kind: EntryType::File,
            size: number as u64,
            obj: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            ..DirEntry::default()
        };
        let all: Vec<_> = (0..100).map(member).collect();
        let json = DirectoryManifest::build(all.clone(), Vec::new(), Timestamp::EPOCH, "").to_bytes();
        for from in (0..json.len()).step_by(7) {
            let found: Vec<_> = members(&json[from..]).collect();
            assert_eq!(found, all[100 - found.len()..], "{from}");
            let cut: Vec<_> = members(&json[from..(from + 1000).min(json.len())]).collect();
            assert_eq!(cut, found[..cut.len()], "{from}");
        }
        assert_eq!(members(&json).count(), 99, "the first is not behind another");
    }
}
