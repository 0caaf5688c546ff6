//! All rules that hold in a directory.
//!
//! Source: kopia `fs/ignorefs/ignorefs.go`.

use super::{Pattern, file};
use crate::source::{Directory, Listed, Names, Result};
use std::io::Read;
use std::sync::Arc;

/// What the policy of a directory says of the files to leave out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IgnorePolicy {
    /// Wildcard rules, in order.
    pub ignore: Vec<String>,
    /// Names of files that hold more rules; replaces the names in force above.
    pub ignore_files: Vec<String>,
    /// Larger files are left out; bytes, 0 to keep the limit in force above.
    pub max_file_size: i64,
    /// Whether mount points are left out; never inherited from above.
    pub one_file_system: bool,
}

/// The rules in force in a directory. Directories without rules of their own share their parent's.
#[derive(Debug, Clone, Default)]
pub struct IgnoreContext {
    /// From the root inwards, one for each directory that had a policy or an ignore file.
    levels: Vec<Arc<[Pattern]>>,
    /// Whether any level holds a rule; without one, names need no look.
    has_rules: bool,
    ignore_files: Arc<[String]>,
    max_file_size: i64,
    one_file_system: bool,
}

impl IgnoreContext {
    /// The context around a walk: no rules, no ignore files. The root directory [enters](Self::enter) it.
    pub fn root() -> Arc<Self> {
        Arc::default()
    }

    /// The context of a directory below one with the context `parent`.
    ///
    /// `names` are the directory's, `path` its path from the root (`""` for the root, else `/…`), `defined` the
    /// policy defined for this very directory; the root of a source always has one.
    ///
    /// # Errors
    /// [`Error::Pattern`](crate::source::Error::Pattern), or what reading an ignore file says: the directory must then
    /// count as unreadable.
    pub fn enter(
        parent: &Arc<Self>,
        directory: &Directory,
        names: &Names,
        path: &str,
        defined: Option<&IgnorePolicy>,
    ) -> Result<Arc<Self>> {
        Self::enter_with(parent, path, defined, |name| file::open(directory, names, name))
    }

    /// The same for a directory that is no live one: `open` opens an ignore file of it, if there is one.
    ///
    /// # Errors
    /// Those of [`IgnoreContext::enter`].
    pub fn enter_with<R: Read>(
        parent: &Arc<Self>,
        path: &str,
        defined: Option<&IgnorePolicy>,
        mut open: impl FnMut(&str) -> Result<Option<R>>,
    ) -> Result<Arc<Self>> {
        let names = defined.map_or(&*parent.ignore_files, |policy| &policy.ignore_files);
        let mut files = Vec::new();
        for name in names {
            files.extend(open(name)?.map(|file| (name, file)));
        }
        if files.is_empty() && defined.is_none() {
            return Ok(Arc::clone(parent));
        }
        let mut context = Self::clone(parent);
        let mut patterns = Vec::new();
        if let Some(policy) = defined {
            context.apply(policy, path, &mut patterns)?;
        }
        for (name, file) in files {
            file::read(file, name, path, &mut patterns)?;
        }
        context.has_rules |= !patterns.is_empty();
        context.levels.push(patterns.into());
        Ok(Arc::new(context))
    }

    fn apply(&mut self, policy: &IgnorePolicy, path: &str, patterns: &mut Vec<Pattern>) -> Result<()> {
        self.ignore_files = policy.ignore_files.as_slice().into();
        if policy.max_file_size != 0 {
            self.max_file_size = policy.max_file_size;
        }
        self.one_file_system = policy.one_file_system;
        for rule in &policy.ignore {
            patterns.push(Pattern::new(rule.as_bytes(), path)?);
        }
        Ok(())
    }

    /// Whether a member of the directory is saved. `path` is its path from the root (`/…`, bad bytes replaced),
    /// `directory_device` the device of the directory itself.
    ///
    /// `on_excluded` is called once for every level of rules that leaves it out, as Kopia counts: one file can count
    /// several times, and files left out for size or device do not count at all.
    pub fn includes(
        &self,
        path: &str,
        listed: &Listed,
        directory_device: u64,
        on_excluded: &mut dyn FnMut(&Listed),
    ) -> bool {
        if self.has_rules && self.excludes_name(path, listed, on_excluded) {
            return false;
        }
        // What could not be stat'ed has neither size nor device.
        let (size, device) = listed.entry().map_or((0, 0), |entry| (entry.size, entry.device));
        let too_large = u64::try_from(self.max_file_size).is_ok_and(|most| most > 0 && size > most);
        let elsewhere = self.one_file_system && device != directory_device;
        !too_large && !elsewhere
    }

    fn excludes_name(&self, path: &str, listed: &Listed, on_excluded: &mut dyn FnMut(&Listed)) -> bool {
        let is_directory = listed.is_directory();
        let mut excluded = false;
        for level in &self.levels {
            for pattern in level.iter() {
                // Only a negated rule can bring something back, and only the others can leave it out.
                if excluded == pattern.is_negated() {
                    excluded = pattern.excludes(path, is_directory);
                }
            }
            if excluded {
                on_excluded(listed);
            }
        }
        excluded
    }
}
