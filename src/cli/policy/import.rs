//! `policy import`: policies from JSON, by target, as `export` writes it.

use super::target;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Explain, Failure};
use packhorse::policy::{Policy, PolicyStore, SourceInfo, remove_policy};
use packhorse::repo::Repository;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Flags of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read this file instead of standard input.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Pass over what no policy has, instead of refusing it.
    #[arg(long)]
    allow_unknown_fields: bool,
    /// Delete all policies that were not imported.
    #[arg(long)]
    delete_other_policies: bool,
    #[command(flatten)]
    target: target::TargetFlags,
}

/// Runs the command. What cannot be imported as a whole changes nothing.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(true)?;
    let mut policies = read(ctx, args, &repository)?;
    let mut writer = repository.begin(&ctx.write_options())?;
    if let Some(wanted) = args.target.resolve_any(ctx, writer.manifests(), repository.identity())? {
        policies.retain(|target, _| wanted.contains(target));
    }
    let mut said = Vec::new();
    for (target, policy) in &policies {
        if policy.save(target, &mut writer).explain(format_args!("cannot set the policy of {target}"))? {
            said.push(format!("Set the policy of {target}"));
        }
    }
    if args.delete_other_policies {
        let known = PolicyStore::new(writer.manifests()).list()?;
        let others: BTreeSet<_> = known.into_iter().map(|stored| stored.target).collect();
        for target in others.iter().filter(|target| !policies.contains_key(target)) {
            remove_policy(target, &mut writer);
            said.push(format!("Removed the policy of {target}"));
        }
    }
    if said.is_empty() {
        ctx.talk().line("Nothing to change: every policy is as wanted.");
        return Ok(());
    }
    writer.flush()?;
    for line in &said {
        ctx.talk().line(line);
    }
    Ok(())
}

fn read(ctx: &Context, args: &Args, repository: &Repository) -> Result<BTreeMap<SourceInfo, Policy>> {
    let (name, text) = match &args.from_file {
        Some(path) => (path.display().to_string(), std::fs::read_to_string(path)),
        None => ("standard input".to_owned(), std::io::read_to_string(std::io::stdin())),
    };
    let text = text.explain(format_args!("cannot read {name}"))?;
    let values: BTreeMap<String, Value> = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{name} does not hold policies as JSON: {error}")))?;
    let identity = repository.identity();
    let current_dir = &ctx.environment().current_dir;
    let mut policies = BTreeMap::new();
    for (text, value) in values {
        let target = SourceInfo::parse(&text, &identity.hostname, &identity.username, current_dir)?;
        let policy = if args.allow_unknown_fields {
            serde_json::from_value(value).map_err(|source| packhorse::policy::Error::Json { source })
        } else {
            Policy::from_strict_json(value)
        };
        let policy = policy.explain(format_args!("cannot import the policy of {text}"))?;
        if policies.insert(target, policy).is_some() {
            return Err(Failure::new(format!("{name} holds two policies of {text}")));
        }
    }
    Ok(policies)
}
