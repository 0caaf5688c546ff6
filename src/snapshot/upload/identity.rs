//! Which file or link an entry stood for: a change that keeps name, size and modification time is found by its inode or by the
//! time of its last change, which nobody can set.
//!
//! 1. What is kept of a file comes from the look at it before it was read: a file that is changed later, even while it
//!    is being read, has another time at the next look.
//! 2. A file that was changed so shortly before that look that a later change may get the same time is kept without that
//!    time, and read again by the next run.

use crate::base::Timestamp;
use crate::snapshot::{DirEntry, HardLink, Supplement};
use crate::source::Entry;

/// What entries say, what they are compared by, and what is saved at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EntryForm {
    /// What Kopia's do, byte for byte.
    #[default]
    Plain,
    /// Also which file it was, and what Kopia has no room for, in a [`Supplement`]; special files, too.
    Identified,
}

/// Longest time between two steps of a kernel's clock for files (a tick of 10 ms), and some more.
const STEP_NANOS: i64 = 50_000_000;
/// The same where a file system keeps whole seconds, or every other.
const COARSE_STEP_NANOS: i64 = 2_000_000_000;
/// What is further ahead was not changed just now, but under a clock that was wrong.
const AHEAD_NANOS: i64 = 24 * 3_600_000_000_000;

/// How the members of one directory are told from what they were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identities {
    /// `None` where entries are plain.
    looks: Option<Looks>,
}

#[derive(Debug, Clone, Copy)]
struct Looks {
    /// A time before any of them was looked at.
    at: Timestamp,
    /// The device of the root.
    root_device: u64,
}

/// What an earlier entry with equal metadata proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the same file, and was not changed.
    Unchanged,
    /// So it is, but only its data is known.
    SameData,
    /// It is another file, or was changed.
    Changed,
    /// The entry does not say which file it was.
    Unknown,
}

impl Identities {
    /// For entries that are Kopia's.
    pub(super) const PLAIN: Self = Self { looks: None };

    /// For members that are looked at from `now` on, below a root on that device.
    pub(super) fn new(form: EntryForm, now: Timestamp, root_device: u64) -> Self {
        Self { looks: (form == EntryForm::Identified).then_some(Looks { at: now, root_device }) }
    }

    /// Whether entries are Kopia's.
    pub(super) fn are_plain(self) -> bool {
        self.looks.is_none()
    }

    /// The device of the root, or of `own` if that is the root.
    pub(super) fn root_device(above: Option<Self>, own: &Entry) -> u64 {
        above.and_then(|above| above.looks).map_or(own.device, |looks| looks.root_device)
    }

    /// What the entry of a file or link is to say that stat tells.
    pub(super) fn supplement(self, file: &Entry) -> Option<Box<Supplement>> {
        let ctime_nanos = is_settled(file.ctime, self.looks?.at).then(|| file.ctime.as_nanos());
        let hard_link = self.hard_link(file);
        Some(Box::new(Supplement {
            ctime_nanos,
            inode: Some(file.inode),
            hard_link,
            ..Supplement::default()
        }))
    }

    /// The other names of what is no directory. From today's stat even where nothing has changed: numbers of devices
    /// do, and a name may be new that an earlier entry does not know.
    pub(super) fn hard_link(self, file: &Entry) -> Option<Box<HardLink>> {
        let root_device = self.looks.filter(|_| file.links > 1)?.root_device;
        let device = (file.device != root_device).then_some(file.device);
        Some(Box::new(HardLink { device, inode: file.inode, links: file.links }))
    }

    /// Compares an earlier entry with what is there now.
    pub(super) fn compare(self, known: &DirEntry, file: &Entry) -> Verdict {
        let supplement = known.supplement.as_deref().filter(|supplement| supplement.identifies());
        match supplement {
            Some(known_as) if !self.are_plain() => {
                let now = (Some(file.ctime.as_nanos()), Some(file.inode));
                let is_same = (known_as.ctime_nanos, known_as.inode) == now;
                match (is_same, known_as.is_data_only) {
                    (true, false) => Verdict::Unchanged,
                    (true, true) => Verdict::SameData,
                    (false, _) => Verdict::Changed,
                }
            }
            _ => Verdict::Unknown,
        }
    }
}

/// Whether a change after `looked_at` gives another time than `ctime`.
fn is_settled(ctime: Timestamp, looked_at: Timestamp) -> bool {
    let step = if ctime.subsecond_nanos() == 0 { COARSE_STEP_NANOS } else { STEP_NANOS };
    let age = looked_at.nanos_since(ctime);
    age > step || age < -AHEAD_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::EntryType;
    use crate::source::EntryKind;

    fn file(ctime: &str, inode: u64) -> Entry {
        let ctime = ctime.parse().unwrap();
        Entry {
            name: (*b"f").into(),
            kind: EntryKind::File,
            permissions: 0o644,
            size: 1,
            mtime: ctime,
            uid: 0,
            gid: 0,
            device: 1,
            inode,
            ctime,
            links: 1,
            may_have_holes: false,
        }
    }

    fn known(identities: Identities, file: &Entry) -> DirEntry {
        let supplement = identities.supplement(file);
        DirEntry { kind: EntryType::File, supplement, ..DirEntry::default() }
    }

    const NOW: &str = "2024-01-02T03:04:05.5Z";

    #[test]
    fn another_inode_or_time_is_another_file() {
        let identities = Identities::new(EntryForm::Identified, NOW.parse().unwrap(), 1);
        let before = file("2024-01-02T03:04:01.000000001Z", 7);
        let known = known(identities, &before);
        assert_eq!(identities.compare(&known, &before), Verdict::Unchanged);
        let changed = [file("2024-01-02T03:04:01.000000002Z", 7), file("2024-01-02T03:04:01.000000001Z", 8)];
        for file in changed {
            assert_eq!(identities.compare(&known, &file), Verdict::Changed);
        }
        let other_device = Entry { device: 2, ..before.clone() };
        assert_eq!(identities.compare(&known, &other_device), Verdict::Unchanged);
        assert_eq!(Identities::PLAIN.compare(&known, &changed_inode(&before)), Verdict::Unknown);
        assert_eq!(identities.compare(&DirEntry { supplement: None, ..known }, &before), Verdict::Unknown);
    }

    #[test]
    fn what_only_knows_the_data_is_looked_at_again() {
        let identities = Identities::new(EntryForm::Identified, NOW.parse().unwrap(), 1);
        let before = file("2024-01-02T03:04:01.5Z", 7);
        let mut known = known(identities, &before);
        known.supplement.as_mut().unwrap().is_data_only = true;
        assert_eq!(identities.compare(&known, &before), Verdict::SameData);
        assert_eq!(identities.compare(&known, &changed_inode(&before)), Verdict::Changed);
    }

    #[test]
    fn names_of_one_inode_are_told_by_device_and_inode() {
        let identities = Identities::new(EntryForm::Identified, NOW.parse().unwrap(), 1);
        let one = file(NOW, 7);
        assert!(identities.hard_link(&one).is_none());
        let two = Entry { links: 2, ..one.clone() };
        let link = HardLink { device: None, inode: 7, links: 2 };
        assert_eq!(identities.supplement(&two).unwrap().hard_link.as_deref(), Some(&link));
        let elsewhere = Entry { device: 2, ..two.clone() };
        let link = HardLink { device: Some(2), ..link };
        assert_eq!(identities.hard_link(&elsewhere).as_deref(), Some(&link));
        assert!(Identities::PLAIN.hard_link(&two).is_none());
        assert_eq!(
            (Identities::root_device(Some(identities), &elsewhere), Identities::root_device(None, &one)),
            (1, 1)
        );
    }

    fn changed_inode(file: &Entry) -> Entry {
        Entry { inode: file.inode + 1, ..file.clone() }
    }

    #[test]
    fn a_part_of_an_identity_proves_nothing() {
        let identities = Identities::new(EntryForm::Identified, NOW.parse().unwrap(), 1);
        let before = file("2024-01-02T03:04:01.5Z", 7);
        let (ctime_nanos, inode) = (Some(before.ctime.as_nanos()), Some(7));
        for (supplement, verdict) in [
            (Supplement { ctime_nanos, ..Supplement::default() }, Verdict::Changed),
            (Supplement { inode, ..Supplement::default() }, Verdict::Changed),
            (Supplement::default(), Verdict::Unknown),
        ] {
            let supplement = Some(Box::new(supplement));
            let known = DirEntry { kind: EntryType::File, supplement, ..DirEntry::default() };
            assert_eq!(identities.compare(&known, &before), verdict);
        }
    }

    #[test]
    fn a_time_that_a_later_change_may_have_too_is_not_kept() {
        let identities = Identities::new(EntryForm::Identified, NOW.parse().unwrap(), 1);
        for (ctime, is_kept) in [
            ("2024-01-02T03:04:05.449Z", true),
            ("2024-01-02T03:04:05.451Z", false),
            ("2024-01-02T03:04:05.5Z", false),
            ("2024-01-02T03:04:09.5Z", false),
            // Of whole seconds.
            ("2024-01-02T03:04:04Z", false),
            ("2024-01-02T03:04:03Z", true),
            // A clock that was wrong.
            ("2030-01-02T03:04:05.5Z", true),
        ] {
            let file = file(ctime, 7);
            let supplement = identities.supplement(&file).unwrap();
            assert_eq!(supplement.ctime_nanos.is_some(), is_kept, "{ctime}");
            assert_eq!(supplement.inode, Some(7));
            let verdict = if is_kept { Verdict::Unchanged } else { Verdict::Changed };
            assert_eq!(identities.compare(&known(identities, &file), &file), verdict, "{ctime}");
        }
        assert!(Identities::PLAIN.supplement(&file(NOW, 7)).is_none());
    }
}
