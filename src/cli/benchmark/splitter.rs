//! `benchmark splitter`

use super::{LINE, parse_block_size};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::units::Sizes;
use packhorse::base::{Entropy, SeededEntropy, Stopwatch};
use packhorse::splitter::{self, Splitter};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the random data begin
    #[arg(long, default_value = "42", value_name = "N")]
    rand_seed: u64,
    /// Size of a block
    #[arg(long, default_value = "32MB", value_parser = parse_block_size, value_name = "SIZE")]
    data_size: usize,
    /// Blocks
    #[arg(long, default_value = "16", value_name = "N")]
    block_count: NonZeroU64,
    /// Threads that each split every block
    #[arg(long, default_value = "1", value_name = "N")]
    parallel: NonZeroUsize,
    /// Show the flag with which a repository is created so
    #[arg(long)]
    print_options: bool,
}

struct Measured {
    splitter: Arc<dyn Splitter>,
    elapsed: Duration,
    lengths: Vec<usize>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let mut all: Vec<Measured> = splitter::names()
        .filter_map(splitter::by_name)
        .map(|splitter| Measured { splitter, elapsed: Duration::ZERO, lengths: Vec::new() })
        .collect();
    ctx.talk().line(format_args!(
        "splitting {} blocks of {} bytes in {} threads",
        args.block_count, args.data_size, args.parallel
    ));
    // One block is in memory at a time.
    let mut block = vec![0; args.data_size];
    for number in 0..args.block_count.get() {
        SeededEntropy::new(args.rand_seed.wrapping_add(number)).fill(&mut block);
        for measured in &mut all {
            measured.split(&block, args.parallel);
        }
    }
    all.sort_by_key(|measured| measured.elapsed);
    let bytes = args.data_size as f64 * args.block_count.get() as f64 * args.parallel.get() as f64;
    let mut out = ctx.stdout();
    out.line(LINE)?;
    for (rank, measured) in all.iter_mut().enumerate() {
        out.line(format_args!("{rank:>3}. {}", measured.describe(bytes, ctx.sizes())))?;
    }
    out.line(LINE)?;
    let fastest = all.iter().find(|measured| !measured.splitter.name().starts_with("FIXED"));
    match fastest.filter(|_| args.print_options) {
        Some(fastest) => out.line(format_args!(
            "Fastest option for this machine is: --object-splitter={}",
            fastest.splitter.name()
        )),
        None => Ok(()),
    }
}

impl Measured {
    fn split(&mut self, block: &[u8], threads: NonZeroUsize) {
        let splitter = &self.splitter;
        let watch = Stopwatch::start();
        let lengths: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let spawned: Vec<_> =
                (0..threads.get()).map(|_| scope.spawn(|| cut(splitter.as_ref(), block))).collect();
            spawned.into_iter().map(|thread| thread.join().expect("splitting does not panic")).collect()
        });
        self.elapsed += watch.elapsed();
        self.lengths.extend(lengths.into_iter().flatten());
    }

    fn describe(&mut self, bytes: f64, sizes: Sizes) -> String {
        self.lengths.sort_unstable();
        let count = self.lengths.len();
        let at = |percent: usize| {
            self.lengths.get(count * percent / 100).or(self.lengths.last()).copied().unwrap_or_default()
        };
        let speed = sizes.format((bytes / self.elapsed.as_secs_f64().max(1e-9)) as u64);
        format!(
            "{:<25} {speed:<12}/s count:{count} min:{} 10th:{} 25th:{} 50th:{} 75th:{} 90th:{} max:{}",
            self.splitter.name(),
            at(0),
            at(10),
            at(25),
            at(50),
            at(75),
            at(90),
            at(100),
        )
    }
}

fn cut(splitter: &dyn Splitter, block: &[u8]) -> Vec<usize> {
    let (mut rest, mut lengths) = (block, Vec::new());
    while !rest.is_empty() {
        let length = splitter.boundary(rest, 0).unwrap_or(rest.len());
        lengths.push(length);
        rest = &rest[length..];
    }
    lengths
}
