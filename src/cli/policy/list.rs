//! `policy list`

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::output::{JsonFlags, JsonList};
use packhorse::policy::{Policy, PolicyStore, SourceInfo};
use serde::Serialize;

/// Flags of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    json: JsonFlags,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    target: &'a SourceInfo,
    #[serde(flatten)]
    policy: &'a Policy,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let policies = PolicyStore::new(&manifests).list()?;
    let mut out = ctx.stdout();
    if args.json.json {
        let mut list = JsonList::begin(&mut out, args.json)?;
        for stored in &policies {
            list.item(&Item { id: stored.id.as_str(), target: &stored.target, policy: &stored.policy })?;
        }
        return list.end();
    }
    policies.iter().try_for_each(|stored| out.line(format_args!("{} {}", stored.id.as_str(), stored.target)))
}
