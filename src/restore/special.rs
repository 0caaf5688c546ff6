//! FIFOs, sockets and devices: made by a call that opens nothing, and given their attributes by handle.

use super::attributes::{Attributes, Wanted};
use super::extended::WantedXattrs;
use super::file::describe;
use super::hard_links::Turn;
use super::node::{Node, Place};
use super::run::Run;
use super::target::{TargetDirectory, is_plain_name};
use super::{Error, Result};
use crate::base::gojson;
use crate::snapshot::SpecialEntry;
use crate::source::{SpecialKind, XattrPlace};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat};
use rustix::io::Errno;
use std::os::fd::AsRawFd;

/// Mode of what is being made, until it gets its own.
const NEW_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Run<'_> {
    /// Restores the special files of a directory that is open.
    pub(super) fn restore_specials(
        &self,
        node: &Node,
        directory: &TargetDirectory,
        specials: &[SpecialEntry],
    ) {
        if self.options.skip_special_files {
            return;
        }
        for special in specials {
            let result = self.check_canceled().and_then(|()| self.restore_special(node, directory, special));
            if let Err(error) = result {
                self.fail(error);
            }
            if self.queue.is_finished() {
                return;
            }
        }
    }

    fn restore_special(
        &self,
        node: &Node,
        directory: &TargetDirectory,
        special: &SpecialEntry,
    ) -> Result<()> {
        let bad_name = || {
            let name = gojson::lossy(&special.name).into_owned();
            Error::BadName { path: node.path(), name }
        };
        // What is no UTF-8 is restored as it was: nobody else can have such a name.
        let name = std::ffi::CString::new(&*special.name).map_err(|_| bad_name())?;
        let text = gojson::lossy(&special.name);
        if !is_plain_name(&text) {
            return Err(bad_name());
        }
        let place = Place { node, name: &text };
        let Some(kind) = special.kind() else { return self.not_made(&place, Errno::NOTSUP) };
        let key = special.supplement.as_deref().and_then(|supplement| self.link_key(supplement, None));
        if let Some((key, links)) = &key
            && let Turn::Link(first) = self.hard_links.turn_at_once(key, *links)
            && self.link_special(&place, directory, &name, &first)?
        {
            return Ok(());
        }
        let made = self.make_special(&place, directory, &name, kind, special)?;
        if let Some((key, _)) = key.filter(|_| made) {
            self.hard_links.finish_at_once(&key, node.relative(&special.name));
        }
        Ok(())
    }

    /// Makes one, or keeps what is there and is one. Tells whether it is there.
    fn make_special(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        name: &std::ffi::CStr,
        kind: SpecialKind,
        special: &SpecialEntry,
    ) -> Result<bool> {
        let found = directory.stat(name).map_err(place.failed("look at"))?;
        if let Some(stat) = found.as_ref().filter(|stat| is_kind(stat, kind)) {
            if stat.st_nlink == 1 {
                self.finish_special(place, directory, name, kind, special)?;
                return Ok(true);
            }
            // Its other names, which may be anywhere, must not change.
            if self.is_special_right(directory, name, stat, special) {
                return Ok(true);
            }
        }
        if let Some(stat) = &found {
            self.check_replace(place, stat)?;
        }
        let create = |name: &std::ffi::CStr| directory.create_special(name, kind, NEW_MODE);
        let made = if found.is_none() {
            create(name).map(|()| None)
        } else {
            let temporary = self.temporary_names.create(|name| {
                let name = std::ffi::CString::new(name).map_err(|_| Errno::INVAL)?;
                create(&name)
            });
            temporary.map(|((), temporary)| Some(temporary))
        };
        match made {
            Err(errno @ (Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL | Errno::NOSYS))
                if self.options.ignore_permission_errors =>
            {
                self.not_made(place, errno)?;
                return Ok(false);
            }
            Err(errno) => return Err(place.failed("create")(errno)),
            Ok(None) => self.finish_special(place, directory, name, kind, special)?,
            Ok(Some(temporary)) => {
                let text = std::ffi::CString::new(temporary.as_str()).expect("it was used as a name");
                let finished = self
                    .finish_special(place, directory, &text, kind, special)
                    .and_then(|()| directory.rename(&text, name).map_err(place.failed("name")));
                if finished.is_err() {
                    // The failure that led here is the one that matters.
                    directory.unlink(text.as_c_str()).ok();
                }
                finished?;
            }
        }
        self.count(|stats| stats.specials += 1);
        Ok(true)
    }

    fn is_special_right(
        &self,
        directory: &TargetDirectory,
        name: &std::ffi::CStr,
        stat: &Stat,
        special: &SpecialEntry,
    ) -> bool {
        let xattrs = WantedXattrs::of(special.supplement.as_deref());
        Wanted::new(&Attributes::of_special(special), self.options).is_on(stat)
            && directory
                .open_handle(name)
                .is_ok_and(|handle| self.has_xattrs(&XattrPlace::of_handle(&handle), xattrs))
    }

    /// What may not take the place of what is there is an error.
    pub(super) fn check_replace(&self, place: &Place<'_>, found: &Stat) -> Result<()> {
        let allowed = match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => false,
            FileType::Symlink => self.options.overwrite_symlinks,
            _ => self.options.overwrite_files,
        };
        if allowed { Ok(()) } else { Err(Error::InTheWay { path: place.path(), found: describe(found) }) }
    }

    /// Counts what cannot be made here.
    fn not_made(&self, place: &Place<'_>, errno: Errno) -> Result<()> {
        if !self.options.ignore_permission_errors {
            return Err(place.failed("create")(errno));
        }
        self.count(|stats| stats.ignored_specials += 1);
        self.monitor.warn(&format!("cannot create the special file {}: {errno}", place.path().display()));
        Ok(())
    }

    /// Sets all attributes. That the handle is of what was made, and has no other name, is proven, so that nothing put in
    /// its place is given away.
    fn finish_special(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        name: &std::ffi::CStr,
        kind: SpecialKind,
        special: &SpecialEntry,
    ) -> Result<()> {
        let handle = directory.open_handle(name).map_err(place.failed("open"))?;
        let stat = rustix::fs::fstat(&handle).map_err(place.failed("look at"))?;
        if !is_kind(&stat, kind) || !directory.is_only_name(name, &stat) {
            return Err(Error::InTheWay { path: place.path(), found: describe(&stat) });
        }
        let path = || place.path();
        let attributes = Attributes::of_special(special);
        let wanted = Wanted::new(&attributes, self.options);
        if let Some(owner) = wanted.owner.filter(|&owner| owner != (stat.st_uid, stat.st_gid)) {
            self.set_owner_by_handle(&handle, owner, &path)?;
        }
        if let Some(mode) = wanted.mode {
            let by_handle = format!("/proc/self/fd/{}", handle.as_raw_fd());
            let changed = rustix::fs::chmodat(CWD, &*by_handle, Mode::from_raw_mode(mode), AtFlags::empty());
            self.forgive(&path, "set the permissions of", changed)?;
        }
        let xattrs = WantedXattrs::of(special.supplement.as_deref());
        self.set_xattrs(&XattrPlace::of_handle(&handle), xattrs, true, &path)?;
        self.set_times_by_handle(&handle, &wanted, &path)
    }
}

fn is_kind(stat: &Stat, kind: SpecialKind) -> bool {
    let is_device = |major, minor| stat.st_rdev == rustix::fs::makedev(major, minor);
    match (FileType::from_raw_mode(stat.st_mode), kind) {
        (FileType::Fifo, SpecialKind::Fifo) | (FileType::Socket, SpecialKind::Socket) => true,
        (FileType::CharacterDevice, SpecialKind::CharDevice { major, minor })
        | (FileType::BlockDevice, SpecialKind::BlockDevice { major, minor }) => is_device(major, minor),
        _ => false,
    }
}
