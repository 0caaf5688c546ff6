//! The folder that a connection names for caches, which Kopia fills and which may hold a user's files, too.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use packhorse::cache::SUBFOLDER;
use sha2::{Digest, Sha256};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// What Kopia keeps in a cache folder.
const FOLDERS: [&str; 7] =
    ["contents", "metadata", "indexes", "index-blobs", "own-writes", "blob-list", "server-contents"];
const FILES: [&str; 2] = ["kopia.repository", "kopia.blobcfg"];
/// What this program keeps in its folder there.
const OWN_FOLDERS: [&str; 2] = ["contents", "metadata"];
/// Marks a folder as a cache.
const TAG: &str = "CACHEDIR.TAG";

/// The cache folder of a new connection, absolute: as given, else named by the repository and the connection file.
pub(crate) fn choose(
    ctx: &Context,
    given: Option<&Path>,
    unique_id: &[u8],
    config: &Path,
) -> Result<PathBuf> {
    let environment = ctx.environment();
    if let Some(given) = given.or(environment.cache_directory.as_deref()) {
        return Ok(cleaned(&environment.absolute(given)));
    }
    let base = environment.cache_dir().ok_or_else(|| {
        Failure::new("there is neither HOME nor XDG_CACHE_HOME to find a folder for caches in")
            .with_hint("give one with --cache-directory or KOPIA_CACHE_DIRECTORY")
    })?;
    let hash =
        Sha256::new().chain_update(unique_id).chain_update(config.as_os_str().as_encoded_bytes()).finalize();
    Ok(cleaned(&environment.absolute(&base)).join(&hex::encode(hash)[..16]))
}

/// `target` as seen from the folder `base`; both absolute.
pub(crate) fn relative_to(base: &Path, target: &Path) -> String {
    let (base, target) = (cleaned(base), cleaned(target));
    let common = base.components().zip(target.components()).take_while(|(a, b)| a == b).count();
    let up = base.components().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(target.components().skip(common)).collect();
    match path.to_string_lossy().into_owned() {
        empty if empty.is_empty() => ".".to_owned(),
        path => path,
    }
}

/// Without `.`, and with every `..` applied by its letters, as Kopia does.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

/// Removes the copies of the format that Kopia may have in the cache folder of this connection: they are out of date.
pub(super) fn forget_format(ctx: &Context) -> Result<()> {
    let Some(folder) = ctx.connection()?.cache_directory(&ctx.config_path()?) else { return Ok(()) };
    FILES.iter().try_for_each(|name| super::remove_if_there(&folder.join(name)))
}

/// Removes what is known to be cache from a folder that is marked as one, and the folder if nothing else is in it.
/// Failing to is no failure of the command: a cache costs room, nothing else.
pub(super) fn remove_known(folder: &Path) {
    let own = folder.join(SUBFOLDER);
    if own.join(TAG).is_file()
        && let Err(error) = std::fs::remove_dir_all(&own).or_else(unless_missing)
    {
        tracing::warn!(%error, "cannot remove the cache {}", own.display());
    }
    if !folder.join(TAG).is_file() {
        return;
    }
    let attempts = FOLDERS
        .iter()
        .map(|name| (name, std::fs::remove_dir_all(folder.join(name))))
        .chain(FILES.iter().map(|name| (name, std::fs::remove_file(folder.join(name)))));
    for (name, outcome) in attempts {
        if let Err(error) = outcome.or_else(unless_missing) {
            tracing::warn!(%error, "cannot remove {name} from the cache folder {}", folder.display());
            return;
        }
    }
    let is_empty = std::fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == TAG)));
    if is_empty {
        let removed = std::fs::remove_file(folder.join(TAG)).and_then(|()| std::fs::remove_dir(folder));
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove the cache folder {}", folder.display());
        }
    }
}

/// Empties a cache folder, or a part of it by Kopia's name, as far as it is known to be cache.
pub(crate) fn clear(folder: &Path, part: Option<&str>) -> Result<()> {
    let own = folder.join(SUBFOLDER);
    let mut known = Vec::new();
    if own.join(TAG).is_file() {
        known.extend(OWN_FOLDERS.map(|name| own.join(name)));
    }
    if folder.join(TAG).is_file() {
        known.extend(FOLDERS.map(|name| folder.join(name)));
        if part.is_none() {
            FILES.iter().try_for_each(|name| super::remove_if_there(&folder.join(name)))?;
        }
    }
    let is_meant = |path: &PathBuf| part.is_none_or(|part| path.file_name().is_some_and(|name| name == part));
    for path in known.iter().filter(|path| is_meant(path)) {
        std::fs::remove_dir_all(path)
            .or_else(unless_missing)
            .explain(format_args!("error removing cache directory {}", path.display()))?;
    }
    Ok(())
}

/// Seconds as Go writes them; none for zero.
pub(crate) fn seconds(duration: Duration) -> Option<serde_json::Number> {
    if duration.is_zero() { None } else { super::filesystem::number(duration.as_secs_f64()) }
}

fn unless_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_go_up_as_far_as_needed() {
        for (base, target, wanted) in [
            ("/a/config", "/a/cache", "../cache"),
            ("/a", "/a", "."),
            ("/a", "/a/./b/../c", "c"),
            ("/a/b/c", "/x", "../../../x"),
        ] {
            assert_eq!(relative_to(Path::new(base), Path::new(target)), wanted);
        }
    }

    #[test]
    fn only_cache_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        let make = |name: &str| {
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            packhorse::base::file::replace(&folder.join(name), b"x", 0o600).unwrap();
        };
        make("contents/p1");
        remove_known(&folder);
        assert!(folder.join("contents/p1").exists(), "not marked as a cache");
        make(TAG);
        make("foreign.txt");
        make("kopia.blobcfg");
        remove_known(&folder);
        let left: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        std::fs::remove_file(folder.join("foreign.txt")).unwrap();
        remove_known(&folder);
        assert!(!folder.exists());
    }
}
