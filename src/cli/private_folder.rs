//! A folder for a moment, for this user's eyes only.

use super::Result;
use super::context::Context;
use super::exit::Explain;
use packhorse::base::Entropy;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder that only this user can look into, and that goes with this value.
pub(crate) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Creates it where short-lived files go.
    pub(crate) fn create(ctx: &Context) -> Result<Self> {
        let name = hex::encode(<dyn Entropy>::bytes::<8>(ctx.entropy().as_ref()));
        let path = ctx.environment().temp_dir.join(format!("packhorse-{name}"));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .explain(format_args!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // What stays behind is readable to nobody else.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
