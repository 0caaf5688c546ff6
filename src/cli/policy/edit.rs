//! `policy edit`: policies in an editor.

use super::target;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::{Result, editor};
use packhorse::base::gojson;
use packhorse::policy::{Policy, PolicyStore, SourceInfo};
use packhorse::repo::Repository;

/// What may stand in the sections that are edited most, behind the line that opens each of them.
const HINTS: [(&str, &str); 3] = [
    (
        "retention",
        "  # How many snapshots are kept, each a number:\n  #   keepLatest, keepHourly, keepDaily, keepWeekly, \
         keepMonthly, keepAnnual\n",
    ),
    (
        "files",
        "  # What is saved:\n  #   ignore (list of rules), ignoreDotFiles (list of names of files with rules),\n  #   \
         maxFileSize (bytes), oneFileSystem, ignoreCacheDirs (true or false)\n",
    ),
    (
        "scheduling",
        "  # When a server makes snapshots:\n  #   intervalSeconds, timeOfDay (list of {\"hour\":H,\"min\":M}), cron \
         (list), runMissed;\n  #   or manual (true), and then nothing else\n",
    ),
];

/// Flags of `edit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::TargetFlags,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    args.target.check()?;
    let repository = ctx.open_repository(true)?;
    let manifests = repository.load_manifests()?;
    for target in args.target.resolve(ctx, &manifests, repository.identity())? {
        let original = PolicyStore::new(&manifests).defined(&target)?;
        edit(ctx, &repository, &target, original.as_ref())?;
    }
    Ok(())
}

fn edit(
    ctx: &Context,
    repository: &Repository,
    target: &SourceInfo,
    original: Option<&Policy>,
) -> Result<()> {
    let before = original.cloned().unwrap_or_default();
    ctx.talk().line(format_args!("Editing the policy of {target}"));
    let edited = editor::edit(ctx, "policy.conf", &text(target, &before)?, |text| parse(text, target))?;
    if edited == before {
        ctx.talk().line(format_args!("The policy of {target} is unchanged"));
        return Ok(());
    }
    ctx.talk().line(format_args!("The policy of {target} is to be\n{}", pretty(&edited)?));
    let answer = editor::ask(ctx, "Save it? (y/N)")?.unwrap_or_default();
    if !editor::is_letter(&answer, 'y') {
        ctx.talk().line("Nothing was saved");
        return Ok(());
    }
    save(ctx, repository, target, original, &edited)
}

/// An editor may be open for hours: what others have set meanwhile is not overwritten.
fn save(
    ctx: &Context,
    repository: &Repository,
    target: &SourceInfo,
    original: Option<&Policy>,
    edited: &Policy,
) -> Result<()> {
    repository.contents().refresh()?;
    let mut writer = repository.begin(&ctx.write_options())?;
    if PolicyStore::new(writer.manifests()).defined(target)?.as_ref() != original {
        let message = format!("the policy of {target} was changed by somebody else; nothing was saved");
        return Err(Failure::new(message).with_hint("edit it again"));
    }
    edited.save(target, &mut writer)?;
    writer.flush()?;
    ctx.talk().line(format_args!("Saved the policy of {target}"));
    Ok(())
}

fn parse(text: &str, target: &SourceInfo) -> Result<Policy> {
    let value = serde_json::from_str(text).map_err(|error| {
        Failure::new(format!("that is no JSON: {error} (comments do not count as lines)"))
    })?;
    let policy = Policy::from_strict_json(value)?;
    policy.validate(target)?;
    Ok(policy)
}

fn text(target: &SourceInfo, policy: &Policy) -> Result<String> {
    let mut json = pretty(policy)?;
    for (section, hint) in HINTS {
        let line = format!("  \"{section}\": {{");
        if let Some(at) = json.find(&line) {
            json.insert_str(at, hint);
        }
    }
    Ok(format!(
        "# The policy of {target}\n#\n# Change it, save, and leave the editor. The rest of this file must be JSON; lines \
         that begin with # are left out.\n\n{json}\n"
    ))
}

fn pretty(policy: &Policy) -> Result<String> {
    let json = gojson::to_pretty(policy)
        .map_err(|error| Failure::new(format!("cannot write the policy as JSON: {error}")))?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}
