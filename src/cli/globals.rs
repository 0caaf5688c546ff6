//! Flags that every command takes.

#![expect(clippy::doc_markdown, reason = "doc comments of flags are their help, which shows no backticks")]

use super::units;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::PathBuf;

const HEADING: &str = "Global options";

/// Global flags that mean something here.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = HEADING)]
#[expect(clippy::struct_excessive_bools, reason = "they are the switches of the command line")]
pub(crate) struct Globals {
    /// Connection file; a bare name is looked up in the configuration folder [env: KOPIA_CONFIG_PATH]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Password of the repository; a file or the variable keeps it out of process listings [env: KOPIA_PASSWORD]
    #[arg(short, long, global = true)]
    pub(crate) password: Option<String>,
    /// File that holds the password; one line feed at its end is left out
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "password")]
    pub(crate) password_file: Option<PathBuf>,
    /// Keep the password beside the connection file after a connect; on unless --no-persist-credentials
    /// [env: KOPIA_PERSIST_CREDENTIALS_ON_CONNECT]
    #[arg(long, global = true, num_args = 0, default_missing_value = "true")]
    pub(crate) persist_credentials: Option<bool>,
    /// Show progress; by default if stderr is a terminal
    #[arg(long, global = true, num_args = 0, default_missing_value = "true")]
    pub(crate) progress: Option<bool>,
    /// Report progress as lines of JSON on stderr
    #[arg(long, global = true)]
    pub(crate) progress_json: bool,
    /// Time between two updates of the progress
    #[arg(long, global = true, hide = true, value_parser = units::parse_duration, default_value = "300ms")]
    pub(crate) progress_update_interval: std::time::Duration,
    /// How much is logged on stderr
    #[arg(long, global = true, default_value = "info", value_name = "LEVEL",
          value_parser = PossibleValuesParser::new(["debug", "info", "warning", "error"]))]
    pub(crate) log_level: String,
    /// Zone of the times printed: local, utc, original, or an IANA name
    #[arg(long, global = true, hide = true, default_value = "local", value_name = "ZONE")]
    pub(crate) timezone: String,
    /// Memory this process may use, such as 128MiB; by default the limit of its control group
    #[arg(long, global = true, value_name = "SIZE", value_parser = units::parse_size)]
    pub(crate) memory_limit: Option<u64>,
    /// Threads that hash, compress and encrypt; by default the number of processors
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Second copy of the repository to write, too: a folder, or a connection file that leads to it
    /// [env: PACKHORSE_MIRROR]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) mirror: Option<PathBuf>,
    /// Bytes to put into the store per second, instead of the limit of the connection; 0 for any number
    #[arg(long, global = true, value_name = "SIZE", value_parser = units::parse_size)]
    pub(crate) limit_upload: Option<u64>,
    /// Bytes to read from the store per second, instead of the limit of the connection; 0 for any number
    #[arg(long, global = true, value_name = "SIZE", value_parser = units::parse_size)]
    pub(crate) limit_download: Option<u64>,
    /// Requests of class A (puts, listings) that a month may have; beyond that there is a warning
    /// [env: PACKHORSE_REQUEST_BUDGET_CLASS_A]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) request_budget_class_a: Option<u64>,
    /// Requests of class B (reads) that a month may have; beyond that there is a warning
    /// [env: PACKHORSE_REQUEST_BUDGET_CLASS_B]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) request_budget_class_b: Option<u64>,
    /// Refuse to run when the month's budget of requests is used up [env: PACKHORSE_REQUEST_BUDGET_ENFORCE]
    #[arg(long, global = true)]
    pub(crate) request_budget_enforce: bool,
    /// Say how many requests the run cost, also where they cost nothing
    #[arg(long, global = true)]
    pub(crate) request_counts: bool,
    /// Name of this client in an upgrade of the repository's format [env: KOPIA_REPO_UPGRADE_OWNER_ID]
    #[arg(long, global = true, hide = true, value_name = "NAME")]
    pub(crate) upgrade_owner_id: Option<String>,
    /// Fail instead of waiting while another client upgrades the repository [env: KOPIA_REPO_UPGRADE_NO_BLOCK]
    #[arg(long, global = true, hide = true, num_args = 0, default_missing_value = "true")]
    pub(crate) upgrade_no_block: Option<bool>,
    /// `enabled` allows commands that can destroy a repository [env: KOPIA_DANGEROUS_COMMANDS]
    #[arg(long, global = true, hide = true, value_name = "WORD")]
    pub(crate) dangerous_commands: Option<String>,
    /// For tests: open a repository that needs unknown features [needs KOPIA_TESTONLY_FLAGS]
    #[arg(long, global = true, hide = true)]
    pub(crate) ignore_missing_required_features: bool,
    /// Show help of all commands and flags, including hidden ones
    #[arg(long, global = true)]
    pub(crate) help_full: bool,
    /// Flags of Kopia without a meaning here.
    #[command(flatten)]
    _ignored: Ignored,
}

/// What a flag without effect takes.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    Text,
    Duration,
    Number,
    OneOf(&'static [&'static str]),
}

const LEVELS: Takes = Takes::OneOf(&["debug", "info", "warning", "error"]);
const METRICS: Takes = Takes::OneOf(&[
    "text",
    "proto-text",
    "proto-delim",
    "proto-compact",
    "open-metrics",
    "open-metrics-0.0.1",
]);

/// Kopia's global flags that scripts may give and that change nothing here: this program keeps no log files, checks for
/// no updates, sends no metrics, uses no keyring and runs no maintenance.
const IGNORED: &[(&str, Takes)] = &[
    ("use-keyring", Takes::Nothing),
    ("progress-estimation-type", Takes::OneOf(&["classic", "rough", "adaptive"])),
    ("adaptive-estimation-threshold", Takes::Number),
    ("initial-update-check-delay", Takes::Duration),
    ("update-check-interval", Takes::Duration),
    ("update-available-notify-interval", Takes::Duration),
    ("auto-maintenance", Takes::Nothing),
    ("trace-storage", Takes::Nothing),
    ("disable-repository-log", Takes::Nothing),
    ("track-releasable", Takes::Text),
    ("error-notifications", Takes::OneOf(&["always", "never", "non-interactive"])),
    ("log-dir", Takes::Text),
    ("file-log-level", LEVELS),
    ("log-file", Takes::Text),
    ("content-log-file", Takes::Text),
    ("disable-file-logging", Takes::Nothing),
    ("disable-content-log", Takes::Nothing),
    ("log-dir-max-files", Takes::Number),
    ("log-dir-max-age", Takes::Duration),
    ("log-dir-max-total-size-mb", Takes::Number),
    ("max-log-file-segment-size", Takes::Number),
    ("wait-for-log-sweep", Takes::Nothing),
    ("content-log-dir-max-files", Takes::Number),
    ("content-log-dir-max-age", Takes::Duration),
    ("content-log-dir-max-total-size-mb", Takes::Number),
    ("json-log-console", Takes::Nothing),
    ("json-log-file", Takes::Nothing),
    ("file-log-local-tz", Takes::Nothing),
    ("force-color", Takes::Nothing),
    ("disable-color", Takes::Nothing),
    ("console-timestamps", Takes::Nothing),
    ("dump-allocator-stats", Takes::Nothing),
    ("metrics-listen-addr", Takes::Text),
    ("enable-pprof", Takes::Nothing),
    ("metrics-push-addr", Takes::Text),
    ("metrics-push-interval", Takes::Duration),
    ("metrics-push-job", Takes::Text),
    ("metrics-push-grouping", Takes::Text),
    ("metrics-push-username", Takes::Text),
    ("metrics-push-password", Takes::Text),
    ("metrics-push-format", METRICS),
    ("otlp-trace", Takes::Nothing),
    ("diagnostics-output-directory", Takes::Text),
    ("metrics-store-on-exit", Takes::Nothing),
    ("profile-store-on-exit", Takes::Nothing),
    ("profile-go-gc-before-dump", Takes::Nothing),
    ("profile-cpu", Takes::Nothing),
    ("profile-blocking-rate", Takes::Number),
    ("profile-memory-rate", Takes::Number),
    ("profile-mutex-fraction", Takes::Number),
];

/// Accepts [`IGNORED`].
#[derive(Debug)]
struct Ignored;

impl clap::FromArgMatches for Ignored {
    fn from_arg_matches(_matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _matches: &ArgMatches) -> Result<(), clap::Error> {
        Ok(())
    }
}

impl clap::Args for Ignored {
    fn augment_args(command: Command) -> Command {
        command.args(IGNORED.iter().map(|(name, takes)| {
            let arg = Arg::new(*name)
                .long(*name)
                .global(true)
                .hide(true)
                .help("Accepted for the sake of Kopia's scripts; without effect");
            match takes {
                Takes::Nothing => arg.action(ArgAction::SetTrue),
                Takes::Text => arg.action(ArgAction::Append),
                Takes::Duration => arg.value_parser(units::parse_duration),
                Takes::Number => arg.value_parser(units::parse_number).allow_negative_numbers(true),
                Takes::OneOf(values) => arg.value_parser(PossibleValuesParser::new(*values)),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
