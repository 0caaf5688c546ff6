//! The store that a connection file leads to, with its mirror if it has one.

use super::Result;
use super::context::Context;
use super::exit::{Explain, Failure};
use packhorse::base::{ErrorClass, error_chain};
use packhorse::blob::{self, ConnectionInfo, FilesystemOptions, Mirrored, OpenMode, ReadOnly, Storage};
use packhorse::repo::ConnectionFile;
use std::path::Path;
use std::sync::Arc;

const OPENING: &str = "cannot open the repository";

/// An open store.
pub(crate) struct Store {
    /// As the repository is to use it.
    pub(crate) storage: Arc<dyn Storage>,
    /// The same, if it has a mirror.
    pub(crate) mirrored: Option<Arc<Mirrored>>,
}

impl Store {
    /// Opens the store of a connection, for changes if `write`.
    pub(crate) fn open(ctx: &Context, connection: &ConnectionFile, path: &Path, write: bool) -> Result<Self> {
        let info = connection.store(path).explain(OPENING)?;
        let limit = |storage| ctx.traffic().through(ctx, storage, connection, path).explain(OPENING);
        let primary = blob::open(info, OpenMode::Connect, Arc::clone(ctx.clock()));
        let Some(mirror) = mirror_of(ctx, connection)? else {
            return Ok(Self::plain(limit(primary.explain(OPENING)?)?, write));
        };
        let mirror = blob::open(&mirror, OpenMode::Connect, Arc::clone(ctx.clock()));
        match (primary, mirror) {
            (Ok(primary), Ok(mirror)) => Ok(Self::mirrored(ctx, limit(primary)?, limit(mirror)?, write)),
            (Ok(primary), Err(error)) => {
                warn(ctx, "the mirror cannot be opened, nothing goes there in this run", &error);
                Ok(Self::plain(limit(primary)?, write))
            }
            (Err(error), Ok(mirror)) if !write && is_out_of_reach(&error) => {
                warn(ctx, "the mirror is read instead, which may be behind", &error);
                Ok(Self::plain(limit(mirror)?, write))
            }
            (Err(error), _) => Err(error).explain(OPENING),
        }
    }

    fn plain(storage: Arc<dyn Storage>, write: bool) -> Self {
        let storage = if write { storage } else { Arc::new(ReadOnly::new(storage)) };
        Self { storage, mirrored: None }
    }

    fn mirrored(ctx: &Context, primary: Arc<dyn Storage>, mirror: Arc<dyn Storage>, write: bool) -> Self {
        let talk = Arc::clone(ctx.talk());
        let warn = Arc::new(move |text: &str| talk.warning(text));
        let mirrored = Arc::new(Mirrored::new(primary, mirror, !write, warn));
        let storage = Arc::clone(&mirrored) as Arc<dyn Storage>;
        Self { mirrored: Some(mirrored), ..Self::plain(storage, write) }
    }
}

/// The mirror of the flag, else of the variable, else of the connection file.
fn mirror_of(ctx: &Context, connection: &ConnectionFile) -> Result<Option<ConnectionInfo>> {
    let given = ctx.globals().mirror.as_deref().or(ctx.environment().mirror.as_deref());
    match given {
        Some(path) => describe(&ctx.environment().with_home(path)).map(Some),
        None => Ok(connection.mirror.clone()),
    }
}

/// A store by the path of its folder, or of a connection file that leads to it.
fn describe(path: &Path) -> Result<ConnectionInfo> {
    let unusable = || format!("cannot use the mirror {}", path.display());
    if !path.is_absolute() {
        return Err(Failure::usage(format!("the mirror {} must be an absolute path", path.display())));
    }
    if std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
        let connection = ConnectionFile::load(path).explain(unusable())?;
        return Ok(connection.store(path).explain(unusable())?.clone());
    }
    ConnectionInfo::filesystem(&FilesystemOptions::new(path)).explain(unusable())
}

fn is_out_of_reach(error: &blob::Error) -> bool {
    matches!(error.class(), ErrorClass::Unavailable | ErrorClass::NoRepository | ErrorClass::Denied)
}

fn warn(ctx: &Context, what: &str, error: &blob::Error) {
    ctx.talk().warning(format_args!("{what}: {}", error_chain(error)));
}
