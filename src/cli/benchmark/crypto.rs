//! `benchmark crypto`

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
    #[arg(long, default_value = "100", value_name = "N")]
    repeat: usize,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let mut places = Vec::new();
    let pairs =
        crypto::HASHES.iter().flat_map(|hash| crypto::ENCRYPTIONS.iter().map(move |cipher| (hash, cipher)));
    for (hash, encryption) in pairs {
        ctx.talk().line(format_args!("measuring {hash} with {encryption}"));
        let (hasher, encryptor) = (crypto::hasher(hash, &KEY)?, crypto::encryptor(encryption, &KEY)?);
        let bytes_per_second = args.blocks.measure(args.repeat, |block| {
            // As a content is written: its hash is the name it is encrypted under.
            let name = hasher.hash(block);
            let sealed = encryptor.seal(name.iv(), &[0; NONCE_LEN], block);
            black_box(sealed.expect("a block is shorter than what a cipher allows"));
        });
        places.push(Place {
            columns: format!("{hash:<20} {encryption:<30}"),
            options: format!("--block-hash={hash} --encryption={encryption}"),
            bytes_per_second,
        });
    }
    let heading = format!("{:<20} {:<30}", "Hash", "Encryption");
    print_places(ctx, &heading, args.blocks.print_options, places)
}
