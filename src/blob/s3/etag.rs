//! Entity tags, which are MD5 sums of the bytes in most stores, and not in all.

use crate::blob::BlobId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Compares what arrived with the entity tag, as long as tags of this store look like MD5 sums.
///
/// A blob that arrives twice with the same bytes, which its tag does not fit, shows that tags are something else here:
/// damage on the way is never the same twice. (What is damaged in the store itself, upper layers notice: contents are
/// authenticated.)
#[derive(Debug, Default)]
pub(super) struct TagCheck {
    means_nothing: AtomicBool,
    last_misfit: Mutex<Option<(BlobId, [u8; 16])>>,
}

impl TagCheck {
    /// Whether `data` may be what the store has under `tag`.
    pub(super) fn fits(&self, id: &BlobId, tag: &str, data: &[u8]) -> bool {
        let Some(wanted) = md5_of_tag(tag) else { return true };
        if self.means_nothing.load(Ordering::Relaxed) {
            return true;
        }
        let found: [u8; 16] = Md5::digest(data).into();
        if found == wanted {
            return true;
        }
        let misfit = Some((id.clone(), found));
        let mut last = self.last_misfit.lock();
        let again = *last == misfit;
        *last = misfit;
        if again {
            self.means_nothing.store(true, Ordering::Relaxed);
        }
        again
    }
}

/// The MD5 that a tag may be.
fn md5_of_tag(tag: &str) -> Option<[u8; 16]> {
    let mut sum = [0; 16];
    hex::decode_to_slice(tag.trim_matches('"'), &mut sum).ok()?;
    Some(sum)
}

/// The value of `Content-MD5`.
pub(super) fn base64_md5(data: &[u8]) -> String {
    STANDARD.encode(Md5::digest(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_count_until_they_prove_to_be_something_else() {
        let check = TagCheck::default();
        let id = BlobId::from("p1");
        let tag = "\"900150983cd24fb0d6963f7d28e17f72\"";
        assert!(check.fits(&id, tag, b"abc"));
        assert!(check.fits(&id, "\"900150983cd24fb0d6963f7d28e17f72-2\"", b"parts"), "of several parts");
        assert!(!check.fits(&id, tag, b"abd"));
        assert!(!check.fits(&id, tag, b"abe"), "damaged otherwise");
        assert!(!check.fits(&"p2".into(), tag, b"abe"), "another blob");
        assert!(check.fits(&"p2".into(), tag, b"abe"), "the same again");
        assert!(check.fits(&id, tag, b"anything"));
    }

    #[test]
    fn md5_is_what_the_header_wants() {
        assert_eq!(base64_md5(b"abc"), "kAFQmDzST7DWlj99KOF/cg==");
    }
}
