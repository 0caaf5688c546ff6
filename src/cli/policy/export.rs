//! `policy export`: policies as JSON, by target.

use super::target;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use packhorse::base::{file, gojson};
use packhorse::policy::{Policy, PolicyStore, SourceInfo};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Only the owner may read an exported file: commands of policies can hold secrets.
const FILE_MODE: u32 = 0o600;

/// Flags of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to this file, which must not exist, instead of standard output.
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long, requires = "to_file")]
    overwrite: bool,
    /// Indent the JSON.
    #[arg(long, hide = true)]
    json_indent: bool,
    #[command(flatten)]
    target: target::TargetFlags,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let store = PolicyStore::new(&manifests);
    let policies = match args.target.resolve_any(ctx, &manifests, repository.identity())? {
        Some(targets) => named(&store, targets)?,
        None => store.list()?.into_iter().map(|stored| (stored.target.to_string(), stored.policy)).collect(),
    };
    let Some(path) = &args.to_file else {
        return ctx.stdout().json(&policies, args.json_indent);
    };
    let json = if args.json_indent { gojson::to_pretty(&policies) } else { gojson::to_vec(&policies) };
    let mut json = json.map_err(|error| Failure::new(format!("cannot write policies as JSON: {error}")))?;
    json.push(b'\n');
    write(path, &json, args.overwrite)
}

fn named(store: &PolicyStore<'_>, targets: Vec<SourceInfo>) -> Result<BTreeMap<String, Policy>> {
    let mut policies = BTreeMap::new();
    for target in targets {
        let policy = store.defined(&target)?;
        let policy = policy.ok_or_else(|| Failure::new(format!("there is no policy of {target}")))?;
        policies.insert(target.to_string(), policy);
    }
    Ok(policies)
}

fn write(path: &Path, json: &[u8], overwrite: bool) -> Result<()> {
    let explain = format!("cannot write {}", path.display());
    if overwrite {
        return file::replace(path, json, FILE_MODE).explain(explain);
    }
    match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path) {
        Ok(mut file) => file.write_all(json).and_then(|()| file.sync_all()).explain(explain),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("{} exists", path.display())).with_hint("--overwrite replaces it"))
        }
        Err(error) => Err(error).explain(explain),
    }
}
