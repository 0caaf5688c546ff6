//! Owner, permissions, extended attributes and times, in this order: a change of owner clears the setuid bit, and the
//! time is the seal.

use super::extended::WantedXattrs;
use super::run::Run;
use super::{Error, RestoreOptions, Result};
use crate::base::Timestamp;
use crate::snapshot::{DirEntry, EntryType, SpecialEntry};
use crate::source::XattrPlace;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// What the snapshot says of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) mtime: Timestamp,
    /// On directories setuid and setgid grant nothing.
    pub(super) is_directory: bool,
}

impl Attributes {
    pub(super) fn of(entry: &DirEntry) -> Self {
        let is_directory = entry.kind == EntryType::Directory;
        let mode = entry.mode.posix();
        Self { uid: entry.uid, gid: entry.gid, mode, mtime: entry.mtime, is_directory }
    }

    /// The permissions without what the options drop.
    pub(super) fn kept_mode(&self, options: &RestoreOptions) -> u32 {
        let is_dropped = options.drop_set_id && !self.is_directory;
        self.mode & !(if is_dropped { SETUID | SETGID } else { 0 })
    }

    pub(super) fn of_special(special: &SpecialEntry) -> Self {
        let mode = special.mode.posix();
        Self { uid: special.uid, gid: special.gid, mode, mtime: special.mtime, is_directory: false }
    }
}

/// What is to be set; `None` is left alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
}

impl Wanted {
    /// All that the options do not skip.
    pub(super) fn new(attributes: &Attributes, options: &RestoreOptions) -> Self {
        Self {
            owner: (!options.skip_owners).then_some((attributes.uid, attributes.gid)),
            mode: (!options.skip_permissions).then_some(attributes.kept_mode(options)),
            mtime: (!options.skip_times).then_some(attributes.mtime),
        }
    }

    /// Whether what a stat found has all of it. A link has no permissions to compare.
    pub(super) fn is_on(&self, stat: &Stat) -> bool {
        let time = Timestamp::from_seconds(stat.st_mtime, stat.st_mtime_nsec as i64);
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        self.owner.is_none_or(|owner| owner == (stat.st_uid, stat.st_gid))
            && self.mode.is_none_or(|mode| is_link || mode == stat.st_mode & 0o7777)
            && self.mtime.is_none_or(|mtime| mtime == time)
    }

    /// What is skipped stays as it is on the file that is replaced.
    #[must_use]
    pub(super) fn or_as_on(self, replaced: Option<&Stat>) -> Self {
        let Some(stat) = replaced.filter(|stat| is_regular(stat)) else { return self };
        Self {
            owner: self.owner.or(Some((stat.st_uid, stat.st_gid))),
            mode: self.mode.or(Some(stat.st_mode & 0o7777)),
            mtime: self.mtime,
        }
    }
}

/// Whether a stat is that of a regular file.
pub(super) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// An open file or directory whose attributes are to be set.
pub(super) struct Subject<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) is_directory: bool,
    /// Owner and group it has.
    pub(super) owner: (u32, u32),
    pub(super) xattrs: WantedXattrs<'a>,
    /// Whether it may have extended attributes already.
    pub(super) may_have_xattrs: bool,
    /// For messages.
    pub(super) path: &'a dyn Fn() -> PathBuf,
}

impl Run<'_> {
    /// Sets the attributes of a file or directory.
    pub(super) fn set_attributes(&self, subject: &Subject<'_>, wanted: &Wanted) -> Result<()> {
        let fd = subject.fd;
        let (mut is_owner_right, mut is_group_right) = (true, true);
        if let Some((uid, gid)) = wanted.owner.filter(|&owner| owner != subject.owner) {
            let change = |uid, gid| rustix::fs::fchown(fd, uid, gid);
            let (new_user, new_group) = (user(uid), group(gid));
            is_owner_right = self.forgive(subject.path, "set the owner of", change(new_user, new_group))?;
            // A group that one is a member of can be given without being able to give files away.
            is_group_right = is_owner_right || gid == subject.owner.1 || change(None, new_group).is_ok();
            is_owner_right |= uid == subject.owner.0;
        }
        if let Some(mut mode) = wanted.mode {
            // Such bits must not be granted in the name of somebody else. On directories they grant nothing.
            if !subject.is_directory {
                mode &= !(if is_owner_right { 0 } else { SETUID } | if is_group_right { 0 } else { SETGID });
            }
            let changed = rustix::fs::fchmod(fd, Mode::from_raw_mode(mode));
            self.forgive(subject.path, "set the permissions of", changed)?;
        }
        let place = XattrPlace::Open(fd);
        self.set_xattrs(&place, subject.xattrs, subject.may_have_xattrs, subject.path)?;
        if let Some(mtime) = wanted.mtime {
            let changed = rustix::fs::futimens(fd, &both_times(mtime));
            self.forgive(subject.path, "set the times of", changed)?;
        }
        Ok(())
    }

    /// Sets the owner of a link or special file by a handle.
    pub(super) fn set_owner_by_handle(
        &self,
        handle: impl AsFd,
        (uid, gid): (u32, u32),
        path: &dyn Fn() -> PathBuf,
    ) -> Result<()> {
        let changed = rustix::fs::chownat(handle, c"", user(uid), group(gid), AtFlags::EMPTY_PATH);
        self.forgive(path, "set the owner of", changed).map(drop)
    }

    /// Sets the times of a link or special file by a handle.
    pub(super) fn set_times_by_handle(
        &self,
        handle: &OwnedFd,
        wanted: &Wanted,
        path: &dyn Fn() -> PathBuf,
    ) -> Result<()> {
        let Some(mtime) = wanted.mtime else { return Ok(()) };
        // An empty name would do, but not on old systems. Behind the handle of a link it ends at the link itself.
        let by_handle = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let changed = rustix::fs::utimensat(CWD, &*by_handle, &both_times(mtime), AtFlags::empty());
        self.forgive(path, "set the times of", changed).map(drop)
    }

    /// Counts a refusal where it may be ignored; tells whether the change was made.
    pub(super) fn forgive(
        &self,
        path: &dyn Fn() -> PathBuf,
        operation: &'static str,
        result: Result<(), Errno>,
    ) -> Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS) if self.options.ignore_permission_errors => {
                self.count(|stats| stats.ignored_permission_errors += 1);
                Ok(false)
            }
            Err(errno) => Err(Error::File { operation, path: path(), source: errno.into() }),
        }
    }
}

/// The last number of all is nobody's: to the system it means no change.
fn user(uid: u32) -> Option<Uid> {
    (uid != u32::MAX).then(|| Uid::from_raw(uid))
}

fn group(gid: u32) -> Option<Gid> {
    (gid != u32::MAX).then(|| Gid::from_raw(gid))
}

/// Kopia sets the time of access to that of modification, too.
fn both_times(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.as_seconds(), tv_nsec: mtime.subsecond_nanos().into() };
    Timestamps { last_access: time, last_modification: time }
}
