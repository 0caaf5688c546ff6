//! Extended attributes: what an entry had is set, what it had not is removed.
//!
//! They come after owner and permissions and before the time: a change of owner takes away the capabilities of a file,
//! permissions and the access ACL say the same of the group, and whatever comes after the time could be missing in a file
//! that counts as complete (R2).

use super::run::Run;
use super::{Error, Result};
use crate::base::gojson;
use crate::snapshot::Supplement;
use crate::source::{XattrPlace, Xattrs};
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::path::PathBuf;

/// ACLs are permissions.
const ACLS: &[u8] = b"system.posix_acl_";
const CAPABILITIES: &[u8] = b"security.capability";

/// What is known of the attributes of an entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WantedXattrs<'a> {
    /// To be set.
    some: Option<&'a Xattrs>,
    /// Whether what is not among them is to go.
    are_all: bool,
}

impl<'a> WantedXattrs<'a> {
    /// What an entry says, if it says something.
    pub(super) fn of(supplement: Option<&'a Supplement>) -> Self {
        let all = supplement.and_then(Supplement::known_xattrs);
        let some = all.or_else(|| supplement.and_then(|supplement| supplement.xattrs.as_deref()));
        Self { some, are_all: all.is_some() }
    }
}

impl Run<'_> {
    /// Whether an attribute is one that this restore deals with.
    pub(super) fn sets_xattr(&self, name: &[u8]) -> bool {
        !(self.options.skip_permissions && name.starts_with(ACLS)
            || self.options.drop_set_id && name == CAPABILITIES)
    }

    /// Whether an attribute that the snapshot does not have may go. Labels of security modules belong to the system, and
    /// so do attributes in spaces that are not known here.
    fn removes_xattr(&self, name: &[u8]) -> bool {
        let is_known = [b"user.", b"trusted.".as_slice(), ACLS].iter().any(|space| name.starts_with(space));
        self.sets_xattr(name) && (is_known || name == CAPABILITIES)
    }

    /// Whether all is as it should be. What cannot be read is not.
    pub(super) fn has_xattrs(&self, place: &XattrPlace<'_>, wanted: WantedXattrs<'_>) -> bool {
        let Some(some) = wanted.some.filter(|_| !self.options.skip_xattrs) else { return true };
        let Ok(found) = place.read() else { return false };
        let has =
            |(name, value): (&[u8], &[u8])| !self.sets_xattr(name) || found.xattrs.get(name) == Some(value);
        some.iter().all(has) && (!wanted.are_all || self.superfluous(&found.xattrs, some).next().is_none())
    }

    fn superfluous<'x>(&'x self, found: &'x Xattrs, wanted: &'x Xattrs) -> impl Iterator<Item = &'x [u8]> {
        let names = found.iter().map(|(name, _)| name);
        names.filter(|name| wanted.get(name).is_none() && self.removes_xattr(name))
    }

    /// Sets and removes. `may_have` tells whether something may be there already, for which it is looked only then.
    ///
    /// # Errors
    /// [`Error::File`] for what is no refusal; refusals are counted.
    pub(super) fn set_xattrs(
        &self,
        place: &XattrPlace<'_>,
        wanted: WantedXattrs<'_>,
        may_have: bool,
        path: &dyn Fn() -> PathBuf,
    ) -> Result<()> {
        let Some(some) = wanted.some.filter(|_| !self.options.skip_xattrs) else { return Ok(()) };
        let found = if may_have { place.read().unwrap_or_default().xattrs } else { Xattrs::default() };
        if wanted.are_all {
            for name in self.superfluous(&found, some) {
                self.forgive_xattr(path, name, "remove", remove(place, name))?;
            }
        }
        let is_missing =
            |(name, value): &(&[u8], &[u8])| self.sets_xattr(name) && found.get(name) != Some(value);
        for (name, value) in some.iter().filter(is_missing) {
            if self.forgive_xattr(path, name, "set", set(place, name, value))? {
                self.count(|stats| stats.xattrs += 1);
            }
        }
        Ok(())
    }

    /// Counts what was refused, or what this file system has no room for; tells whether the change was made.
    fn forgive_xattr(
        &self,
        path: &dyn Fn() -> PathBuf,
        name: &[u8],
        operation: &'static str,
        result: Result<(), Errno>,
    ) -> Result<bool> {
        let Err(errno) = result else { return Ok(true) };
        let is_refusal = matches!(errno, Errno::PERM | Errno::ACCESS);
        let is_limit =
            matches!(errno, Errno::NOTSUP | Errno::TOOBIG | Errno::NOSPC | Errno::RANGE | Errno::INVAL);
        if !(is_limit || is_refusal && self.options.ignore_permission_errors) {
            let xattr = gojson::lossy(name).into_owned();
            return Err(Error::Xattr { operation, xattr, path: path(), source: errno.into() });
        }
        let is_first = self.count(|stats| {
            stats.ignored_xattr_errors += 1;
            stats.ignored_xattr_errors == 1
        });
        if is_first {
            let name = gojson::lossy(name);
            let path = path();
            self.monitor.warn(&format!(
                "cannot {operation} the extended attribute {name:?} of {}: {errno}; others like it are only counted",
                path.display()
            ));
        }
        Ok(false)
    }
}

fn set(place: &XattrPlace<'_>, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    let flags = XattrFlags::empty();
    match place {
        XattrPlace::Open(file) => rustix::fs::fsetxattr(file, name, value, flags),
        XattrPlace::Path(path) => rustix::fs::lsetxattr(path, name, value, flags),
        XattrPlace::Handle(path) => rustix::fs::setxattr(path, name, value, flags),
    }
}

fn remove(place: &XattrPlace<'_>, name: &[u8]) -> Result<(), Errno> {
    let removed = match place {
        XattrPlace::Open(file) => rustix::fs::fremovexattr(file, name),
        XattrPlace::Path(path) => rustix::fs::lremovexattr(path, name),
        XattrPlace::Handle(path) => rustix::fs::removexattr(path, name),
    };
    match removed {
        Err(Errno::NODATA) => Ok(()),
        removed => removed,
    }
}
