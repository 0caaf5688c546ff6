//! Which policies a command is about.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use packhorse::content::ClientIdentity;
use packhorse::manifest::{ManifestId, ManifestStore};
use packhorse::policy::{PolicyStore, SourceInfo};

/// Flags that name policies.
#[derive(Debug, clap::Args)]
pub(super) struct TargetFlags {
    /// The policy of everything.
    #[arg(long)]
    global: bool,
    /// Policies: @host, user@host, user@host:path, a local path, or the id of a policy.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl TargetFlags {
    /// Refuses a line that names no target, or two kinds of them.
    pub(super) fn check(&self) -> Result<()> {
        if self.global == self.targets.is_empty() {
            return Ok(());
        }
        Err(Failure::usage("give either --global or one or more targets"))
    }

    /// The targets named; `None` if none is, for commands to which that means all.
    pub(super) fn resolve_any(
        &self,
        ctx: &Context,
        manifests: &ManifestStore,
        identity: &ClientIdentity,
    ) -> Result<Option<Vec<SourceInfo>>> {
        let is_any = self.global || !self.targets.is_empty();
        is_any.then(|| self.resolve(ctx, manifests, identity)).transpose()
    }

    /// The targets named.
    pub(super) fn resolve(
        &self,
        ctx: &Context,
        manifests: &ManifestStore,
        identity: &ClientIdentity,
    ) -> Result<Vec<SourceInfo>> {
        self.check()?;
        if self.global {
            return Ok(vec![SourceInfo::default()]);
        }
        let store = PolicyStore::new(manifests);
        let resolve = |text: &String| {
            // The id of some other manifest is no policy, and then perhaps a path.
            let is_id = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
            if let Some(Ok(stored)) = is_id.then(|| store.by_id(&ManifestId::new(text.as_str()))) {
                return Ok(stored.target);
            }
            let current_dir = &ctx.environment().current_dir;
            SourceInfo::parse(text, &identity.hostname, &identity.username, current_dir)
                .map_err(Failure::from)
        };
        self.targets.iter().map(resolve).collect()
    }
}
