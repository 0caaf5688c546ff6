//! Holes: where a file has no blocks, and reads as zeros.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;

/// A range without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// First byte.
    pub offset: u64,
    /// Bytes, never none.
    pub length: u64,
}

/// Where a sparse file has holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holes {
    /// There, one behind the other, with data between any two.
    At(Box<[Hole]>),
    /// In more places than are worth a list: wherever there are zeros.
    Scattered,
}

impl Holes {
    /// Most ranges that are listed.
    pub const LISTED_MAX: usize = 256;

    /// A list; `None` if it is no such list, or none at all.
    pub fn listed(holes: Vec<Hole>) -> Option<Self> {
        let mut end = None;
        for hole in &holes {
            let is_behind = end.is_none_or(|end| hole.offset > end);
            end = hole.offset.checked_add(hole.length);
            if hole.length == 0 || end.is_none() || !is_behind {
                return None;
            }
        }
        (1..=Self::LISTED_MAX).contains(&holes.len()).then(|| Self::At(holes.into()))
    }
}

/// The holes of an open file, whose position is at the beginning before and after; `None` if it has none, or if that
/// cannot be told here.
///
/// # Errors
/// What the system says.
pub fn find_holes(file: &File, size: u64) -> std::io::Result<Option<Holes>> {
    let found = list(file, size);
    rustix::fs::seek(file, SeekFrom::Start(0))?;
    match found {
        // Some devices and file systems do not know the question.
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(None),
        found => Ok(found?),
    }
}

fn list(file: &File, size: u64) -> Result<Option<Holes>, Errno> {
    let mut holes = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match rustix::fs::seek(file, SeekFrom::Hole(at)) {
            Ok(offset) if offset < size => offset,
            // Behind the end of a file that was cut off meanwhile.
            Ok(_) | Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno),
        };
        if holes.len() == Holes::LISTED_MAX {
            return Ok(Some(Holes::Scattered));
        }
        let end = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(end) => end.min(size),
            Err(Errno::NXIO) => size,
            Err(errno) => return Err(errno),
        };
        if end > offset {
            holes.push(Hole { offset, length: end - offset });
        }
        // One byte further if both have changed places meanwhile.
        at = end.max(offset + 1);
    }
    Ok(Holes::listed(holes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_where_nothing_was_written() {
        let mut file = tempfile::tempfile().unwrap();
        let block = 1 << 16;
        file.set_len(5 * block).unwrap();
        for at in [1, 3] {
            file.write_all_at(&vec![7; 1 << 16], at * block).unwrap();
        }
        let expected = [0, 2, 4].map(|at| Hole { offset: at * block, length: block });
        assert_eq!(find_holes(&file, 5 * block).unwrap(), Some(Holes::At(expected.into())));
        assert_eq!(find_holes(&file, block).unwrap(), Some(Holes::At(expected[..1].into())));
        assert_eq!(file.stream_position().unwrap(), 0);
        file.write_all_at(&vec![7; 5 << 16], 0).unwrap();
        assert_eq!(find_holes(&file, 5 * block).unwrap(), None);
        file.set_len(0).unwrap();
        assert_eq!(find_holes(&file, 5 * block).unwrap(), None);
        for at in 0..=Holes::LISTED_MAX as u64 {
            file.write_all_at(&[7], (2 * at + 1) * block).unwrap();
        }
        assert_eq!(find_holes(&file, u64::MAX).unwrap(), Some(Holes::Scattered));
    }

    #[test]
    fn ranges_are_in_order_and_apart() {
        let listed = |ranges: &[(u64, u64)]| {
            Holes::listed(ranges.iter().map(|&(offset, length)| Hole { offset, length }).collect())
        };
        assert!(listed(&[(0, 4096), (8192, 1), (9000, u64::MAX - 9000)]).is_some());
        for bad in [&[][..], &[(0, 0)], &[(0, 2), (2, 2)], &[(4, 2), (0, 2)], &[(1, u64::MAX)]] {
            assert!(listed(bad).is_none(), "{bad:?}");
        }
        assert!(listed(&vec![(0, 1); Holes::LISTED_MAX + 1]).is_none());
    }
}
