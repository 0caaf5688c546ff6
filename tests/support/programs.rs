//! The programs under test, each with a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "a test's password";

/// The program that this package builds.
pub(crate) const PACKHORSE: &str = env!("CARGO_BIN_EXE_packhorse");

/// The executable that a variable names, if it names one.
#[expect(clippy::disallowed_methods, reason = "a test asks its own environment")]
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The real Kopia named by `PACKHORSE_TEST_KOPIA`, or `None` with a word on stderr.
pub(crate) fn kopia_executable() -> Option<PathBuf> {
    let executable = named("PACKHORSE_TEST_KOPIA");
    if executable.is_none() {
        eprintln!("skipped: PACKHORSE_TEST_KOPIA names no kopia");
    }
    executable
}

/// A program with a home, a connection and a password.
pub(crate) struct Program {
    executable: PathBuf,
    home: PathBuf,
    password: String,
    is_plain: bool,
    /// Removes a home that belongs to this program alone.
    _own_home: Option<TempDir>,
}

impl Program {
    /// The program that this package builds, in a home of its own.
    pub(crate) fn packhorse() -> Self {
        Self::in_new_home(Path::new(PACKHORSE))
    }

    /// The real Kopia in a home of its own, or `None` with a word on stderr.
    pub(crate) fn kopia() -> Option<Self> {
        kopia_executable().map(|executable| Self::in_new_home(&executable))
    }

    fn in_new_home(executable: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_owned();
        Self { _own_home: Some(home), ..Self::in_home(executable, &path) }
    }

    /// A program in a home that it may share with others: they use one connection.
    pub(crate) fn in_home(executable: &Path, home: &Path) -> Self {
        let (executable, home) = (executable.to_owned(), home.to_owned());
        Self { executable, home, password: PASSWORD.to_owned(), is_plain: false, _own_home: None }
    }

    /// The same, but what it saves has only what Kopia's entries have: for trees whose ids are compared.
    pub(crate) fn plain(self) -> Self {
        Self { is_plain: true, ..self }
    }

    /// The same with another password.
    pub(crate) fn with_password(self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self }
    }

    /// Its connection file.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.join("repository.config")
    }

    /// A command with the environment set and nothing on its input.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .args(args)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("KOPIA_CONFIG_PATH", self.config())
            .env("KOPIA_CACHE_DIRECTORY", self.home.join("cache"))
            .env("KOPIA_LOG_DIR", self.home.join("logs"))
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .env("KOPIA_PASSWORD", &self.password)
            // Kopia asks for this before it lets a user optimize its index or rewrite contents.
            .env("KOPIA_DANGEROUS_COMMANDS", "enabled")
            .env("PACKHORSE_PLAIN_ENTRIES", self.is_plain.to_string())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end, whatever it is.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs, and must succeed; returns its stdout.
    #[track_caller]
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.result(args).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Runs; its stdout, or what it said when it failed.
    pub(crate) fn result<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String, String> {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let output = self.run(&args);
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        let name = self.executable.file_name().unwrap_or_default().display();
        Err(format!("{name} {args:?} ended with {}:\n{}", output.status, text(&output.stderr)))
    }

    /// Makes a repository and connects to it.
    #[track_caller]
    pub(crate) fn create(&self, repository: &Path, extra: &[&str]) {
        let path = format!("--path={}", repository.display());
        self.ok(["repository", "create", "filesystem", &path].iter().chain(&IDENTITY).chain(extra));
    }

    /// Connects to a repository.
    #[track_caller]
    pub(crate) fn connect(&self, repository: &Path) {
        let path = format!("--path={}", repository.display());
        self.ok(["repository", "connect", "filesystem", &path].iter().chain(&IDENTITY));
    }

    /// Makes a snapshot; returns its manifest.
    #[track_caller]
    pub(crate) fn snapshot(&self, source: &Path) -> serde_json::Value {
        let json = self.ok(["snapshot", "create", "--json", &source.display().to_string()]);
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }

    /// Proves every byte of every snapshot.
    #[track_caller]
    pub(crate) fn verify(&self) {
        self.ok(["snapshot", "verify", "--verify-files-percent=100"]);
    }

    /// Restores a snapshot into a new folder.
    #[track_caller]
    pub(crate) fn restore(&self, manifest: &serde_json::Value, target: &Path) {
        self.ok(["restore", manifest["id"].as_str().unwrap(), &target.display().to_string()]);
    }
}

/// Both programs must take each other's snapshots for their own.
pub(crate) const IDENTITY: [&str; 2] = ["--override-hostname=stable", "--override-username=groom"];

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
