//! The programs under test, each with a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "a test's password";

/// A program with a home, a connection and a password.
pub(crate) struct Program {
    executable: PathBuf,
    home: TempDir,
}

impl Program {
    /// The program that this package builds.
    pub(crate) fn packhorse() -> Self {
        Self { executable: env!("CARGO_BIN_EXE_packhorse").into(), home: tempfile::tempdir().unwrap() }
    }

    /// The real Kopia named by `PACKHORSE_TEST_KOPIA`, or `None` with a word on stderr.
    #[expect(clippy::disallowed_methods, reason = "a test asks its own environment")]
    pub(crate) fn kopia() -> Option<Self> {
        let Some(executable) = std::env::var_os("PACKHORSE_TEST_KOPIA").filter(|value| !value.is_empty())
        else {
            eprintln!("skipped: PACKHORSE_TEST_KOPIA names no kopia");
            return None;
        };
        Some(Self { executable: executable.into(), home: tempfile::tempdir().unwrap() })
    }

    /// Its connection file.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("repository.config")
    }

    /// A command with the environment set and nothing on its input.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("KOPIA_CONFIG_PATH", self.config())
            .env("KOPIA_CACHE_DIRECTORY", self.home.path().join("cache"))
            .env("KOPIA_LOG_DIR", self.home.path().join("logs"))
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .env("KOPIA_PASSWORD", PASSWORD)
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
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let output = self.run(&args);
        assert!(output.status.success(), "{args:?} ended with {}:\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
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
