//! What writes an archive, entry by entry.

use super::member::Member;
use crate::source::SpecialKind;
use std::io;

/// An archive being written. Data belongs to the file begun last.
pub(super) trait Sink {
    /// Whether it has hard links and special files.
    fn is_complete(&self) -> bool;
    fn directory(&mut self, member: &Member) -> io::Result<()>;
    fn symlink(&mut self, member: &Member, target: &[u8]) -> io::Result<()>;
    /// Begins a file of `length` bytes.
    fn begin_file(&mut self, member: &Member, length: u64) -> io::Result<()>;
    fn data(&mut self, data: &[u8]) -> io::Result<()>;
    fn end_file(&mut self) -> io::Result<()>;
    /// Another name of the file `first`.
    fn hard_link(&mut self, member: &Member, first: &[u8]) -> io::Result<()>;
    fn special(&mut self, member: &Member, kind: SpecialKind) -> io::Result<()>;
    /// Writes what comes at the end, and all that is buffered.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
