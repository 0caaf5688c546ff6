//! `benchmark hashing`

use super::{BlockArgs, KEY, Place, print_places};
use crate::cli::Result;
use crate::cli::context::Context;
use packhorse::crypto;
use std::hint::black_box;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// Rounds
    #[arg(long, default_value = "100", value_name = "N")]
    repeat: usize,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let mut places = Vec::new();
    for name in crypto::HASHES {
        ctx.talk().line(format_args!("measuring {name}"));
        let hasher = crypto::hasher(name, &KEY)?;
        let bytes_per_second = args.blocks.measure(args.repeat, |block| {
            black_box(hasher.hash(block));
        });
        places.push(Place {
            columns: format!("{name:<20}"),
            options: format!("--block-hash={name}"),
            bytes_per_second,
        });
    }
    print_places(ctx, &format!("{:<20}", "Hash"), args.blocks.print_options, places)
}
