//! `snapshot fix invalid-files`

use super::rewrite::{HandlingFlag, RewriteFlags, rewrite};
use crate::cli::Result;
use crate::cli::context::Context;
use packhorse::snapshot::{InvalidFiles, ObjectCheck};

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    rewrite: RewriteFlags,
    /// What becomes of files that cannot be read
    #[arg(long, value_enum, default_value_t = HandlingFlag::Stub, value_name = "HANDLING")]
    invalid_file_handling: HandlingFlag,
    /// Percentage of the files of which every byte is read
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    verify_files_percent: f64,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    rewrite(ctx, &args.rewrite, args.invalid_file_handling, |repository| {
        Ok(Box::new(InvalidFiles::new(ObjectCheck::new(repository)?, args.verify_files_percent)))
    })
}
