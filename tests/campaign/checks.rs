//! What must hold after every step: both programs see the same, every byte is there, and what comes back is the source.

use super::draw::{Last, Writer};
use super::model::{Kept, Model};
use super::writers::{Result, Stage};
use crate::support::chain;
use crate::support::compare::Comparison;
use crate::support::trees::{Times, Tree};
use packhorse::base::Quiet;
use packhorse::manifest::ManifestStore;
use packhorse::object::ObjectId;
use packhorse::repo::Repository;
use packhorse::restore::{RestoreOptions, restore};
use packhorse::snapshot::{Catalog, SnapshotManifest, SourceFilter, VerifyOptions, verify};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Differences that are shown of one step.
const SHOWN: usize = 6;

/// The checks of one seed.
pub(super) struct Checks<'a> {
    pub(super) stage: &'a Stage,
    /// Where snapshots are restored.
    pub(super) scratch: PathBuf,
    /// Which Kopia is asked.
    pub(super) judge: Writer,
    /// Checks made.
    pub(super) made: u64,
}

impl Checks<'_> {
    /// Everything that is looked at after every step.
    pub(super) fn after_step(&mut self, model: &Model) -> Result<()> {
        let repository = self.stage.open()?;
        let manifests = repository.load_manifests().map_err(|error| chain(&error))?;
        let listed = list(&manifests)?;
        self.expected(model, &listed)?;
        if self.stage.has_kopia() {
            self.kopia_agrees(&repository)?;
        }
        self.every_byte(&repository, &listed)?;
        if let Some(newest) = listed.iter().max_by_key(|snapshot| snapshot.start_time) {
            self.restored_by_us(&repository, newest, model.kept(newest))?;
        }
        Ok(())
    }

    /// Everything that is looked at once, at the end.
    pub(super) fn at_the_end(&mut self, model: &Model, last: &Last) -> Result<()> {
        let repository = self.stage.open()?;
        let manifests = repository.load_manifests().map_err(|error| chain(&error))?;
        let listed = list(&manifests)?;
        let mut seen = BTreeSet::new();
        for snapshot in &listed {
            let kept = model.kept(snapshot);
            if seen.insert(kept.root) {
                self.restored_by_us(&repository, snapshot, kept)?;
            }
        }
        if self.stage.has_kopia() {
            self.kopia_lists_the_same(&repository, &manifests, last)?;
            if last.content_verify {
                self.kopia(&["content", "verify", "--full"])?;
            }
            if !listed.is_empty() {
                let snapshot = &listed[(last.restored % listed.len() as u64) as usize];
                self.restored_by_kopia(snapshot, model.kept(snapshot))?;
            }
        }
        Ok(())
    }

    fn kopia(&mut self, args: &[&str]) -> Result<String> {
        self.made += 1;
        self.stage.program(self.judge).result(args)
    }

    fn kopia_json(&mut self, args: &[&str]) -> Result<Value> {
        let text = self.kopia(args)?;
        serde_json::from_str(&text).map_err(|error| format!("{args:?}: {error}"))
    }

    fn no_differences(&mut self, what: &str, found: &[String]) -> Result<()> {
        self.made += 1;
        if found.is_empty() {
            return Ok(());
        }
        let shown = &found[..found.len().min(SHOWN)];
        Err(format!("{what}: {} differences: {}", found.len(), shown.join("; ")))
    }

    /// What is listed is what was made, but for what was deleted.
    fn expected(&mut self, model: &Model, listed: &[SnapshotManifest]) -> Result<()> {
        let found: BTreeSet<_> = listed.iter().map(key).collect();
        let expected: BTreeSet<_> = model.snapshots().collect();
        let found: Vec<_> = found.symmetric_difference(&expected).map(|key| format!("{key:?}")).collect();
        self.no_differences("listed or expected, not both", &found)
    }

    fn kopia_agrees(&mut self, repository: &Repository) -> Result<()> {
        let facts =
            json!({ "contents": { "list": self.kopia_json(&["content", "list", "--json", "--deleted"])? } });
        let mut comparison = Comparison::new(&facts);
        comparison.contents(repository);
        self.no_differences("contents", &comparison.differences)?;
        self.kopia(&["snapshot", "verify", "--verify-files-percent=100"])?;
        Ok(())
    }

    fn kopia_lists_the_same(
        &mut self,
        repository: &Repository,
        manifests: &ManifestStore,
        last: &Last,
    ) -> Result<()> {
        let flags = ["--all", "--incomplete", "--show-identical", "--json", "--json-verbose"];
        let command = ["snapshot", "list"].into_iter().chain(flags).collect::<Vec<_>>();
        let snapshots = self.kopia_json(&command)?;
        let snapshots = snapshots.as_array().into_iter().flatten().map(|found| json!({ "manifest": found }));
        let mut facts = json!({
            "snapshots": snapshots.collect::<Vec<_>>(),
            "manifests": self.kopia_json(&["manifest", "list", "--json"])?,
        });
        let (status, blobs) = (["repository", "status", "--json"], ["blob", "list", "--json"]);
        for (key, is_wanted, command) in [("repository", last.status, status), ("blobs", last.blobs, blobs)] {
            if is_wanted {
                facts[key] = self.kopia_json(&command)?;
            }
        }
        let mut comparison = Comparison::new(&facts);
        comparison.snapshots(manifests);
        comparison.manifests(manifests);
        if last.status {
            comparison.format(repository);
        }
        if last.blobs {
            comparison.blobs(repository);
        }
        self.no_differences("snapshots, manifests, format and blobs", &comparison.differences)
    }

    fn every_byte(&mut self, repository: &Repository, listed: &[SnapshotManifest]) -> Result<()> {
        let roots: Vec<_> = listed
            .iter()
            .filter_map(|snapshot| Some((snapshot.id.to_string(), snapshot.root_entry.clone()?)))
            .collect();
        let options = VerifyOptions::EVERYTHING;
        let report = verify(repository, &roots, &options, &Quiet).map_err(|error| chain(&error))?;
        let found: Vec<_> =
            report.errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
        self.no_differences("our verification", &found)
    }

    fn restored_by_us(
        &mut self,
        repository: &Repository,
        snapshot: &SnapshotManifest,
        kept: &Kept,
    ) -> Result<()> {
        let target = self.new_target();
        let root = snapshot.root_entry.as_ref().ok_or("a snapshot without a root")?;
        restore(repository, root, &target, &RestoreOptions::default(), &Quiet)
            .map_err(|error| chain(&error))?;
        self.compare_restored("restored by us", &target, kept, Times::Exact)
    }

    fn restored_by_kopia(&mut self, snapshot: &SnapshotManifest, kept: &Kept) -> Result<()> {
        let target = self.new_target();
        let (id, path) = (snapshot.id.to_string(), target.display().to_string());
        self.kopia(&["restore", &id, &path])?;
        self.compare_restored("restored by Kopia", &target, kept, Times::Kopia)
    }

    fn new_target(&mut self) -> PathBuf {
        self.scratch.join(format!("restored-{}", self.made))
    }

    fn compare_restored(&mut self, what: &str, target: &Path, kept: &Kept, times: Times) -> Result<()> {
        if let Some(tree) = &kept.tree {
            let found = tree.differences(&Tree::look(target), times);
            self.no_differences(what, &found)?;
        }
        std::fs::remove_dir_all(target).or_else(|_| std::fs::remove_file(target)).unwrap();
        Ok(())
    }
}

/// What a snapshot is known by, whatever has been pinned since.
pub(super) fn key(snapshot: &SnapshotManifest) -> (packhorse::base::Timestamp, ObjectId) {
    (snapshot.start_time, root(snapshot))
}

pub(super) fn root(snapshot: &SnapshotManifest) -> ObjectId {
    snapshot.root_entry.as_ref().map_or(ObjectId::NONE, |root| root.obj)
}

/// All snapshots of all sources.
pub(super) fn list(manifests: &ManifestStore) -> Result<Vec<SnapshotManifest>> {
    Catalog::new(manifests).list(&SourceFilter::default()).map_err(|error| chain(&error))
}
