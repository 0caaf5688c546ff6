//! Files with holes: which ranges of what is written may stay holes where all bytes are zero.

use super::RestoreOptions;
use super::new_file::NewFile;
use crate::snapshot::DirEntry;
use crate::source::Holes;
use rustix::io::Errno;

/// Where zeros become holes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sparse<'a> {
    /// Nowhere.
    No,
    /// In these ranges.
    At(&'a Holes),
    /// Everywhere.
    Everywhere,
}

impl<'a> Sparse<'a> {
    /// What an entry says, or the options.
    pub(super) fn of(entry: &'a DirEntry, options: &RestoreOptions) -> Self {
        match entry.supplement.as_deref().and_then(|supplement| supplement.holes.as_deref()) {
            _ if options.write_sparse_files => Self::Everywhere,
            Some(Holes::Scattered) => Self::Everywhere,
            Some(holes) => Self::At(holes),
            None => Self::No,
        }
    }

    /// Whether there can be a hole at the end, where nothing is written.
    pub(super) fn is_possible(self) -> bool {
        !matches!(self, Self::No)
    }

    /// Writes `data` at `offset`, but for zeros where holes may be.
    pub(super) fn write(self, file: &NewFile, data: &[u8], offset: u64) -> Result<(), Errno> {
        let holes = match self {
            Self::No => return file.write(data, offset, false),
            Self::Everywhere | Self::At(Holes::Scattered) => return file.write(data, offset, true),
            Self::At(Holes::At(holes)) => holes,
        };
        let end = offset.saturating_add(data.len() as u64);
        let piece = |from: u64, to: u64| {
            let at = |position: u64| usize::try_from(position - offset).unwrap_or(data.len());
            data.get(at(from)..at(to)).unwrap_or_default()
        };
        let mut at = offset;
        let first = holes.partition_point(|hole| hole.offset.saturating_add(hole.length) <= offset);
        for hole in holes.iter().skip(first).take_while(|hole| hole.offset < end) {
            let (from, to) = (hole.offset.max(at), hole.offset.saturating_add(hole.length).min(end));
            file.write(piece(at, from), at, false)?;
            file.write(piece(from, to), from, true)?;
            at = to;
        }
        file.write(piece(at, end), at, false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::new_file::TemporaryNames;
    use super::super::target::TargetDirectory;
    use super::*;
    use crate::source::{Hole, find_holes};
    use std::fs::File;

    const BLOCK: u64 = 1 << 16;

    #[test]
    fn recorded_holes_are_kept_only_where_there_are_zeros() {
        let temp = tempfile::tempdir().unwrap();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        let length = 8 * BLOCK as usize;
        let mut data = vec![0; length];
        data[BLOCK as usize..2 * BLOCK as usize].fill(1);
        // Written into what was a hole when it was looked for.
        data[5 * BLOCK as usize..6 * BLOCK as usize].fill(2);
        let hole = |offset, length| Hole { offset: offset * BLOCK, length: length * BLOCK };
        let recorded = Holes::listed(vec![hole(0, 1), hole(4, 3)]).unwrap();
        for cut in [length, 100_003, 4096] {
            let file = NewFile::create(&root, &TemporaryNames::new([7; 8])).unwrap();
            for (number, piece) in data.chunks(cut).enumerate() {
                Sparse::At(&recorded).write(&file, piece, (number * cut) as u64).unwrap();
            }
            file.set_length(length as u64).unwrap();
            file.keep("f", true).unwrap();
            assert_eq!(std::fs::read(temp.path().join("f")).unwrap(), data);
            let found = find_holes(&File::open(temp.path().join("f")).unwrap(), length as u64).unwrap();
            let expected = Holes::listed(vec![hole(0, 1), hole(4, 1), hole(6, 1)]).unwrap();
            assert_eq!(found, Some(expected), "zeros elsewhere are data: {cut}");
        }
    }
}
