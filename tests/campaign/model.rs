//! Which snapshots there must be, and what is in them.

use super::checks;
use crate::support::trees::Tree;
use packhorse::base::Timestamp;
use packhorse::object::ObjectId;
use packhorse::snapshot::SnapshotManifest;
use std::collections::BTreeMap;
use std::rc::Rc;

/// One snapshot.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) root: ObjectId,
    /// What its source looked like, if all of it was saved.
    pub(super) tree: Option<Rc<Tree>>,
    source_path: String,
    is_pinned: bool,
}

/// What of a policy counts here.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    keep_latest: Option<usize>,
}

/// What must be in the repository.
#[derive(Debug, Default)]
pub(super) struct Model {
    snapshots: BTreeMap<Timestamp, Kept>,
    global: Rules,
    source: Rules,
    /// Whether some policy leaves out what [`super::tree::is_skipped`] says.
    pub(super) skips: bool,
    /// Whether some policy wants no snapshots that equal the one before.
    pub(super) ignores_identical: bool,
    /// Whether files may have been cut or compressed under other rules than today's: then reading them again gives
    /// other objects than taking them over.
    pub(super) is_mixed: bool,
}

impl Model {
    /// Takes note of flags of `policy set`.
    pub(super) fn set_policy(&mut self, global: bool, flags: &[String]) {
        let rules = if global { &mut self.global } else { &mut self.source };
        for flag in flags {
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            match name {
                "--keep-latest" => rules.keep_latest = value.parse().ok(),
                "--add-ignore" => self.skips = true,
                "--ignore-identical-snapshots" => self.ignores_identical = true,
                _ => {}
            }
        }
        self.is_mixed |= !self.snapshots.is_empty();
    }

    /// Takes note of a snapshot, and of those that retention has removed for it.
    pub(super) fn add(&mut self, snapshot: &SnapshotManifest, tree: Rc<Tree>) {
        let source_path = snapshot.source.path.clone();
        let (root, tree) = (checks::root(snapshot), snapshot.is_complete().then_some(tree));
        let kept = Kept { root, tree, source_path: source_path.clone(), is_pinned: false };
        self.snapshots.insert(snapshot.start_time, kept);
        let of_source = self.snapshots.iter().rev().filter(|(_, kept)| kept.source_path == source_path);
        let limit = self.source.keep_latest.or(self.global.keep_latest).unwrap_or(usize::MAX);
        let (mut complete, mut expired) = (0, Vec::new());
        // Incomplete ones are not counted, and kept until there is a complete one.
        for (start, kept) in of_source {
            complete += usize::from(kept.tree.is_some());
            let is_wanted = if kept.tree.is_some() { complete <= limit } else { complete == 0 };
            if !is_wanted && !kept.is_pinned {
                expired.push(*start);
            }
        }
        self.snapshots.retain(|start, _| !expired.contains(start));
    }

    /// Takes note that somebody has deleted a snapshot.
    pub(super) fn delete(&mut self, snapshot: &SnapshotManifest) {
        self.snapshots.remove(&snapshot.start_time);
    }

    /// Takes note that somebody has pinned a snapshot.
    pub(super) fn pin(&mut self, snapshot: &SnapshotManifest) {
        if let Some(kept) = self.snapshots.get_mut(&snapshot.start_time) {
            kept.is_pinned = true;
        }
    }

    /// What each snapshot is known by.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = (Timestamp, ObjectId)> {
        self.snapshots.iter().map(|(start, kept)| (*start, kept.root))
    }

    /// What is known of a snapshot that is listed.
    pub(super) fn kept(&self, snapshot: &SnapshotManifest) -> &Kept {
        &self.snapshots[&snapshot.start_time]
    }
}
