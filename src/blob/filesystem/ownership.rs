//! Owner, group and mode of what is made: what the options ask for, as far as the file system lets this process.
//!
//! Nothing here fails a put. A server that maps users (squashing) gives files to whom it likes, and a backup in a file
//! of another owner is a backup; whoever cannot read it says so then.

use super::Filesystem;
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Permissions without the flags above them, which are left as they are: folders inherit theirs.
const PERMISSION_BITS: u32 = 0o777;

impl Filesystem {
    /// Gives a new file its owner and mode.
    pub(super) fn adorn_file(&self, file: &File, path: &Path) {
        self.tell_once(path, self.adorn(file, self.options.wanted_file_mode()));
    }

    /// Gives a new folder its owner and mode.
    pub(super) fn adorn_folder(&self, path: &Path) {
        if self.options.gid.is_none() && self.options.wanted_dir_mode().is_none() {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        let outcome = opened.and_then(|folder| self.adorn(&folder.into(), self.options.wanted_dir_mode()));
        self.tell_once(path, outcome);
    }

    /// Asks for what differs, so that most files cost no request.
    fn adorn(&self, file: &File, mode: Option<u32>) -> io::Result<()> {
        if self.options.gid.is_none() && mode.is_none() {
            return Ok(());
        }
        let found = file.metadata()?;
        let owned = self.give_away(file, &found);
        // After the change of owner, which may take flags away.
        let moded = match mode {
            Some(mode) if found.mode() & PERMISSION_BITS != mode => {
                let flags = found.mode() & !PERMISSION_BITS & 0o7777;
                file.set_permissions(Permissions::from_mode(flags | mode))
            }
            _ => Ok(()),
        };
        owned.and(moded)
    }

    /// Kopia does this for root only, and only with both; a group is enough, and its members may give to it.
    fn give_away(&self, file: &File, found: &Metadata) -> io::Result<()> {
        let Some(group) = self.options.gid else { return Ok(()) };
        let is_root = rustix::process::geteuid().is_root();
        let user = self.options.uid.filter(|user| is_root && found.uid() != *user);
        let group = Some(group).filter(|group| found.gid() != *group);
        if user.is_none() && group.is_none() { Ok(()) } else { fchown(file, user, group) }
    }

    fn tell_once(&self, path: &Path, outcome: io::Result<()>) {
        let Err(error) = outcome else { return };
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let path = path.display();
            tracing::warn!(%error, %path, "cannot give new files the owner or mode asked for; said once");
        }
    }
}
