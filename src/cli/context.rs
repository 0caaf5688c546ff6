//! What every command gets: the resolved global flags, the world around, the streams, the repository.

use super::Result;
use super::environment::Environment;
use super::exit::{Explain, Failure, Status};
use super::globals::Globals;
use super::output::{LogLine, Output, Talk};
use super::store::Store;
use super::switches;
use super::times::Zone;
use super::traffic::Traffic;
use super::units::Sizes;
use packhorse::base::{Clock, Entropy, MemoryBudget, OsEntropy, Secret, SystemClock};
use packhorse::blob::{self, Storage};
use packhorse::cache::CacheOptions;
use packhorse::content::ClientIdentity;
use packhorse::repo::{
    self, ClientOptions, ConnectionFile, FormatEditor, OpenOptions, Repository, WriteOptions,
};
use parking_lot::{Mutex, MutexGuard};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Name of the connection file when none is given.
const DEFAULT_CONFIG: &str = "repository.config";
const OPENING: &str = "cannot open the repository";

/// What a command needs beside its own flags.
pub(crate) struct Context {
    globals: Globals,
    environment: Environment,
    zone: Zone,
    stdout: Mutex<Output>,
    talk: Arc<Talk>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    cancel: OnceLock<Arc<AtomicBool>>,
    signal: Arc<AtomicUsize>,
    traffic: Traffic,
    /// Index blobs of opened repositories that were whole once and cannot be read.
    damaged_indexes: AtomicUsize,
}

impl Context {
    /// Resolves the global flags and prepares the process: log, open files.
    pub(crate) fn new(globals: Globals, environment: Environment) -> Result<Self> {
        let level = level(&globals.log_level);
        let talk = Arc::new(Talk::new(level));
        start_log(level, &talk);
        raise_open_files();
        Ok(Self {
            zone: Zone::parse(&globals.timezone)?,
            globals,
            environment,
            stdout: Mutex::new(Output::stdout()),
            talk,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            cancel: OnceLock::new(),
            signal: Arc::new(AtomicUsize::new(0)),
            traffic: Traffic::default(),
            damaged_indexes: AtomicUsize::new(0),
        })
    }

    /// The global flags.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The world around the process.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Results go here.
    pub(crate) fn stdout(&self) -> MutexGuard<'_, Output> {
        self.stdout.lock()
    }

    /// Everything else goes here.
    pub(crate) fn talk(&self) -> &Arc<Talk> {
        &self.talk
    }

    /// The zone for printed times.
    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// How sizes are printed.
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes { base_2: self.environment.sizes_in_base_2 }
    }

    /// What goes to and from stores.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Wall-clock time.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Randomness.
    pub(crate) fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// Refuses a command that can destroy the repository, unless such are allowed.
    pub(crate) fn check_dangerous(&self) -> Result<()> {
        let given = self.globals.dangerous_commands.as_deref().map(|word| word == "enabled");
        if given.unwrap_or(self.environment.allows_dangerous_commands) {
            return Ok(());
        }
        Err(Failure::new("this command is dangerous: it can corrupt the repository and lose data")
            .with_hint("to run it all the same, set --dangerous-commands=enabled"))
    }

    /// Whether progress is to be shown: as the flag says, else if stderr is a terminal.
    pub(crate) fn shows_progress(&self) -> bool {
        self.globals.progress.unwrap_or_else(|| rustix::termios::isatty(std::io::stderr()))
    }

    /// Turns SIGINT and SIGTERM into a flag; the second signal ends the process at once. Commands that do not ask for the
    /// flag are ended by the first.
    pub(crate) fn cancel(&self) -> Result<Arc<AtomicBool>> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        if let Some(flag) = self.cancel.get() {
            return Ok(Arc::clone(flag));
        }
        let flag = Arc::new(AtomicBool::new(false));
        for (signal, status) in [(SIGINT, Status::Interrupted), (SIGTERM, Status::Terminated)] {
            // In this order: the first signal finds the flag unset and sets it, the second finds it set.
            signal_hook::flag::register_conditional_shutdown(signal, status as i32, Arc::clone(&flag))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
                .and_then(|_| {
                    signal_hook::flag::register_usize(signal, Arc::clone(&self.signal), status as usize)
                })
                .explain("cannot handle signals")?;
        }
        Ok(Arc::clone(self.cancel.get_or_init(|| flag)))
    }

    /// The status that an obeyed signal asks for.
    pub(crate) fn signal_status(&self) -> Option<Status> {
        match self.signal.load(Ordering::Relaxed) {
            130 => Some(Status::Interrupted),
            143 => Some(Status::Terminated),
            _ => None,
        }
    }

    /// Finds out, from any thread, the status of the process that a signal asks for.
    pub(crate) fn signal_probe(&self) -> impl Fn() -> i32 + Send + 'static {
        let signal = Arc::clone(&self.signal);
        move || match signal.load(Ordering::Relaxed) {
            0 => Status::Interrupted as i32,
            status => i32::try_from(status).unwrap_or(Status::Failed as i32),
        }
    }

    /// The connection file: a bare name lies in the configuration folder, anything else is a path.
    pub(crate) fn config_path(&self) -> Result<PathBuf> {
        let given = self.globals.config_file.as_ref().filter(|path| !path.as_os_str().is_empty());
        let name = given
            .or(self.environment.config_path.as_ref())
            .map_or(Path::new(DEFAULT_CONFIG), PathBuf::as_path);
        if name.components().count() > 1 || name.is_absolute() {
            return Ok(self.environment.absolute(name));
        }
        let folder = self.environment.config_dir().ok_or_else(|| {
            Failure::new("there is neither HOME nor XDG_CONFIG_HOME to find the connection file in")
                .with_hint("give a path with --config-file or KOPIA_CONFIG_PATH")
        })?;
        Ok(folder.join(name))
    }

    /// Reads the connection file.
    pub(crate) fn connection(&self) -> Result<ConnectionFile> {
        ConnectionFile::load(&self.config_path()?).map_err(|error| {
            let is_broken = matches!(error, repo::Error::BrokenConnectionFile { .. });
            let failure = Failure::from(error);
            // Nothing in the repository is damaged.
            if is_broken { failure.with_status(Status::Failed) } else { failure }
        })
    }

    /// So many threads; as many as write when `wanted` is no number of threads.
    pub(crate) fn thread_pool(&self, wanted: i64) -> Result<rayon::ThreadPool> {
        let wanted = usize::try_from(wanted).ok().filter(|threads| *threads > 0);
        rayon::ThreadPoolBuilder::new()
            .num_threads(wanted.unwrap_or_else(|| self.write_options().threads))
            .build()
            .map_err(|error| Failure::new(error.to_string()))
            .explain("cannot start threads")
    }

    /// Opens the repository that the connection file leads to.
    pub(crate) fn open_repository(&self, write: bool) -> Result<Repository> {
        self.open_connected(write, |connection, storage| self.cache(connection, storage))
    }

    /// The same without a cache, to see what is in the store.
    pub(crate) fn open_without_cache(&self, write: bool) -> Result<Repository> {
        self.open_connected(write, |_, _| Ok(None))
    }

    /// The same with a cache, if this connection uses one.
    pub(crate) fn open_with_cache(&self) -> Result<Option<Repository>> {
        let mut has_cache = false;
        let repository = self.open_connected(false, |connection, storage| {
            let cache = self.cache(connection, storage)?;
            has_cache = cache.is_some();
            Ok(cache)
        })?;
        Ok(has_cache.then_some(repository))
    }

    fn open_connected(
        &self,
        write: bool,
        cache: impl FnOnce(&ConnectionFile, &dyn Storage) -> Result<Option<CacheOptions>>,
    ) -> Result<Repository> {
        let (connection, store, password) = self.connected(write)?;
        let cache = cache(&connection, store.storage.as_ref())?;
        let options = OpenOptions { cache, ..self.open_options(Some(&connection.client))? };
        self.open_in(store, &password, self.identity(&connection), options)
    }

    /// Opens the format of that repository to change it.
    pub(crate) fn edit_format(&self) -> Result<FormatEditor> {
        let (connection, store, password) = self.connected(true)?;
        let options = self.open_options(Some(&connection.client))?;
        FormatEditor::open(store.storage, &password, self.repository_environment(), &options).explain(OPENING)
    }

    /// The store of the connected repository. The password must open the repository; the index is not read.
    pub(crate) fn open_blobs(&self, write: bool) -> Result<Arc<dyn Storage>> {
        let (connection, store, password) = self.connected(write)?;
        let options = self.open_options(Some(&connection.client))?;
        let environment = self.repository_environment();
        FormatEditor::open(Arc::clone(&store.storage), &password, environment, &options).explain(OPENING)?;
        Ok(store.storage)
    }

    /// The connection, the store it leads to, and the password.
    fn connected(&self, write: bool) -> Result<(ConnectionFile, Store, Secret)> {
        let connection = self.connection().explain(OPENING)?;
        if write && connection.client.readonly {
            return Err(repo::Error::ReadOnly.into());
        }
        let path = self.config_path()?;
        super::requests::check(self)?;
        let store = Store::open(self, &connection, &path, write)?;
        let password = self.password_to_open(&path)?;
        Ok((connection, store, password))
    }

    /// Opens, for reading, the repository that another connection file leads to.
    pub(crate) fn open_other(&self, path: &Path) -> Result<Repository> {
        let path = self.environment.absolute(path);
        let connection = ConnectionFile::load(&path)?;
        let store = Store::open(self, &connection, &path, false)?;
        let password = self.password_to_open_other(&path)?;
        let options = self.open_options(Some(&connection.client))?;
        self.open_in(store, &password, self.identity(&connection), options)
    }

    /// Opens the repository in a store that may have a mirror.
    fn open_in(
        &self,
        store: Store,
        password: &Secret,
        identity: ClientIdentity,
        options: OpenOptions,
    ) -> Result<Repository> {
        let options = OpenOptions { mirrored: store.mirrored, ..options };
        self.open_storage_with(store.storage, password, identity, &options)
    }

    /// The cache folder of a connection: that of the variable, if it is absolute, else that in the file.
    pub(crate) fn cache_folder(&self, connection: &ConnectionFile) -> Result<Option<PathBuf>> {
        let given = self.environment.cache_directory.as_ref().filter(|folder| folder.is_absolute());
        Ok(match (connection.cache_directory(&self.config_path()?), given) {
            (Some(_), Some(given)) => Some(given.clone()),
            (stored, _) => stored,
        })
    }

    /// The cache to use. A folder nearby is as fast itself.
    fn cache(&self, connection: &ConnectionFile, storage: &dyn Storage) -> Result<Option<CacheOptions>> {
        let is_useful = match self.environment.cache.as_deref() {
            Some("always") => true,
            Some("never") => false,
            _ => storage.parallelism() >= blob::REMOTE_PARALLELISM,
        };
        let (Some(caching), Some(folder)) = (&connection.caching, self.cache_folder(connection)?) else {
            return Ok(None);
        };
        Ok(if is_useful { caching.cache(folder) } else { None })
    }

    /// Opens the repository in a store.
    pub(crate) fn open_storage(
        &self,
        storage: Arc<dyn Storage>,
        password: &Secret,
        identity: ClientIdentity,
    ) -> Result<Repository> {
        self.open_storage_with(storage, password, identity, &self.open_options(None)?)
    }

    fn open_storage_with(
        &self,
        storage: Arc<dyn Storage>,
        password: &Secret,
        identity: ClientIdentity,
        options: &OpenOptions,
    ) -> Result<Repository> {
        let environment = self.repository_environment();
        let repository =
            Repository::open_with(storage, password, identity, environment, options).explain(OPENING)?;
        let damaged = repository.contents().damaged_index_blobs();
        let damaged = damaged.iter().filter(|blob| blob.was_whole()).count();
        self.damaged_indexes.fetch_add(damaged, Ordering::Relaxed);
        Ok(repository)
    }

    /// How this client takes part in upgrades.
    pub(crate) fn upgrade_options(&self) -> Result<OpenOptions> {
        self.open_options(None)
    }

    /// What keeps this client out of a repository: flags, variables, and how it is connected.
    fn open_options(&self, client: Option<&ClientOptions>) -> Result<OpenOptions> {
        let (globals, environment) = (&self.globals, &self.environment);
        let is_permissive = client.is_some_and(|client| client.permissive_cache_loading);
        if is_permissive && client.is_some_and(|client| !client.readonly) {
            return Err(Failure::new("a connection with permissive cache loading must be read-only"));
        }
        if globals.ignore_missing_required_features {
            switches::check_test_flags(environment)?;
        }
        let owner = globals.upgrade_owner_id.as_ref().or(environment.upgrade_owner_id.as_ref());
        Ok(OpenOptions {
            upgrade_owner: owner.cloned().unwrap_or_default(),
            waits_for_upgrade: !globals.upgrade_no_block.unwrap_or(environment.upgrade_no_block),
            ignores_upgrade: is_permissive,
            ignores_features: globals.ignore_missing_required_features,
            format_lifetime: client
                .and_then(|client| u64::try_from(client.format_blob_cache_duration).ok())
                .filter(|nanos| *nanos > 0)
                .map(Duration::from_nanos),
            mirrored: None,
            cache: None,
            cancel: self.cancel.get().cloned(),
        })
    }

    fn repository_environment(&self) -> repo::Environment {
        let talk = Arc::clone(&self.talk);
        repo::Environment {
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            warn: Arc::new(move |message: &str| talk.warning(message)),
        }
    }

    /// Who a connection says this client is.
    pub(crate) fn identity(&self, connection: &ConnectionFile) -> ClientIdentity {
        let or = |stored: &str, own: &str| if stored.is_empty() { own.to_owned() } else { stored.to_owned() };
        ClientIdentity {
            username: or(&connection.client.username, &self.environment.user_name),
            hostname: or(&connection.client.hostname, &self.environment.host_name),
        }
    }

    /// What a write session may use.
    pub(crate) fn write_options(&self) -> WriteOptions {
        let threads = self.globals.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            std::num::NonZeroUsize::get,
        );
        WriteOptions::new(threads, self.memory())
    }

    /// The memory budget: of the flag, else of the control group.
    pub(crate) fn memory(&self) -> MemoryBudget {
        let of_group = || {
            let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
            MemoryBudget::of_cgroup(Path::new("/sys/fs/cgroup"), &groups)
        };
        self.globals.memory_limit.or_else(of_group).map_or(MemoryBudget::UNLIMITED, MemoryBudget::of_limit)
    }

    /// Ends a command that succeeded: what was printed must have arrived. With a part of the index missing it is no
    /// success: the newest snapshot may be in that part.
    pub(crate) fn finish(&self) -> Result<()> {
        self.stdout().flush()?;
        match self.damaged_indexes.load(Ordering::Relaxed) {
            0 => Ok(()),
            damaged => Err(Failure::new(format!(
                "done without what is named by {damaged} damaged index blobs only: snapshots and files may be missing"
            ))
            .with_status(Status::Corrupt)),
        }
    }
}

/// Many directories may be open at once. A limit that cannot be raised shows when it is met.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

fn level(name: &str) -> tracing::Level {
    match name {
        "debug" => tracing::Level::DEBUG,
        "warning" => tracing::Level::WARN,
        "error" => tracing::Level::ERROR,
        _ => tracing::Level::INFO,
    }
}

fn start_log(level: tracing::Level, talk: &Arc<Talk>) {
    let talk = Arc::clone(talk);
    let subscriber = tracing_subscriber::fmt()
        // Nothing of the clients of stores: they tell of requests what must not be told.
        .with_env_filter(format!("packhorse={level}"))
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || LogLine(Arc::clone(&talk)))
        .finish();
    // Only tests set a second one.
    tracing::subscriber::set_global_default(subscriber).ok();
}
