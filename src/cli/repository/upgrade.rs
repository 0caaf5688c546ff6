//! `repository upgrade`: an old repository to today's format, with a lock that keeps all other clients out.

#![expect(clippy::doc_markdown, reason = "doc comments of flags are their help, which shows no backticks")]

use super::cache_dir;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use crate::cli::units::{self, format_nanos};
use crate::cli::{Result, output::Talk};
use packhorse::base::ExtraFields;
use packhorse::format::{UpgradeLock, VERSION_NEWEST};
use packhorse::repo::{FORMAT_LIFETIME, FormatEditor, LockOutcome, OpenOptions};

const SECOND: i64 = 1_000_000_000;

/// Verbs of the group. They need KOPIA_UPGRADE_LOCK_ENABLED, as Kopia's do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Place the lock, wait until all others have noticed it, upgrade, check, and remove the lock; what was interrupted
    /// goes on where it stopped.
    Begin(Begin),
    /// Put back the format from before an upgrade that was not finished.
    Rollback(Rollback),
    /// Compare the new index with the old one.
    Validate,
}

/// Flags of `upgrade begin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Begin {
    /// How long other clients may take to notice the lock.
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    io_drain_timeout: i64,
    /// Allow a shorter time than clients are promised.
    #[arg(long, hide = true)]
    allow_unsafe_upgrade: bool,
    /// Pause between two looks at the lock.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    status_poll_interval: i64,
    /// By how much clocks may differ.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    max_permitted_clock_drift: i64,
    /// Place the lock, and leave it at that.
    #[arg(long, hide = true)]
    lock_only: bool,
    /// Remove the lock always or never; if not given, when the new index is the old one.
    #[arg(long, hide = true, value_name = "MODE", value_parser = ["always", "never"])]
    commit_mode: Option<String>,
}

/// Flags of `upgrade rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// Do it, although what the owner of the lock has written meanwhile may be lost.
    #[arg(long)]
    force: bool,
}

/// Runs a verb.
pub(super) fn run(ctx: &Context, command: &Command) -> Result<()> {
    const UPGRADING: &str = "cannot upgrade the repository";
    if !ctx.environment().allows_upgrades {
        let needed = "the variable KOPIA_UPGRADE_LOCK_ENABLED must be set to upgrade a repository";
        return Err(Failure::usage(needed));
    }
    match command {
        Command::Begin(args) => begin(ctx, args).explain(UPGRADING),
        Command::Rollback(args) => roll_back(ctx, args),
        Command::Validate => validate(ctx.talk(), &ctx.edit_format()?),
    }
}

fn begin(ctx: &Context, args: &Begin) -> Result<()> {
    args.check()?;
    let options = ctx.upgrade_options()?;
    if options.upgrade_owner.is_empty() {
        return Err(Failure::usage("an upgrade needs a name for its lock: --upgrade-owner-id"));
    }
    let mut editor = ctx.edit_format()?;
    let outcome = editor.place_upgrade_lock(&args.lock(ctx, &editor, &options))?;
    if outcome == LockOutcome::UpToDate {
        ctx.talk().line("The format of the repository is the newest already.");
        return Ok(());
    }
    cache_dir::forget_format(ctx)?;
    ctx.talk().line("The upgrade lock is in place.");
    if args.lock_only {
        return Ok(());
    }
    let finished = go_on(ctx.talk(), args, &mut editor, &options);
    cache_dir::forget_format(ctx)?;
    finished
}

/// What follows the lock.
fn go_on(talk: &Talk, args: &Begin, editor: &mut FormatEditor, options: &OpenOptions) -> Result<()> {
    if editor.has_epochs() {
        talk.line("The index is in epochs already: there is nobody to wait for.");
    } else {
        editor.wait_for_drain(options, &|left| {
            let left = left.max(0) / SECOND * SECOND;
            talk.line(format_args!("Waiting {} for all other clients ...", format_nanos(left)));
        })?;
        talk.line("All other clients must have noticed the lock. Copying the index ...");
        editor.upgrade_index(options)?;
    }
    match validate(talk, editor) {
        Err(failure) if args.commit_mode.as_deref() == Some("always") => talk.warning(failure),
        checked => checked?,
    }
    if args.commit_mode.as_deref() == Some("never") {
        talk.line("The lock stays, as --commit-mode=never asks for.");
        return Ok(());
    }
    editor.commit_upgrade(options)?;
    talk.line("The repository was upgraded.");
    Ok(())
}

fn validate(talk: &Talk, editor: &FormatEditor) -> Result<()> {
    let is_compared = editor.validate_upgrade().explain("the new index is not the old one")?;
    talk.line(if is_compared {
        "The new index says what the old one does."
    } else {
        "There is no old index to compare with."
    });
    Ok(())
}

fn roll_back(ctx: &Context, args: &Rollback) -> Result<()> {
    if !args.force {
        return Err(Failure::usage("an upgrade can only be rolled back with --force"));
    }
    let mut editor = ctx.edit_format()?;
    editor.roll_back_upgrade().explain("cannot roll back the upgrade")?;
    cache_dir::forget_format(ctx)?;
    ctx.talk().line("The upgrade was rolled back, and its lock removed.");
    Ok(())
}

impl Begin {
    fn check(&self) -> Result<()> {
        let least = i64::try_from(FORMAT_LIFETIME.as_nanos()).unwrap_or(i64::MAX);
        if self.io_drain_timeout < least && !self.allow_unsafe_upgrade {
            return Err(Failure::usage(format!(
                "--io-drain-timeout: clients may take {} to notice a lock",
                format_nanos(least)
            )));
        }
        Ok(())
    }

    fn lock(&self, ctx: &Context, editor: &FormatEditor, options: &OpenOptions) -> UpgradeLock {
        let version = editor.format().version;
        UpgradeLock {
            owner_id: options.upgrade_owner.clone(),
            creation_time: ctx.clock().now(),
            advance_notice_duration: 0,
            io_drain_timeout: self.io_drain_timeout,
            status_poll_interval: self.status_poll_interval,
            message: format!("Upgrading from format version {version} -> {VERSION_NEWEST}"),
            max_permitted_clock_drift: self.max_permitted_clock_drift,
            extra: ExtraFields::NONE,
        }
    }
}
