//! Who writes: this package as a library or as a program, and Kopia, all over one connection.

use super::draw::{Parameters, Shot, Writer};
use crate::support::chain;
use crate::support::fixture::storage;
use crate::support::programs::{IDENTITY, PACKHORSE, PASSWORD, Program};
use crate::support::trees::{Dice, write};
use crate::support::world;
use jiff::tz::TimeZone;
use packhorse::base::{Clock, Counters, MemoryBudget, OsEntropy, SystemClock};
use packhorse::content::{ClientIdentity, Scratch};
use packhorse::format::{IdPrefix, MAX_PACK_SIZE_DEFAULT, NewFormat};
use packhorse::object::ObjectOptions;
use packhorse::policy::{self, Policy, PolicyStore, RetentionCandidate, RetentionPolicy, SourceInfo};
use packhorse::repo::{
    self, CreateOptions, Environment, MaintenanceParameters, Repository, RepositoryWriter, WriteOptions,
};
use packhorse::snapshot::{Catalog, SnapshotManifest, SourceFilter, UploadOptions, upload};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a step has failed with.
pub(super) type Result<T, E = String> = std::result::Result<T, E>;

/// The Kopias there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Executables {
    pub(super) kopia: Option<PathBuf>,
    pub(super) older: Option<PathBuf>,
}

/// A repository, a source, and those who work on both.
pub(super) struct Stage {
    pub(super) repository: PathBuf,
    pub(super) source: PathBuf,
    home: PathBuf,
    executables: Executables,
    password: String,
    threads: usize,
    /// Whether the program writes entries as Kopia does.
    pub(super) is_plain: bool,
}

impl Stage {
    /// A stage in a folder that is there.
    pub(super) fn new(base: &Path, executables: &Executables, threads: usize, is_plain: bool) -> Self {
        let (repository, source, home) = (base.join("repository"), base.join("source"), base.join("home"));
        std::fs::create_dir(&home).unwrap();
        std::fs::create_dir(&repository).unwrap();
        Self {
            repository,
            source,
            home,
            executables: executables.clone(),
            password: PASSWORD.to_owned(),
            threads,
            is_plain,
        }
    }

    pub(super) fn set_password(&mut self, password: &str) {
        password.clone_into(&mut self.password);
    }

    pub(super) fn has_kopia(&self) -> bool {
        self.executables.kopia.is_some()
    }

    /// Who plays the part of a writer that is not there.
    pub(super) fn stand_in(&self, writer: Writer) -> Writer {
        match writer {
            Writer::OlderKopia if self.executables.older.is_none() => self.stand_in(Writer::Kopia),
            Writer::Kopia if !self.has_kopia() => Writer::Library,
            other => other,
        }
    }

    /// The command line of a writer; the library's is that of the program around it.
    pub(super) fn program(&self, writer: Writer) -> Program {
        let Executables { kopia, older } = &self.executables;
        let executable = match self.stand_in(writer) {
            Writer::Library | Writer::Binary => Path::new(PACKHORSE),
            Writer::Kopia => kopia.as_deref().expect("stood in for"),
            Writer::OlderKopia => older.as_deref().expect("stood in for"),
        };
        let program = Program::in_home(executable, &self.home).with_password(&self.password);
        if self.is_plain { program.plain() } else { program }
    }

    /// Makes the repository and the connection that everybody uses.
    pub(super) fn create(&self, parameters: &Parameters) -> Result<()> {
        if let Some(layout) = parameters.layout {
            write(&self.repository.join(".shards"), format!("{layout}\n").as_bytes());
        }
        let creator = self.stand_in(parameters.creator);
        if creator == Writer::Library {
            self.create_by_library(parameters)?;
            let connecting = if self.has_kopia() { Writer::Kopia } else { Writer::Binary };
            self.connect(connecting, "connect", &[])?;
        } else {
            self.connect(creator, "create", &create_flags(parameters))?;
        }
        if !parameters.changes.is_empty() && self.has_kopia() {
            let flags = parameters.changes.iter().map(String::as_str);
            self.program(Writer::Kopia).result(["repository", "set-parameters"].into_iter().chain(flags))?;
        }
        if !parameters.policy.is_empty() {
            let flags = parameters.policy.iter().map(String::as_str);
            self.program(creator).result(["policy", "set", "--global"].into_iter().chain(flags))?;
        }
        Ok(())
    }

    /// Kopia must not reuse listings or the format: others have written since.
    fn connect(&self, writer: Writer, verb: &str, flags: &[String]) -> Result<()> {
        let path = format!("--path={}", self.repository.display());
        let fixed = ["repository", verb, "filesystem", &path, "--disable-repository-format-cache"];
        let flags = flags.iter().map(String::as_str);
        let args = fixed.into_iter().chain(IDENTITY).chain(flags);
        self.program(writer).result(args.chain(["--max-list-cache-duration=0s"]))?;
        Ok(())
    }

    fn create_by_library(&self, parameters: &Parameters) -> Result<()> {
        let store = storage(&self.repository, Arc::new(SystemClock));
        let has_ecc = parameters.ecc_percent > 0;
        let format = NewFormat {
            version: parameters.version,
            hash: parameters.hash.to_owned(),
            encryption: parameters.encryption.to_owned(),
            ecc: if has_ecc { "REED-SOLOMON-CRC32".to_owned() } else { String::new() },
            ecc_overhead_percent: parameters.ecc_percent,
            splitter: parameters.splitter.to_owned(),
            max_pack_size: MAX_PACK_SIZE_DEFAULT,
        };
        let key_derivation = parameters.key_derivation.to_owned();
        let options = CreateOptions { format, key_derivation, ..CreateOptions::default() };
        let password = self.password.as_str().into();
        repo::create(store.as_ref(), &password, &options, &OsEntropy).map_err(|error| chain(&error))?;
        self.write(|writer| {
            Policy::built_in().save(&SourceInfo::default(), writer).map_err(|error| chain(&error))?;
            MaintenanceParameters::ensure(writer.repository(), writer);
            Ok(())
        })
    }

    /// Opens the repository by the library.
    pub(super) fn open(&self) -> Result<Repository> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = storage(&self.repository, clock.clone());
        let identity = ClientIdentity { username: "groom".to_owned(), hostname: "stable".to_owned() };
        let environment = Environment { clock, entropy: Arc::new(OsEntropy), warn: Arc::new(|_| {}) };
        let password = self.password.as_str().into();
        Repository::open(store, &password, identity, environment).map_err(|error| chain(&error))
    }

    /// A write session of the library.
    fn write<T>(&self, work: impl FnOnce(&mut RepositoryWriter<'_>) -> Result<T>) -> Result<T> {
        let repository = self.open()?;
        let options = WriteOptions::new(self.threads, MemoryBudget::MINIMUM);
        let mut writer = repository.begin(&options).map_err(|error| chain(&error))?;
        let result = work(&mut writer)?;
        writer.flush().map_err(|error| chain(&error))?;
        Ok(result)
    }

    /// Makes a snapshot; `None` if the policy wants none of what has not changed.
    pub(super) fn snapshot(&self, path: &Path, shot: Shot) -> Result<Option<SnapshotManifest>> {
        let writer = self.stand_in(shot.writer);
        if writer == Writer::Library {
            return self.write(|writer| snapshot_by_library(writer, path, shot.force_hash));
        }
        let mut args: Vec<OsString> =
            ["snapshot", "create", "--json", "--json-verbose"].map(OsString::from).into();
        args.push(path.into());
        if shot.force_hash {
            args.push("--force-hash=100".into());
        }
        if shot.is_labelled {
            args.extend(["--description=<drawn> \u{e9}", "--tags=kind:drawn"].map(OsString::from));
        }
        snapshot_of(&self.program(writer).result(&args)?)
    }

    /// Makes a snapshot by Kopia that ends after a MiB.
    pub(super) fn snapshot_in_part(&self, path: &Path) -> Result<Option<SnapshotManifest>> {
        let path = path.display().to_string();
        let args = ["snapshot", "create", "--json", "--json-verbose", "--upload-limit-mb=1", &path];
        snapshot_of(&self.program(Writer::Kopia).result(args)?)
    }

    /// Many sessions with a content each that no snapshot needs.
    pub(super) fn burst(&self, sessions: u64, seed: u64) -> Result<()> {
        let mut dice = Dice::new(seed);
        self.write(|writer| {
            for _ in 0..sessions {
                let options = ObjectOptions {
                    prefix: IdPrefix::DIRECTORY,
                    compressor: None,
                    metadata_compressor: None,
                };
                let len = dice.between(1, 2000) as usize;
                let mut bytes = dice.bytes(len);
                let written = writer.objects().write(&mut bytes, &options, &mut Scratch::default());
                written.map_err(|error| chain(&error))?;
                writer.flush().map_err(|error| chain(&error))?;
            }
            Ok(())
        })
    }
}

/// What `snapshot create` has printed: nothing, if it saved nothing.
fn snapshot_of(json: &str) -> Result<Option<SnapshotManifest>> {
    if json.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(json).map(Some).map_err(|error| format!("{error} in {json}"))
}

/// Flags of `repository create`, which are the same for both programs.
fn create_flags(parameters: &Parameters) -> Vec<String> {
    vec![
        format!("--format-version={}", parameters.version),
        format!("--block-hash={}", parameters.hash),
        format!("--encryption={}", parameters.encryption),
        format!("--object-splitter={}", parameters.splitter),
        format!("--ecc-overhead-percent={}", parameters.ecc_percent),
        format!("--format-block-key-derivation-algorithm={}", parameters.key_derivation),
    ]
}

/// The source that a path is for everybody here.
pub(super) fn source_of(path: &Path) -> SourceInfo {
    SourceInfo::new("groom", "stable", path.to_str().expect("targets have Unicode names"))
}

/// What the program does for `snapshot create`.
fn snapshot_by_library(
    writer: &mut RepositoryWriter<'_>,
    path: &Path,
    force_hash: bool,
) -> Result<Option<SnapshotManifest>> {
    let told = |error: &dyn std::error::Error| chain(error);
    let source = source_of(path);
    let began = SystemClock.now();
    writer.objects().contents().adopt_abandoned_packs().map_err(|error| told(&error))?;
    let policies = PolicyStore::new(writer.manifests()).tree(&source).map_err(|error| told(&error))?;
    let previous = Catalog::new(writer.manifests()).previous(&source, None).map_err(|error| told(&error))?;
    let force_hash_percent = if force_hash { 100.0 } else { 0.0 };
    let options = UploadOptions { force_hash_percent, ..UploadOptions::default() };
    let uploaded = upload(writer, path, &policies, &previous, &Counters::default(), &options)
        .map_err(|error| told(&error))?;
    let mut snapshot = world::manifest(source.clone(), &uploaded, began, SystemClock.now());
    let retention = &policies.policy().retention;
    let root = |snapshot: &SnapshotManifest| snapshot.root_entry.as_ref().map(|entry| entry.obj);
    let is_same = previous.first().is_some_and(|previous| root(previous) == root(&snapshot));
    if retention.ignore_identical_snapshots == Some(true) && is_same {
        return Ok(None);
    }
    snapshot.save(writer).map_err(|error| told(&error))?;
    apply_retention(writer, &source, retention)?;
    let repository = writer.repository();
    MaintenanceParameters::ensure(repository, writer);
    Ok(Some(snapshot))
}

fn apply_retention(
    writer: &mut RepositoryWriter<'_>,
    source: &SourceInfo,
    retention: &RetentionPolicy,
) -> Result<()> {
    let all = Catalog::new(writer.manifests()).list(&SourceFilter::from(source));
    let all = all.map_err(|error| chain(&error))?;
    let candidate = |snapshot: &SnapshotManifest| RetentionCandidate {
        start: snapshot.start_time,
        end: snapshot.end_time,
        incomplete: !snapshot.is_complete(),
        pinned: !snapshot.pins.is_empty(),
    };
    let candidates: Vec<_> = all.iter().map(candidate).collect();
    for position in policy::expired(&candidates, retention, &TimeZone::UTC) {
        writer.delete_manifest(&all[position].id);
    }
    Ok(())
}
