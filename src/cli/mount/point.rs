//! The folder that is mounted on, and whether anything can be mounted at all.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use packhorse::base::Entropy;
use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const DEVICE: &str = "/dev/fuse";

/// Says early and clearly why nothing can be mounted.
pub(super) fn check_device() -> Result<()> {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) => {
            let hint = match error.kind() {
                ErrorKind::NotFound => "load the kernel module `fuse`, or give the container the device",
                _ => "the container or the user must be allowed to use the device",
            };
            Err(Failure::from(error)
                .within(format!("cannot mount: there is no use of {DEVICE}"))
                .with_hint(hint))
        }
    }
}

/// A folder to mount on; one that was made for it goes with this value.
pub(super) struct Point {
    path: PathBuf,
    is_temporary: bool,
}

impl Point {
    /// The folder of a name, `*` for a new one.
    pub(super) fn prepare(ctx: &Context, name: &str, may_have_files: bool) -> Result<Self> {
        if name == "*" {
            return Self::create(ctx);
        }
        let given = ctx.environment().absolute(Path::new(name));
        let path = given.canonicalize().explain(format_args!("cannot mount on {}", given.display()))?;
        let mut members =
            std::fs::read_dir(&path).explain(format_args!("cannot mount on {}", path.display()))?;
        if !may_have_files && members.next().is_some() {
            return Err(Failure::new(format!("cannot mount on {}: it is not empty", path.display()))
                .with_hint("--fuse-allow-non-empty-mount hides its files meanwhile"));
        }
        Ok(Self { path, is_temporary: false })
    }

    fn create(ctx: &Context) -> Result<Self> {
        let name = hex::encode(<dyn Entropy>::bytes::<8>(ctx.entropy().as_ref()));
        let path = ctx.environment().temp_dir.join(format!("packhorse-mount{name}"));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .explain(format_args!("cannot create {}", path.display()))?;
        Ok(Self { path, is_temporary: true })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.is_temporary
    }
}

impl Drop for Point {
    /// Never more than the empty folder.
    fn drop(&mut self) {
        if self.is_temporary {
            std::fs::remove_dir(&self.path).ok();
        }
    }
}
