//! One seed from the beginning to the end.

use super::checks::{self, Checks};
use super::draw::{Admin, Last, Plan, Step, Target, Writer};
use super::edits::{edit, paths, targets};
use super::model::Model;
use super::tree::{Gardener, is_skipped};
use super::writers::{Executables, Result, Stage};
use crate::support::chain;
use crate::support::live_tree::set_mtime;
use crate::support::same_tree::first_difference;
use crate::support::trees::Tree;
use packhorse::snapshot::SnapshotManifest;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What was done for a seed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) steps: u64,
    pub(super) snapshots: u64,
    pub(super) checks: u64,
}

/// Where a seed has failed; step 0 is the making of the repository.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: usize,
    pub(super) difference: String,
}

/// Plays a plan in an empty folder.
pub(super) fn play(plan: &Plan, executables: &Executables, base: &Path) -> Result<Done, Failure> {
    let mut game = Game::begin(plan, executables, base);
    let played = catch_unwind(AssertUnwindSafe(|| game.all()));
    let result = played.unwrap_or_else(|panic| Err(format!("panic: {}", message(&*panic))));
    let step = game.step;
    result.map_err(|difference| Failure { step, difference })
}

/// Whether everything at `path` is taken over from an equal snapshot: a single file is always read, and so is, by both
/// programs, what has a name that is not stored as it is.
fn is_found_again(path: &Path) -> bool {
    path.is_dir() && paths(path).iter().all(|path| path.to_str().is_some())
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of another kind")
}

struct Game<'a> {
    plan: &'a Plan,
    stage: Stage,
    gardener: Gardener,
    model: Model,
    scratch: PathBuf,
    step: usize,
    done: Done,
}

impl<'a> Game<'a> {
    fn begin(plan: &'a Plan, executables: &Executables, base: &Path) -> Self {
        // Elsewhere equal trees are equal to the byte.
        let is_plain = !plan.seed.is_multiple_of(4);
        let stage = Stage::new(base, executables, plan.parameters.threads, is_plain);
        let gardener = plan.tree.make(&stage.source);
        let (model, scratch) = (Model::default(), base.to_owned());
        Self { plan, stage, gardener, model, scratch, step: 0, done: Done::default() }
    }

    fn all(&mut self) -> Result<Done> {
        self.stage.create(&self.plan.parameters)?;
        self.model.set_policy(true, &self.plan.parameters.policy);
        for step in &self.plan.steps {
            self.step += 1;
            self.step(step)?;
        }
        self.check(Some(self.plan.last))?;
        Ok(self.done)
    }

    fn check(&mut self, last: Option<Last>) -> Result<()> {
        // Not too often: an older Kopia has nothing that the newer one checks less.
        let judge = if self.plan.seed.is_multiple_of(8) { Writer::OlderKopia } else { Writer::Kopia };
        let mut checks = Checks { stage: &self.stage, scratch: self.scratch.clone(), judge, made: 0 };
        let result = match last {
            Some(last) => checks.at_the_end(&self.model, &last),
            None => checks.after_step(&self.model),
        };
        self.done.checks += checks.made;
        result
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        self.gardener.reseed(step.edits_seed);
        edit(&self.stage.source, &mut self.gardener, step.edits);
        if let Some(admin) = &step.admin {
            self.admin(admin, step.edits_seed)?;
        }
        self.snapshots(step)?;
        self.check(None)?;
        self.done.steps += 1;
        Ok(())
    }

    fn snapshots(&mut self, step: &Step) -> Result<()> {
        let path = self.target(step.target);
        let tree = self.look(&path);
        let first = self.stage.snapshot(&path, step.first)?;
        self.saved(first.as_ref(), &tree);
        let Some(mut second) = step.second else { return Ok(()) };
        second.force_hash &= !self.model.is_mixed;
        let second_made = self.stage.snapshot(&path, second)?;
        self.saved(second_made.as_ref(), &tree);
        match (first, second_made) {
            (Some(first), Some(made)) => {
                self.same_tree(&made, &first)?;
                if second.force_hash || !is_found_again(&path) {
                    return Ok(());
                }
                match made.stats.non_cached_files {
                    0 => Ok(()),
                    read => Err(format!("{:?} read {read} files that had not changed", second.writer)),
                }
            }
            (Some(first), None) if !self.model.ignores_identical => {
                Err(format!("no second snapshot after {}", first.id))
            }
            // Where entries say which files they stood for, trees that Kopia takes for equal are not.
            (None, Some(made)) if self.stage.is_plain => {
                Err(format!("{} is new after an equal one that was not saved", made.id))
            }
            _ => Ok(()),
        }
    }

    /// What a snapshot taken now must hold.
    fn look(&self, path: &Path) -> Rc<Tree> {
        let tree = Tree::look(path).stored();
        Rc::new(if self.model.skips { tree.without(is_skipped) } else { tree })
    }

    fn saved(&mut self, snapshot: Option<&SnapshotManifest>, tree: &Rc<Tree>) {
        if let Some(snapshot) = snapshot {
            self.done.snapshots += 1;
            self.model.add(snapshot, Rc::clone(tree));
        }
    }

    /// What to take a snapshot of: the whole tree if there is nothing of the kind that is asked for.
    fn target(&self, target: Target) -> PathBuf {
        let source = &self.stage.source;
        let (which, want_files) = match target {
            Target::Tree => return source.clone(),
            Target::File { which } => (which, true),
            Target::Below { which } => (which, false),
        };
        let found = targets(source, want_files);
        if found.is_empty() { source.clone() } else { found[(which % found.len() as u64) as usize].clone() }
    }

    /// Whoever comes second must find what the first one made to be its own.
    fn same_tree(&mut self, second: &SnapshotManifest, first: &SnapshotManifest) -> Result<()> {
        self.done.checks += 1;
        if checks::root(second) == checks::root(first) {
            return Ok(());
        }
        let repository = self.stage.open()?;
        let (Some(second), Some(first)) = (&second.root_entry, &first.root_entry) else {
            return Err("a snapshot without a root".to_owned());
        };
        match first_difference(&repository, second, &repository, first) {
            Some(difference) => Err(format!("not the same tree: {difference}")),
            None => Ok(()),
        }
    }

    fn admin(&mut self, admin: &Admin, seed: u64) -> Result<()> {
        match admin {
            Admin::Policy { writer, global, flags } => {
                let source = self.stage.source.display().to_string();
                let target = if *global { "--global" } else { &source };
                let args = ["policy", "set", target].into_iter().chain(flags.iter().map(String::as_str));
                self.stage.program(*writer).result(args)?;
                self.model.set_policy(*global, flags);
                Ok(())
            }
            Admin::DeleteSnapshot { writer, which } => {
                let writer = *writer;
                self.with_snapshot(*which, |game, snapshot| {
                    let id = snapshot.id.to_string();
                    game.stage.program(writer).result(["snapshot", "delete", &id, "--delete"])?;
                    game.model.delete(snapshot);
                    Ok(())
                })
            }
            Admin::Burst { sessions, hours, maintained } => {
                self.stage.burst(*sessions, seed)?;
                self.age(*hours);
                if *maintained && self.stage.has_kopia() {
                    self.kopia(&["maintenance", "run", "--full", "--safety=none"])?;
                }
                Ok(())
            }
            _ if !self.stage.has_kopia() => Ok(()),
            of_kopia => self.admin_by_kopia(of_kopia),
        }
    }

    fn admin_by_kopia(&mut self, admin: &Admin) -> Result<()> {
        match admin {
            Admin::DeleteManifest { which } => self.with_snapshot(*which, |game, snapshot| {
                game.kopia(&["manifest", "delete", &snapshot.id.to_string()])?;
                game.model.delete(snapshot);
                Ok(())
            }),
            Admin::Pin { which } => self.with_snapshot(*which, |game, snapshot| {
                game.kopia(&["snapshot", "pin", &snapshot.id.to_string(), "--add=kept"])?;
                game.model.pin(snapshot);
                Ok(())
            }),
            Admin::Maintenance { full, safe } => {
                let full = if *full { "--full" } else { "--no-full" };
                let safety = if *safe { "--safety=full" } else { "--safety=none" };
                self.kopia(&["maintenance", "run", full, safety])
            }
            Admin::OptimizeIndex => self.kopia(&["index", "optimize"]),
            Admin::Rewrite => self.kopia(&["content", "rewrite", "--short", "--safety=none"]),
            Admin::SetParameters { flags } => {
                self.model.is_mixed = true;
                let flags = flags.iter().map(String::as_str);
                self.kopia(&["repository", "set-parameters"].into_iter().chain(flags).collect::<Vec<_>>())
            }
            Admin::Reshard { widths } => {
                let (path, widths) = (self.stage.repository.display(), format!("--default-shards={widths}"));
                let path = format!("--path={path}");
                let sure = "--i-am-sure-kopia-is-not-running";
                self.kopia(&["blob", "shards", "modify", sure, &path, &widths])
            }
            Admin::ChangePassword => self.change_password(),
            Admin::StopShort => {
                let source = self.stage.source.clone();
                let tree = self.look(&source);
                let snapshot = self.stage.snapshot_in_part(&source)?;
                self.saved(snapshot.as_ref(), &tree);
                Ok(())
            }
            Admin::Policy { .. } | Admin::DeleteSnapshot { .. } | Admin::Burst { .. } => Ok(()),
        }
    }

    fn kopia(&self, args: &[&str]) -> Result<()> {
        self.stage.program(Writer::Kopia).result(args).map(drop)
    }

    fn change_password(&mut self) -> Result<()> {
        // The keys of old repositories come from the password itself.
        if !self.stage.open()?.format().enable_password_change {
            return Ok(());
        }
        let password = format!("another password {}", self.step);
        self.kopia(&["repository", "change-password", &format!("--new-password={password}")])?;
        self.stage.set_password(&password);
        Ok(())
    }

    /// Does something with one of the snapshots, if there are any.
    fn with_snapshot(
        &mut self,
        which: u64,
        work: impl FnOnce(&mut Self, &SnapshotManifest) -> Result<()>,
    ) -> Result<()> {
        let manifests = self.stage.open()?.load_manifests().map_err(|error| chain(&error))?;
        let mut listed = checks::list(&manifests)?;
        listed.sort_by_key(|snapshot| snapshot.start_time);
        match listed.len() as u64 {
            0 => Ok(()),
            count => work(self, &listed[(which % count) as usize]),
        }
    }

    /// Makes all blobs older, as if time had passed: their times are those of their files.
    fn age(&self, hours: i64) {
        let files = paths(&self.stage.repository).into_iter().filter(|path| path.is_file());
        for path in files {
            set_mtime(&path, super::tree::mtime(&path) - hours * 3_600_000_000_000);
        }
    }
}
