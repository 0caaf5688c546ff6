//! Commands run around snapshots.

use super::SourceInfo;
use super::field::Field;
use serde::{Deserialize, Serialize};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActionCommand {
    /// The program.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub path: String,
    /// Its arguments.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub args: Vec<String>,
    /// A script to run instead.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub script: String,
    /// Seconds until it is stopped; 0 for 180.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub timeout: i64,
    /// `essential`, `optional` or `async`; empty for optional.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub mode: String,
}

/// The commands of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActionsPolicy {
    /// Before the very folder of the policy; not inherited.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub before_folder: Option<ActionCommand>,
    /// After the very folder of the policy; not inherited.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub after_folder: Option<ActionCommand>,
    /// Before any snapshot.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub before_snapshot_root: Option<ActionCommand>,
    /// After any snapshot.
    #[serde(skip_serializing_if = "Field::is_unset")]
    pub after_snapshot_root: Option<ActionCommand>,
}

/// Which target gave each inherited command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionsDefinition {
    /// Before any snapshot.
    pub before_snapshot_root: SourceInfo,
    /// After any snapshot.
    pub after_snapshot_root: SourceInfo,
}

impl ActionsPolicy {
    pub(super) fn merge(&mut self, from: &Self, definition: &mut ActionsDefinition, target: &SourceInfo) {
        if self.before_snapshot_root.inherit(&from.before_snapshot_root) {
            definition.before_snapshot_root.clone_from(target);
        }
        if self.after_snapshot_root.inherit(&from.after_snapshot_root) {
            definition.after_snapshot_root.clone_from(target);
        }
    }
}
