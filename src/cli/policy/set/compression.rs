//! What is compressed, and where objects are cut.

use super::change::{Changes, ListEdit};
use super::setting::{Setting, bytes};
use clap::builder::PossibleValuesParser;
use packhorse::policy::Policy;
use packhorse::splitter;

/// All names Kopia accepts, whether or not this program can write them: the policy may be for another client.
const COMPRESSIONS: [&str; 20] = [
    "inherit",
    "none",
    "deflate-best-compression",
    "deflate-best-speed",
    "deflate-default",
    "gzip",
    "gzip-best-compression",
    "gzip-best-speed",
    "lz4",
    "pgzip",
    "pgzip-best-compression",
    "pgzip-best-speed",
    "s2-better",
    "s2-default",
    "s2-parallel-4",
    "s2-parallel-8",
    "zstd",
    "zstd-best-compression",
    "zstd-better-compression",
    "zstd-fastest",
];

/// Flags of the sections.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Compression and splitting")]
pub(super) struct CompressionFlags {
    /// Compression of files.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(COMPRESSIONS), hide_possible_values = true)]
    compression: Option<String>,
    /// Smallest file to compress, in bytes.
    #[arg(long, value_name = "N", value_parser = bytes)]
    compression_min_size: Option<Setting<i64>>,
    /// Largest file to compress, in bytes.
    #[arg(long, value_name = "N", value_parser = bytes)]
    compression_max_size: Option<Setting<i64>>,
    /// Compress files with this extension, such as `.txt`, and those only.
    #[arg(long, value_name = "EXTENSION")]
    add_only_compress: Vec<String>,
    /// Take an extension from that list again.
    #[arg(long, value_name = "EXTENSION")]
    remove_only_compress: Vec<String>,
    /// Empty that list.
    #[arg(long)]
    clear_only_compress: bool,
    /// Do not compress files with this extension.
    #[arg(long, value_name = "EXTENSION")]
    add_never_compress: Vec<String>,
    /// Take an extension from that list again.
    #[arg(long, value_name = "EXTENSION")]
    remove_never_compress: Vec<String>,
    /// Empty that list.
    #[arg(long)]
    clear_never_compress: bool,
    /// Compression of directories and manifests.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(COMPRESSIONS), hide_possible_values = true)]
    metadata_compression: Option<String>,
    /// Splitter for files, instead of the repository's.
    #[arg(long, value_name = "NAME", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(splitter::names().chain(["inherit"])))]
    splitter: Option<String>,
}

impl CompressionFlags {
    pub(super) fn apply(&self, policy: &mut Policy, changes: &mut Changes) {
        let section = &mut policy.compression;
        changes.set_name("compression", self.compression.as_ref(), &mut section.compressor_name);
        changes.set_number("compression-min-size", self.compression_min_size.as_ref(), &mut section.min_size);
        changes.set_number("compression-max-size", self.compression_max_size.as_ref(), &mut section.max_size);
        let only = ListEdit {
            clear: self.clear_only_compress,
            add: &self.add_only_compress,
            remove: &self.remove_only_compress,
        };
        changes.set_list("only-compress", &only, &mut section.only_compress);
        let never = ListEdit {
            clear: self.clear_never_compress,
            add: &self.add_never_compress,
            remove: &self.remove_never_compress,
        };
        changes.set_list("never-compress", &never, &mut section.never_compress);
        let metadata = &mut policy.metadata_compression.compressor_name;
        changes.set_name("metadata-compression", self.metadata_compression.as_ref(), metadata);
        changes.set_name("splitter", self.splitter.as_ref(), &mut policy.splitter.algorithm);
    }
}
