//! Refused permission, explained: who owns what refused it, and who this process is.
//!
//! On a network volume the answer to `EACCES` is never in the error alone: the server may take root for nobody, all
//! clients for one user, or see other groups than the client does.

use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Groups listed in a message; who is in more is told that there are.
const GROUPS_SHOWN: usize = 16;

/// Why the file system said no, as far as a client can know.
#[derive(Debug)]
struct Refusal {
    /// What could be looked at: the path asked for, or the nearest folder above it.
    at: PathBuf,
    owner: u32,
    group: u32,
    mode: u32,
    process: Process,
    source: io::Error,
}

/// Whom the kernel takes this process for.
#[derive(Debug)]
struct Process {
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

impl Process {
    fn this() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        Self {
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
            groups: groups.into_iter().map(rustix::process::Gid::as_raw).collect(),
        }
    }

    fn is_member(&self, group: u32) -> bool {
        self.group == group || self.groups.contains(&group)
    }
}

/// Adds owner, mode and this process to a refused permission; other errors are returned as they are.
pub(super) fn explain(path: &Path, source: io::Error) -> io::Error {
    if !is_refusal(&source) {
        return source;
    }
    let Some((at, found)) = path.ancestors().find_map(|at| Some((at, std::fs::metadata(at).ok()?))) else {
        return source;
    };
    let refusal = Refusal {
        at: at.to_owned(),
        owner: found.uid(),
        group: found.gid(),
        mode: found.mode() & 0o7777,
        process: Process::this(),
        source,
    };
    io::Error::new(io::ErrorKind::PermissionDenied, refusal)
}

/// Only what the system itself said: an explained error stays as it is.
fn is_refusal(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::ACCESS | Errno::PERM))
}

impl Refusal {
    fn advice(&self) -> String {
        if self.process.user == 0 {
            let owner = self.owner;
            return format!(
                "the server seems to take root for another user: run as {owner}, or export without root_squash"
            );
        }
        if self.process.user == self.owner {
            return "the mode or an ACL keeps its owner out, or the server takes this user for another \
                    (all_squash): mend the mode, or the user mapping of the export"
                .to_owned();
        }
        let group = self.group;
        let membership = if self.process.is_member(group) { "stay in" } else { "join" };
        format!(
            "run as {}, or {membership} group {group} and let all who write use --owner-gid {group} --file-mode \
             0660 --dir-mode 0770",
            self.owner
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { user, group, groups } = &self.process;
        let shown: Vec<_> = groups.iter().take(GROUPS_SHOWN).map(u32::to_string).collect();
        let shown = if shown.is_empty() { "(none)".to_owned() } else { shown.join(", ") };
        let more = if groups.len() > GROUPS_SHOWN { ", …" } else { "" };
        write!(
            f,
            "{} is owned by {}:{} mode {:04o}, this process is {user}:{group} in groups {}{more}; {}",
            self.at.display(),
            self.owner,
            self.group,
            self.mode,
            shown,
            self.advice()
        )
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorClass, error_chain};

    fn refusal(owner: u32, user: u32, groups: &[u32]) -> String {
        let process = Process { user, group: user, groups: groups.to_vec() };
        let source = Errno::ACCESS.into();
        Refusal { at: "/r/p".into(), owner, group: 33, mode: 0o640, process, source }.to_string()
    }

    #[test]
    fn owner_mode_and_process_are_named() {
        let text = refusal(0, 1000, &[1000, 44]);
        let wanted = "/r/p is owned by 0:33 mode 0640, this process is 1000:1000 in groups 1000, 44; ";
        assert!(text.starts_with(wanted) && text.contains("join group 33"), "{text}");
        assert!(refusal(7, 0, &[]).contains("root_squash"));
        assert!(refusal(7, 7, &[]).contains("all_squash"));
        assert!(refusal(7, 8, &[33]).contains("stay in group 33"));
    }

    #[test]
    fn what_is_refused_stays_refused_and_the_rest_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not/there");
        let error = explain(&path, Errno::PERM.into());
        assert_eq!(ErrorClass::of_io(&error), ErrorClass::Denied);
        let text = error_chain(&error);
        assert!(text.contains(&format!("{} is owned by", dir.path().display())), "{text}");
        assert_eq!(text.matches("os error 1").count(), 1, "{text}");
        assert_eq!(error_chain(&explain(&path, error)), text, "explained once");
        assert_eq!(explain(&path, Errno::STALE.into()).raw_os_error(), Some(Errno::STALE.raw_os_error()));
    }
}
