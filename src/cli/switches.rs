//! The finishing of the parser: boolean flags as Kopia has them, `--x` and `--no-x`, never with a value.
//!
//! Declare `x: bool` for a switch that is off by default, and `x: Option<bool>` with
//! `#[arg(long, num_args = 0, default_missing_value = "true")]` where "not given" means something else. The `--no-x`
//! forms are added to the finished command, so that no declaration needs two fields.

use super::Result;
use super::environment::Environment;
use super::exit::Failure;
use clap::builder::ArgPredicate;
use clap::{Arg, ArgAction, Command, Id};

/// Makes a group without its verb an error of one line instead of a page of help.
pub(crate) fn with_terse_groups(command: Command) -> Command {
    let is_root = command.get_name() == "packhorse";
    let is_group = command.has_subcommands() && !is_root;
    let command = command.arg_required_else_help(false).subcommand_required(is_group);
    command.mut_subcommands(with_terse_groups)
}

/// Adds `--no-x` beside every switch `--x` of the command and its subcommands.
pub(crate) fn with_negations(mut command: Command) -> Command {
    let switches: Vec<(Id, String, bool)> = command
        .get_arguments()
        .filter(|arg| is_switch(arg))
        .filter_map(|arg| {
            Some((arg.get_id().clone(), format!("no-{}", arg.get_long()?), arg.is_global_set()))
        })
        .collect();
    for (id, negative, is_global) in switches {
        // The parser keeps its names for the whole life of the process, and is built once or twice in it.
        let negative: &'static str = negative.leak();
        let opposite = Arg::new(negative)
            .long(negative)
            .action(ArgAction::SetTrue)
            .overrides_with(id.clone())
            .global(is_global)
            .hide(true);
        command = command.mut_arg(id, |arg| negatable(arg, negative)).arg(opposite);
    }
    command.mut_subcommands(with_negations)
}

fn negatable(arg: Arg, negative: &'static str) -> Arg {
    let is_plain = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = arg.overrides_with(negative);
    if is_plain { arg } else { arg.default_value_if(negative, ArgPredicate::Equals("true".into()), "false") }
}

/// Kopia's flags for tests make no sense without the variable that allows them.
pub(crate) fn check_test_flags(environment: &Environment) -> Result<()> {
    if environment.allows_test_flags {
        return Ok(());
    }
    Err(Failure::usage("this flag is for tests, and needs the variable KOPIA_TESTONLY_FLAGS"))
}

/// The same command with nothing hidden.
pub(crate) fn unhidden(command: Command) -> Command {
    command.mut_args(|arg| arg.hide(false)).mut_subcommands(unhidden)
}

fn is_switch(arg: &Arg) -> bool {
    let takes_nothing = matches!(arg.get_action(), ArgAction::SetTrue)
        || (matches!(arg.get_action(), ArgAction::Set)
            && arg.get_num_args().is_some_and(|range| range.max_values() == 0));
    takes_nothing && arg.get_long().is_some_and(|long| !long.starts_with("no-"))
}
