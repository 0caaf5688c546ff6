//! `benchmark encryption`

use super::{BlockArgs, KEY, Place, print_places};
use crate::cli::Result;
use crate::cli::context::Context;
use packhorse::crypto::{self, NONCE_LEN};
use std::hint::black_box;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// Rounds
    #[arg(long, default_value = "1000", value_name = "N")]
    repeat: usize,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let mut places = Vec::new();
    for name in crypto::ENCRYPTIONS {
        ctx.talk().line(format_args!("measuring {name}"));
        let encryptor = crypto::encryptor(name, &KEY)?;
        let bytes_per_second = args.blocks.measure(args.repeat, |block| {
            let sealed = encryptor.seal(&KEY[..16], &[0; NONCE_LEN], block);
            black_box(sealed.expect("a block is shorter than what a cipher allows"));
        });
        places.push(Place {
            columns: format!("{name:<30}"),
            options: format!("--encryption={name}"),
            bytes_per_second,
        });
    }
    print_places(ctx, &format!("{:<30}", "Encryption"), args.blocks.print_options, places)
}
