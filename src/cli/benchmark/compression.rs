//! `benchmark compression`

use super::{LINE, measure};
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use packhorse::compression::{self, Compressor};
use std::cmp::Reverse;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Bytes that are compressed with each algorithm when no number of rounds is given.
const TOTAL_BYTES: usize = 128 << 20;
/// A file that is much larger tells no more.
const DATA_BYTES_MAX: u64 = 1 << 30;

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    /// File whose data are compressed
    #[arg(long, value_name = "FILE")]
    data_file: PathBuf,
    /// Rounds; 0 for so many that each algorithm has about 128 MB to do
    #[arg(long, default_value = "0", value_name = "N")]
    repeat: usize,
    /// Threads that work at once
    #[arg(long, default_value = "1", value_name = "N")]
    parallel: NonZeroUsize,
    /// The smallest result first
    #[arg(long)]
    by_size: bool,
    /// Not supported: allocations are not measured
    #[arg(long, hide = true)]
    by_alloc: bool,
    /// What to measure
    #[arg(long, default_value = "both", value_parser = ["both", "compress", "decompress"])]
    operations: String,
    /// Fail if two rounds give different bytes
    #[arg(long)]
    verify_stable: bool,
    /// Show the policy flag that chooses each
    #[arg(long)]
    print_options: bool,
    /// Measure deprecated algorithms too
    #[arg(long)]
    deprecated: bool,
    /// Only these, by name
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    algorithms: Vec<String>,
}

struct Measured {
    compressor: &'static dyn Compressor,
    compressed_bytes: u64,
    bytes_per_second: u64,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.by_alloc {
        return Err(Failure::usage("--by-alloc is not supported: allocations are not measured"));
    }
    let data = read(args)?;
    let compressors = compressors(args)?;
    let repeat = match args.repeat {
        0 => TOTAL_BYTES.div_ceil(data.len()),
        n => n,
    };
    let bench = Bench { ctx, args, data: &data, repeat };
    if args.operations != "decompress" {
        bench.run("compressing", &compressors, |compressor| bench.compress(compressor))?;
    }
    if args.operations != "compress" {
        bench.run("decompressing", &compressors, |compressor| bench.decompress(compressor))?;
    }
    Ok(())
}

fn read(args: &Args) -> Result<Vec<u8>> {
    let unreadable = || format!("cannot read {}", args.data_file.display());
    let length = std::fs::metadata(&args.data_file).explain(unreadable())?.len();
    if !(1..=DATA_BYTES_MAX).contains(&length) {
        return Err(Failure::usage("--data-file must hold something, and at most 1 GiB"));
    }
    std::fs::read(&args.data_file).explain(unreadable())
}

fn compressors(args: &Args) -> Result<Vec<&'static dyn Compressor>> {
    if args.algorithms.is_empty() {
        let all = compression::all().iter().copied();
        return Ok(all.filter(|known| args.deprecated || !known.is_deprecated()).collect());
    }
    let find = |name: &String| {
        compression::by_name(name)
            .ok_or_else(|| Failure::usage(format!("--algorithms: {name:?} is not a known compressor")))
    };
    args.algorithms.iter().map(find).collect()
}

struct Bench<'a> {
    ctx: &'a Context,
    args: &'a Args,
    data: &'a [u8],
    repeat: usize,
}

impl Bench<'_> {
    fn run(
        &self,
        what: &str,
        compressors: &[&'static dyn Compressor],
        measure: impl Fn(&'static dyn Compressor) -> Result<Option<Measured>>,
    ) -> Result<()> {
        let mut all = Vec::new();
        for compressor in compressors {
            self.ctx.talk().line(format_args!("{what} with {}", compressor.name()));
            all.extend(measure(*compressor)?);
        }
        if self.args.by_size {
            all.sort_by_key(|measured| measured.compressed_bytes);
        } else {
            all.sort_by_key(|measured| Reverse(measured.bytes_per_second));
        }
        let (mut out, sizes) = (self.ctx.stdout(), self.ctx.sizes());
        out.line(format_args!("     {:<26} {:<12} Throughput ({what})", "Compression", "Compressed"))?;
        out.line(LINE)?;
        for (rank, Measured { compressor, compressed_bytes, bytes_per_second }) in all.iter().enumerate() {
            let (name, size) = (compressor.name(), sizes.format(*compressed_bytes));
            let speed = sizes.format(*bytes_per_second);
            let options =
                if self.args.print_options { format!(", --compression={name}") } else { String::new() };
            out.line(format_args!("{rank:>3}. {name:<26} {size:<12} {speed}/s{options}"))?;
        }
        Ok(())
    }

    /// `None` for a format that is only read.
    fn stream(&self, compressor: &dyn Compressor) -> Result<Option<Vec<u8>>> {
        let mut stream = Vec::new();
        match compressor.compress(self.data, &mut stream) {
            Ok(()) => Ok(Some(stream)),
            Err(compression::Error::NotWritable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn compress(&self, compressor: &'static dyn Compressor) -> Result<Option<Measured>> {
        let Some(first) = self.stream(compressor)? else { return Ok(None) };
        if self.args.verify_stable && self.stream(compressor)?.as_ref() != Some(&first) {
            return Err(Failure::new(format!("{} gave different bytes in two rounds", compressor.name())));
        }
        let bytes_per_second = measure(self.args.parallel, self.repeat, self.data.len(), || {
            let mut out = Vec::with_capacity(first.len());
            move || {
                out.clear();
                compressor
                    .compress(self.data, &mut out)
                    .expect("what was compressed once is compressed again");
                black_box(&out);
            }
        });
        Ok(Some(Measured { compressor, compressed_bytes: first.len() as u64, bytes_per_second }))
    }

    fn decompress(&self, compressor: &'static dyn Compressor) -> Result<Option<Measured>> {
        let Some(stream) = self.stream(compressor)? else { return Ok(None) };
        let mut plain = Vec::new();
        compressor.decompress(&stream, &mut plain, self.data.len())?;
        if plain != self.data {
            return Err(Failure::new(format!("{} does not give back what it was given", compressor.name())));
        }
        let bytes_per_second = measure(self.args.parallel, self.repeat, self.data.len(), || {
            let (mut out, stream) = (Vec::with_capacity(self.data.len()), &stream);
            move || {
                out.clear();
                compressor
                    .decompress(stream, &mut out, self.data.len())
                    .expect("what was decompressed once is decompressed again");
                black_box(&out);
            }
        });
        Ok(Some(Measured { compressor, compressed_bytes: stream.len() as u64, bytes_per_second }))
    }
}
