//! Symbolic links.

use super::attributes::{Attributes, Wanted};
use super::extended::WantedXattrs;
use super::file::{Plan, describe};
use super::node::Place;
use super::run::Run;
use super::target::TargetDirectory;
use super::{Error, Result};
use crate::snapshot::DirEntry;
use crate::source::XattrPlace;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// No system lets a link's target be longer.
const TARGET_BYTES_MAX: u64 = 4095;

impl Run<'_> {
    /// Decides what becomes of a link; one that leads where it should is kept.
    pub(super) fn plan_link(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
    ) -> Result<Plan> {
        if place.node.is_fresh() {
            return Ok(Plan::Write(None));
        }
        let Some(stat) = directory.stat(place.name).map_err(place.failed("look at"))? else {
            return Ok(Plan::Write(None));
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            if self.options.skip_existing {
                return Ok(Plan::Skip);
            }
            if self.options.overwrite_symlinks {
                if self.is_link_right(place, directory, entry, &stat) {
                    self.count(|stats| stats.unchanged_symlinks += 1);
                    return Ok(Plan::Keep);
                }
                return Ok(Plan::Write(Some(stat)));
            }
        }
        Err(Error::InTheWay { path: place.path(), found: describe(&stat) })
    }

    fn is_link_right(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
        stat: &Stat,
    ) -> bool {
        Wanted::new(&Attributes::of(entry), self.options).is_on(stat)
            && !(self.is_alone(entry) && stat.st_nlink > 1)
            && directory.read_link(place.name).is_ok_and(|target| self.is_object(target.to_bytes(), entry))
            && directory.open_handle(place.name).is_ok_and(|link| {
                let wanted = WantedXattrs::of(entry.supplement.as_deref());
                self.has_xattrs(&XattrPlace::of_handle(&link), wanted)
            })
    }

    /// Makes a link that leads to `target`.
    pub(super) fn restore_symlink(
        &self,
        place: &Place<'_>,
        entry: &DirEntry,
        replaced: Option<&Stat>,
        target: &[u8],
    ) -> Result<()> {
        let length = target.len() as u64;
        if length > TARGET_BYTES_MAX {
            return Err(Error::LongLink { path: place.path(), length });
        }
        let directory = place.node.directory().map_err(place.failed("open the directory of"))?;
        if replaced.is_some() {
            self.replace_link(place, &directory, entry, target)?;
        } else {
            match directory.create_link(place.name, target) {
                Ok(()) => self.finish_link(place, &directory, place.name, entry)?,
                Err(Errno::EXIST) => return self.meet_link(place, &directory, entry, target),
                Err(errno) => return Err(place.failed("create")(errno)),
            }
        }
        self.count(|stats| stats.symlinks += 1);
        Ok(())
    }

    /// Somebody else was quicker, or the file system takes two names for one.
    fn meet_link(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
        target: &[u8],
    ) -> Result<()> {
        let found = directory.stat(place.name).map_err(place.failed("look at"))?;
        let found = found.ok_or_else(|| place.failed("create")(Errno::EXIST))?;
        let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
        if !is_link || !self.options.overwrite_symlinks {
            return Err(Error::InTheWay { path: place.path(), found: describe(&found) });
        }
        self.replace_link(place, directory, entry, target)?;
        self.count(|stats| stats.symlinks += 1);
        Ok(())
    }

    /// Makes a link whose target is stored in several contents, as only the shortest splitters do it.
    pub(super) fn restore_long_link(
        &self,
        place: &Place<'_>,
        entry: &DirEntry,
        replaced: Option<&Stat>,
    ) -> Result<()> {
        let objects = self.repository.objects();
        let unreadable = |source| Error::Data { path: place.path(), source: Box::new(source) };
        let listed = objects.segments(entry.obj).map_err(unreadable)?;
        let length = listed.and_then(|parts| parts.last().map(|last| last.start.saturating_add(last.length)));
        if let Some(length) = length.filter(|&length| length > TARGET_BYTES_MAX) {
            return Err(Error::LongLink { path: place.path(), length });
        }
        let target = objects.read_all(entry.obj).map_err(unreadable)?;
        self.restore_symlink(place, entry, replaced, &target)
    }

    fn replace_link(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
        target: &[u8],
    ) -> Result<()> {
        let ((), temporary) = self
            .temporary_names
            .create(|name| directory.create_link(name, target))
            .map_err(place.failed("create a temporary link for"))?;
        let finished = self
            .finish_link(place, directory, &temporary, entry)
            .and_then(|()| directory.rename(&temporary, place.name).map_err(place.failed("name")));
        if finished.is_err() {
            // The failure that led here is the one that matters.
            directory.unlink(temporary.as_str()).ok();
        }
        finished
    }

    /// Sets the attributes of the link that is called `name` for now.
    fn finish_link(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        name: &str,
        entry: &DirEntry,
    ) -> Result<()> {
        let wanted = Wanted::new(&Attributes::of(entry), self.options);
        let (link, owner) = open_link(place, directory, name)?;
        let path = || place.path();
        if let Some(wanted) = wanted.owner.filter(|&wanted| wanted != owner) {
            self.set_owner_by_handle(&link, wanted, &path)?;
        }
        let xattrs = WantedXattrs::of(entry.supplement.as_deref());
        self.set_xattrs(&XattrPlace::of_handle(&link), xattrs, false, &path)?;
        self.set_times_by_handle(&link, &wanted, &path)
    }
}

/// Opens a link that has been made, and tells the owner it has. That the handle is a link without another name is proven,
/// so that nothing put in its place is given away.
fn open_link(place: &Place<'_>, directory: &TargetDirectory, name: &str) -> Result<(OwnedFd, (u32, u32))> {
    let link = directory.open_handle(name).map_err(place.failed("open"))?;
    let stat = rustix::fs::fstat(&link).map_err(place.failed("look at"))?;
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    if !is_link || !directory.is_only_name(name, &stat) {
        return Err(Error::InTheWay { path: place.path(), found: describe(&stat) });
    }
    Ok((link, (stat.st_uid, stat.st_gid)))
}
