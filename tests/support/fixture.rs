//! Repositories written by Kopia: a tar of the folder, and what Kopia itself says is in it.

use super::world;
use flate2::read::GzDecoder;
use packhorse::base::{Clock, Secret};
use packhorse::blob::{self, ConnectionInfo, FilesystemOptions, OpenMode, Storage};
use packhorse::repo::{self, Repository};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// One fixture.
pub(crate) struct Fixture {
    /// Its name.
    pub(crate) name: String,
    /// What Kopia says is in it.
    pub(crate) facts: Value,
    tar: PathBuf,
}

impl Fixture {
    /// The folder of the fixtures that belong to this package.
    pub(crate) fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/repositories")
    }

    /// A fixture of this package.
    pub(crate) fn load(name: &str) -> Self {
        Self::load_from(&Self::folder(), name)
    }

    /// A fixture of any folder, compressed or not.
    pub(crate) fn load_from(folder: &Path, name: &str) -> Self {
        let text = read(&existing(folder, name, "json"));
        let facts = serde_json::from_slice(&text).unwrap();
        Self { name: name.to_owned(), facts, tar: existing(folder, name, "tar") }
    }

    /// Names of all fixtures in a folder.
    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let stem = |path: PathBuf| {
            let name = path.file_name()?.to_str()?;
            let stem = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".tar")?;
            Some(stem.to_owned())
        };
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.filter_map(|entry| stem(entry.unwrap().path())).collect();
        names.sort();
        names
    }

    /// Unpacks it into a folder of its own. Times of blobs matter, so they are kept.
    pub(crate) fn unpack(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let bytes = read(&self.tar);
        tar::Archive::new(bytes.as_slice()).unpack(folder.path()).unwrap();
        folder
    }

    /// The password it opens with: what its maker gave to Kopia's command line, which takes blanks off both ends.
    pub(crate) fn password(&self) -> Secret {
        Secret::from(self.facts["password"].as_str().unwrap().trim())
    }

    /// Opens its unpacked folder.
    pub(crate) fn open(&self, folder: &Path) -> Result<Repository, Box<repo::Error>> {
        let clock = world::clock();
        let storage = storage(folder, clock.clone());
        Repository::open(storage, &self.password(), world::alice(), world::environment(clock, 1))
            .map_err(Box::new)
    }
}

/// The store in a folder.
pub(crate) fn storage(folder: &Path, clock: Arc<dyn Clock>) -> Arc<dyn Storage> {
    let info = ConnectionInfo::filesystem(&FilesystemOptions::new(folder)).unwrap();
    blob::open(&info, OpenMode::Connect, clock).unwrap()
}

fn existing(folder: &Path, name: &str, kind: &str) -> PathBuf {
    let plain = folder.join(format!("{name}.{kind}"));
    if plain.exists() { plain } else { folder.join(format!("{name}.{kind}.gz")) }
}

fn read(path: &Path) -> Vec<u8> {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    if path.extension() == Some(OsStr::new("gz")) {
        GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    } else {
        file.read_to_end(&mut bytes).unwrap();
    }
    bytes
}
