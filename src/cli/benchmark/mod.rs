//! `benchmark`: how fast the building blocks are on this machine, in the order and the columns of Kopia's command, so
//! that the two can be laid side by side.

mod compression;
mod crypto;
mod encryption;
mod hashing;
mod splitter;

use super::Result;
use super::context::Context;
use super::units;
use packhorse::base::{Entropy, SeededEntropy, Stopwatch};
use std::num::NonZeroUsize;

const LINE: &str = "-----------------------------------------------------------------";
/// Keys of no repository.
const KEY: [u8; 32] = [0x5a; 32];

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Measure compressors on a file.
    Compression(compression::Args),
    /// Measure every hash with every encryption.
    Crypto(crypto::Args),
    /// Measure the encryptions.
    Encryption(encryption::Args),
    /// Measure the hashes.
    Hashing(hashing::Args),
    /// Measure the splitters on random data.
    Splitter(splitter::Args),
}

/// Runs a verb.
pub(crate) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Compression(args) => compression::run(ctx, args),
        Command::Crypto(args) => crypto::run(ctx, args),
        Command::Encryption(args) => encryption::run(ctx, args),
        Command::Hashing(args) => hashing::run(ctx, args),
        Command::Splitter(args) => splitter::run(ctx, args),
    }
}

/// What the measurements of blocks have in common.
#[derive(Debug, clap::Args)]
struct BlockArgs {
    /// Size of a block
    #[arg(long, default_value = "1MB", value_parser = parse_block_size, value_name = "SIZE")]
    block_size: usize,
    /// Threads that work at once
    #[arg(long, default_value = "1", value_name = "N")]
    parallel: NonZeroUsize,
    /// Show the flags with which a repository is created so
    #[arg(long)]
    print_options: bool,
    /// Without effect: no deprecated algorithms are left
    #[arg(long, hide = true)]
    deprecated: bool,
}

impl BlockArgs {
    /// The same bytes in every run.
    fn block(&self) -> Vec<u8> {
        let mut block = vec![0; self.block_size];
        SeededEntropy::new(1).fill(&mut block);
        block
    }

    /// Measures `work` on one block in each of `repeat` rounds in each thread.
    fn measure(&self, repeat: usize, work: impl Fn(&mut Vec<u8>) + Sync) -> u64 {
        let block = self.block();
        measure(self.parallel, repeat, self.block_size, || {
            let mut block = block.clone();
            let work = &work;
            move || work(&mut block)
        })
    }
}

/// Sizes of benchmarks count in 1024, whatever their unit says.
fn parse_block_size(text: &str) -> std::result::Result<usize, String> {
    let text = match text.strip_suffix('B') {
        Some(rest) if rest.ends_with(['K', 'M', 'G']) => format!("{rest}iB"),
        _ => text.to_owned(),
    };
    match usize::try_from(units::parse_size(&text)?) {
        Ok(size) if (1..=1 << 32).contains(&size) => Ok(size),
        _ => Err(format!("{text:?} is not between 1 byte and 4 GB")),
    }
}

/// Bytes a second when `parallel` threads each repeat work on `bytes` bytes. `prepare` makes the work of one thread.
fn measure<W: FnMut() + Send>(
    parallel: NonZeroUsize,
    repeat: usize,
    bytes: usize,
    prepare: impl Fn() -> W,
) -> u64 {
    let works: Vec<W> = (0..parallel.get()).map(|_| prepare()).collect();
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        for mut work in works {
            scope.spawn(move || (0..repeat).for_each(|_| work()));
        }
    });
    let total = bytes as f64 * repeat as f64 * parallel.get() as f64;
    (total / watch.elapsed().as_secs_f64().max(1e-9)) as u64
}

/// One place in a table of speeds.
struct Place {
    /// What stands in the table.
    columns: String,
    /// The flags that choose it.
    options: String,
    bytes_per_second: u64,
}

/// Prints the table, the fastest first.
fn print_places(ctx: &Context, heading: &str, print_options: bool, mut places: Vec<Place>) -> Result<()> {
    places.sort_by_key(|place| std::cmp::Reverse(place.bytes_per_second));
    let mut out = ctx.stdout();
    out.line(format_args!("     {heading} Throughput"))?;
    out.line(LINE)?;
    for (rank, place) in places.iter().enumerate() {
        let speed = ctx.sizes().format(place.bytes_per_second);
        let options = if print_options { format!(",   {}", place.options) } else { String::new() };
        out.line(format_args!("{rank:>3}. {} {speed} / second{options}", place.columns))?;
    }
    out.line(LINE)?;
    match places.first() {
        Some(fastest) => out.line(format_args!("Fastest option for this machine is: {}", fastest.options)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_1024() {
        assert_eq!(parse_block_size("1MB"), Ok(1 << 20));
        assert_eq!(parse_block_size("64K"), Ok(64 << 10));
        assert_eq!(parse_block_size("10"), Ok(10));
        assert!(parse_block_size("0").is_err() && parse_block_size("5GB").is_err());
    }
}
